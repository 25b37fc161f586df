package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/neosc/gate/envoy/lint"
)

func envoyLint(_ context.Context, args []string, s streams) int {
	fs := flagSet("envoy lint", "gate envoy lint [-json] FILE",
		"Reads any Envoy configuration (a bootstrap or resources in YAML or JSON, or what the admin\ninterface's /config_dump gives; - is standard input) and lists what would let a spoofed\nidentity or an unchecked request through: severity, place, and the mend. What it does not\nknow is noted as not judged. Exit code 1 if there is anything but notes.", s)
	asJSON := fs.Bool("json", false, "print JSON")
	if code, done := fs.parse(args, 1); done {
		return code
	}
	if fs.NArg() != 1 {
		fmt.Fprintln(s.err, "gate envoy lint: which FILE? see gate envoy lint -h")
		return exitUsage
	}
	r, err := lintFile(fs.Arg(0), s.in)
	if err == nil && *asJSON {
		err = json.NewEncoder(s.out).Encode(r)
	} else if err == nil {
		_, err = io.WriteString(s.out, lintText(fs.Arg(0), r))
	}
	if err != nil {
		return fail(s.err, "envoy lint", err)
	}
	if !r.Clean() {
		return exitError
	}
	return exitOK
}

func lintFile(name string, stdin io.Reader) (*lint.Report, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, lint.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return lint.Check(name, data)
}

// lintText is a report for people.
func lintText(name string, r *lint.Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: %s: %s\n  %s\n", f.Severity, f.Rule, f.Path, f.Problem)
		if f.Mend != "" {
			fmt.Fprintf(&b, "  mend: %s\n", f.Mend)
		}
	}
	fmt.Fprintf(&b, "%s: %d errors, %d warnings, %d notes in %d listeners and %d routes\n",
		name, r.Count(lint.Error), r.Count(lint.Warning), r.Count(lint.Note), r.Listeners, r.Routes)
	return b.String()
}
