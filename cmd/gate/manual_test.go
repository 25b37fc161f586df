package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// inCode is what stands in code: between backticks, or as a line of a block.
	inCode = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]+`")
	// aCommand is a call of gate, up to where the shell goes on with another.
	aCommand = regexp.MustCompile("(?m)(?:^|[`$;&|(] *|^.*?= *)(?:bin/)?gate ((?:\\\\\n|[^\n`;&|)>])*)")
	aVerb    = regexp.MustCompile(`(?m)^  ([a-z-]+) +\S`)
	aFlag    = regexp.MustCompile(`(?m)^  -([a-z-]+)`)
)

// help is what `gate WORDS -h` says, "" if there is no such command.
func help(words ...string) string {
	var out bytes.Buffer
	if run(context.Background(), append(slices.Clone(words), "-h"), streams{strings.NewReader(""), &out, &out}) != exitOK {
		return ""
	}
	return out.String()
}

// TestEveryCommandThatIsNamedExists reads the manual, the README and deploy, and
// wants of each command that stands there the verb and the flags to be there.
func TestEveryCommandThatIsNamedExists(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	var files []string
	for _, p := range []string{"docs/*.md", "*.md"} {
		found, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	known, seen := map[string]string{}, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range inCode.FindAllString(string(text), -1) {
			for _, m := range aCommand.FindAllStringSubmatch(code, -1) {
				seen++
				checkNamed(t, filepath.Base(file), strings.Fields(m[1]), known)
			}
		}
	}
	if seen < 100 {
		t.Errorf("found only %d commands", seen)
	}
}

func checkNamed(t *testing.T, file string, words []string, known map[string]string) {
	t.Helper()
	if len(words) == 0 || words[0] != strings.ToLower(words[0]) || !('a' <= words[0][0] && words[0][0] <= 'z') {
		return // gate COMMAND, and drawings
	}
	path := []string{strings.TrimRight(words[0], ",")}
	said := func() string {
		key := strings.Join(path, " ")
		if _, is := known[key]; !is {
			known[key] = help(path...)
		}
		return known[key]
	}
	if said() == "" {
		t.Errorf("%s: there is no `gate %s`", file, path[0])
		return
	}
	for len(words) > 1 && strings.Contains(said(), " VERB [flags]") && words[1] == strings.ToLower(words[1]) && !strings.HasPrefix(words[1], "-") {
		verbs := aVerb.FindAllStringSubmatch(said(), -1)
		for _, verb := range strings.Split(strings.TrimRight(words[1], ","), "|") {
			if !slices.ContainsFunc(verbs, func(m []string) bool { return m[1] == verb }) {
				t.Errorf("%s: there is no `gate %s %s`", file, strings.Join(path, " "), verb)
				return
			}
		}
		path, words = append(path, strings.Split(strings.TrimRight(words[1], ","), "|")[0]), words[1:]
	}
	if slices.Equal(path, []string{"policy", "shadow"}) && len(words) > 1 {
		path = append(path, "start") // which flags alone stand for
	}
	for _, w := range words[1:] {
		name, isFlag := strings.CutPrefix(strings.TrimLeft(w, "["), "-")
		name, _, _ = strings.Cut(strings.Trim(name, "-],…"), "=")
		if !isFlag || name == "" || name == "h" {
			continue
		}
		if !slices.ContainsFunc(aFlag.FindAllStringSubmatch(said(), -1), func(m []string) bool { return m[1] == name }) {
			t.Errorf("%s: `gate %s` has no flag -%s", file, strings.Join(path, " "), name)
		}
	}
}
