package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// shellBlock is a block of commands in a page of docs.
var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")

// manual PAGE N runs the N-th block of commands of a page of docs.
func manual(s *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(filepath.Join(s.Getenv("ROOT"), "docs", args[0]))
	s.Check(err)
	n, err := strconv.Atoi(args[1])
	s.Check(err)
	blocks := shellBlock.FindAllSubmatch(text, -1)
	if n >= len(blocks) {
		s.Fatalf("docs/%s has %d blocks of commands", args[0], len(blocks))
	}
	s.Check(s.Exec("sh", "-eu", "-c", string(blocks[n][1])))
}

// prints EXPR COMMAND... runs a command until its output holds what the
// expression matches.
func prints(s *testscript.TestScript, _ bool, args []string) {
	expr := regexp.MustCompile(args[0])
	eventually(s, strings.Join(args[1:], " ")+" prints "+args[0], func() bool {
		return s.Exec(args[1], args[2:]...) == nil && expr.MatchString(s.ReadFile("stdout"))
	})
}
