package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/inspect"
)

const diffPurpose = `Says what NEW has otherwise than OLD, each a bundle or a policy folder: rules and tests that
were added, removed or changed, places in the data, and decisions: both decide requests that
are made to go as many ways through their rules as can be found. What is recorded traffic's to
say, gate replay says. Exit code 0: nothing differs; 1: something does; 2: they cannot be
compared.`

func bundleDiff(ctx context.Context, args []string, s streams) int {
	f := bundleFlagSet("bundle diff", "gate bundle diff [-config gate.yaml] [-requests N] [-json] OLD NEW", diffPurpose, s)
	f.StringVar(&f.routes, "routes", "", "routes `file` that says which headers there are (default: that of -config, else the samples')")
	f.BoolVar(&f.json, "json", false, "print JSON")
	requests := f.Int("requests", 3000, "`number` of requests that are made for each of the two; 0 compares no decisions")
	rest, code, done := f.operands(args, 2, 2)
	if done {
		return code
	}
	if *requests < 0 || *requests > 1_000_000 {
		fmt.Fprintln(s.err, "gate bundle diff: -requests is from 0 to 1000000")
		return exitUsage
	}
	d, err := f.compare(ctx, rest, *requests)
	if err != nil {
		fmt.Fprintf(s.err, "gate bundle diff: %v\n", err)
		return exitUsage
	}
	out := operatorFlags{json: f.json}
	if err := out.print(s.out, d, func(w io.Writer) { showDiff(w, d) }); err != nil || !d.Empty() {
		return exitError
	}
	return exitOK
}

func (f *bundleFlags) compare(ctx context.Context, names []string, requests int) (*inspect.Diff, error) {
	cfg, err := f.gate()
	if err != nil {
		return nil, err
	}
	e, entry, err := f.edge(cfg)
	if err != nil {
		return nil, err
	}
	var sets [2]*bundles.Opened
	for i, name := range names {
		if sets[i], err = bundles.Open(name); err != nil {
			return nil, err
		}
	}
	return inspect.Compare(ctx, sets[0], sets[1], inspect.Options{Edge: e, EntryPoint: entry, Requests: requests})
}

func showDiff(w io.Writer, d *inspect.Diff) {
	fmt.Fprintf(w, "from %s to %s\n", visible(d.Before), visible(d.After))
	showChange(w, "rule", &d.Rules)
	showChange(w, "test", &d.Tests)
	for _, c := range d.Data {
		switch {
		case c.Before == "":
			fmt.Fprintf(w, "+ data %s = %s\n", visible(c.Path), visible(c.After))
		case c.After == "":
			fmt.Fprintf(w, "- data %s = %s\n", visible(c.Path), visible(c.Before))
		default:
			fmt.Fprintf(w, "~ data %s: %s -> %s\n", visible(c.Path), visible(c.Before), visible(c.After))
		}
	}
	if d.Truncated {
		fmt.Fprintln(w, "  and more data")
	}
	if x := d.Decisions; x != nil {
		fmt.Fprintf(w, "%d of %d made requests are decided otherwise\n", x.Changed, x.Asked)
		for _, g := range x.Groups {
			parts := ""
			if len(g.Parts) > 0 {
				parts = " (" + strings.Join(g.Parts, ", ") + ")"
			}
			fmt.Fprintf(w, "%6d  %s: %s -> %s%s\n", g.Count, visible(orDash(g.Route)), visible(g.Before), visible(g.After), parts)
			e := g.Example
			fmt.Fprintf(w, "        e.g. %s %s at %s, session %s, roles %s\n", visible(e.Method), visible(e.Path), e.Time, visible(e.Kind), visibleList(e.Roles))
		}
		if x.Left != "" {
			fmt.Fprintf(w, "no requests were made for %s\n", visible(x.Left))
		}
	}
	if d.Empty() {
		fmt.Fprintln(w, "nothing differs")
	}
}

func showChange(w io.Writer, what string, c *inspect.Change) {
	for _, x := range []struct {
		sign  string
		names []string
	}{{"+", c.Added}, {"-", c.Removed}, {"~", c.Changed}} {
		for _, n := range x.names {
			fmt.Fprintf(w, "%s %s %s\n", x.sign, what, visible(n))
		}
	}
}
