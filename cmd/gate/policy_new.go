package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/cmd/gate/internal/starter"
)

const policyNewPurpose = `Writes a policy with its data and its test. In a folder without any it writes a whole set
around it: an entry point that closes what data does not open, and lets people sign in.
In a policy set it writes the rule alone. No file that is there is written over.`

func policyNew(_ context.Context, args []string, s streams) int {
	f := flagSet("policy new", "gate policy new NAME [-dir DIR]", policyNewPurpose, s)
	dir := f.String("dir", ".", "policy `folder`; it is made if it is not there")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	name := rest[0]
	if err := starter.CheckName(name); err != nil {
		fmt.Fprintf(s.err, "gate policy new: %v\n", err)
		return exitUsage
	}
	modules, err := modulesOf(*dir)
	if err != nil {
		return fail(s.err, "policy new", err)
	}
	files, err := newFiles(*dir, name, len(modules) == 0)
	if err != nil {
		return fail(s.err, "policy new", err)
	}
	if err := writeNew(*dir, files); err != nil {
		return fail(s.err, "policy new", err)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(s.out, "  %s\n", filepath.Join(*dir, filepath.FromSlash(file)))
	}
	if len(modules) > 0 && !gathers(modules) {
		fmt.Fprintf(s.out, `
Nothing asks for it yet. Where denials are gathered, add

denials contains reason if some reason in data.neosc.rules[_].denials
`)
	}
	fmt.Fprintf(s.out, "\nRoutes ask for it by policy: {%s: true} in the routes file. Next: gate policy test -watch %s\n", name, *dir)
	return exitOK
}

// modulesOf are the policies of a folder, none of one that is not there.
func modulesOf(dir string) (map[string]string, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("policy folder: %w", err)
	}
	defer root.Close()
	src, err := bundles.Load(root.FS())
	return src.Modules, err
}

// newFiles are the rule's and what it needs that is not there.
func newFiles(dir, name string, empty bool) (map[string][]byte, error) {
	files, err := starter.Rule(name)
	if err != nil {
		return nil, err
	}
	around := starter.Helpers
	if empty {
		around = starter.Set
	}
	more, err := around()
	if err != nil {
		return nil, err
	}
	for file, text := range more {
		_, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(file)))
		if empty || errors.Is(err, fs.ErrNotExist) {
			files[file] = text
		}
	}
	return files, nil
}

// gathers reports whether some module asks the rules.
func gathers(modules map[string]string) bool {
	for _, text := range modules {
		if strings.Contains(text, "data.neosc.rules[") {
			return true
		}
	}
	return false
}
