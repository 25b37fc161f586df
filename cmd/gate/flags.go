package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// flags is a flag set that prints usage, purpose and flags, and never exits by
// itself.
type flags struct {
	*flag.FlagSet
	out io.Writer // where -h goes: help that was asked for is output, not an error
}

func flagSet(name, usage, purpose string, s streams) *flags {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(s.err)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "Usage: %s\n\n%s\n", usage, purpose)
		n := 0
		fs.VisitAll(func(*flag.Flag) { n++ })
		if n > 0 {
			fmt.Fprint(fs.Output(), "\nFlags:\n")
			fs.PrintDefaults()
		}
	}
	return &flags{fs, s.out}
}

// parse reads flags and allows at most operands further arguments. done means
// that the command ends here with code: -h is no error, a wrong flag is.
func (f *flags) parse(args []string, operands int) (code int, done bool) {
	for _, a := range args {
		if a == "--" {
			break
		}
		if a == "-h" || a == "-help" || a == "--help" {
			f.SetOutput(f.out)
			f.Usage()
			return exitOK, true
		}
	}
	if err := f.quietly(args); err != nil {
		fmt.Fprintf(f.Output(), "gate %s: %s; see gate %s -h\n", f.Name(), sayFlag(err), f.Name())
		return exitUsage, true
	}
	if f.NArg() > operands {
		fmt.Fprintf(f.Output(), "gate %s: unexpected argument %q; see gate %s -h\n", f.Name(), f.Arg(operands), f.Name())
		return exitUsage, true
	}
	return 0, false
}

// quietly parses without the package's own words: they would end in a page of
// usage, above which nobody finds what was wrong.
func (f *flags) quietly(args []string) error {
	out, usage := f.Output(), f.Usage
	defer func() { f.SetOutput(out); f.Usage = usage }()
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f.Parse(args)
}

// sayFlag words what package flag says.
func sayFlag(err error) string {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: "); ok {
		return "there is no flag " + name
	}
	return err.Error()
}
