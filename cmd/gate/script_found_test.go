package main

import (
	"regexp"

	"github.com/rogpeppe/go-internal/testscript"
)

// found NAME EXPR sets a variable to the first match in what the last command
// printed.
func found(s *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(args[1]).FindString(s.ReadFile("stdout"))
	if m == "" {
		s.Fatalf("nothing in the output matches %s", args[1])
	}
	s.Setenv(args[0], m)
}
