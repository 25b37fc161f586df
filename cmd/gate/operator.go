package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/neosc/gate/session/web/admin"
)

// operatorFlags are what every command that speaks to a running gate takes.
type operatorFlags struct {
	*flags
	config, socket string
	json           bool
}

func operatorFlagSet(name, usage, purpose string, s streams) *operatorFlags {
	f := &operatorFlags{flags: flagSet(name, usage, purpose, s)}
	f.StringVar(&f.config, "config", "gate.yaml", "configuration `file` of the running gate")
	f.StringVar(&f.socket, "socket", "", "admin `socket` of the running gate (default: the one that the configuration names)")
	f.BoolVar(&f.json, "json", false, "print JSON")
	return f
}

// operands reads flags wherever they stand and returns the other arguments, of
// which there must be least to most.
func (f *flags) operands(args []string, least, most int) (rest []string, code int, done bool) {
	for {
		// -h anywhere, and everything that parse knows, up to the first operand.
		if code, done := f.parse(args, len(args)); done {
			return nil, code, true
		}
		if f.NArg() == 0 {
			break
		}
		rest = append(rest, f.Arg(0))
		args = f.Args()[1:]
	}
	if len(rest) < least || len(rest) > most {
		fmt.Fprintf(f.Output(), "gate %s: %d arguments, want %s; see gate %s -h\n", f.Name(), len(rest), atLeast(least, most), f.Name())
		return nil, exitUsage, true
	}
	return rest, 0, false
}

func atLeast(least, most int) string {
	switch {
	case least == most:
		return fmt.Sprint(least)
	case most > 100:
		return fmt.Sprintf("%d or more", least)
	default:
		return fmt.Sprintf("%d to %d", least, most)
	}
}

// client speaks to the gate that the flags name.
func (f *operatorFlags) client() (*admin.Client, error) {
	socket := f.socket
	if socket == "" {
		var err error
		if socket, err = loadSocket(f.config); err != nil {
			return nil, err
		}
	}
	return admin.NewClient(socket), nil
}

// do runs an action with a client and prints its result: as JSON, or by text.
func (f *operatorFlags) do(s streams, action func(*admin.Client) (any, error), text func(io.Writer)) int {
	c, err := f.client()
	if err == nil {
		var out any
		if out, err = action(c); err == nil {
			err = f.print(s.out, out, text)
		}
	}
	if err != nil {
		fmt.Fprintf(s.err, "gate %s: %v\n", f.Name(), err)
		return exitError
	}
	return exitOK
}

func (f *operatorFlags) print(w io.Writer, out any, text func(io.Writer)) error {
	if !f.json {
		text(w)
		return nil
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

// verbs runs one of several subcommands.
func verbs(name, purpose string, all []command) command {
	return command{name, purpose, func(ctx context.Context, args []string, s streams) int {
		names := []string{}
		if len(args) > 0 {
			for _, c := range all {
				if c.name == args[0] {
					return c.run(ctx, args[1:], s)
				}
				names = append(names, c.name)
			}
		}
		w, code := s.err, exitUsage
		switch {
		case len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
			w, code = s.out, exitOK
		case len(args) > 0:
			fmt.Fprintf(s.err, "gate %s: there is no %q; there are %s\n", name, args[0], strings.Join(names, ", "))
			return exitUsage
		}
		fmt.Fprintf(w, "Usage: gate %s VERB [flags]\n\n%s.\n\n", name, purpose)
		listCommands(w, all)
		fmt.Fprintf(w, "\n`gate %s VERB -h` tells more.\n", name)
		return code
	}}
}

// listCommands prints what each of them is for, in a column of its own.
func listCommands(w io.Writer, all []command) {
	wide := 0
	for _, c := range all {
		wide = max(wide, len(c.name))
	}
	for _, c := range all {
		fmt.Fprintf(w, "  %-*s  %s\n", wide, c.name, c.short)
	}
}

// list is a flag that may be given more than once, or with commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

var _ flag.Value = (*list)(nil)

// visible frees what came from elsewhere of what would move a terminal.
func visible(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '\uFFFD'
		}
		return c
	}, s)
}

// mayBeMore says that a list has as many as it may: nobody would look for the rest
// otherwise.
func mayBeMore(w io.Writer, n, most int, how string) {
	if n >= most {
		fmt.Fprintf(w, "these are %d, the most that were asked for; there may be more: %s\n", n, how)
	}
}

func visibleList(l []string) string {
	if len(l) == 0 {
		return "-"
	}
	return visible(strings.Join(l, ","))
}
