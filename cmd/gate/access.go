package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/access"
)

func accessCommand() command {
	return command{"access", "list which roles, claims and hours reach a route, or what two policies differ in", runAccess}
}

const accessUsage = `gate access [-route NAME] [-bundle PLACE] [flags]
       gate access -diff [-route NAME] OLD NEW [flags]`

const accessPurpose = `Asks a policy about every combination of roles, methods, paths, demo claims, hours, second
factors, settings of routes and constants that its data and its rules name, and lists who
reaches a route and what that depends on. -diff asks two policies and lists what they decide
otherwise. What they read that is not tried is listed, and first of all what rules read
that changed. A policy is a folder or a bundle .tar.gz; without -bundle it is that of the
configuration. Settings of routes are those of the routes file. Only what policy decides is
in it: not who may sign in, and no limit is charged.
Exit codes: 0 listed, or no difference; 1 with -diff, something is decided otherwise (with
-strict also: changed rules read what is unexplored); 2 trouble.`

// accessFlags are gate access's flags.
type accessFlags struct {
	*flags
	config, bundle string
	routes         list
	diff, json     bool
	strict         bool
	verbose        bool
}

func runAccess(ctx context.Context, args []string, s streams) int {
	f := &accessFlags{flags: flagSet("access", accessUsage, accessPurpose, s)}
	f.StringVar(&f.config, "config", "gate.yaml", "configuration `file`, for its routes file and its policy")
	f.StringVar(&f.bundle, "bundle", "", "policy: a `folder` or a bundle .tar.gz (default: the configuration's)")
	f.Var(&f.routes, "route", "`name` of a route (default: all); may be given more than once")
	f.BoolVar(&f.diff, "diff", false, "compare two policies")
	f.BoolVar(&f.json, "json", false, "print JSON")
	f.BoolVar(&f.strict, "strict", false, "with -diff exit with 1 also when rules that changed read what is not explored")
	f.BoolVar(&f.verbose, "v", false, "list every situation that is not usual, and not only their first reasons")
	rest, code, done := f.operands(args, 0, 2)
	if done {
		return code
	}
	if f.diff != (len(rest) == 2) || len(rest) == 1 || f.diff && f.bundle != "" {
		fmt.Fprintf(s.err, "gate access: -diff takes two policies, OLD and NEW, and without it there are none; see gate access -h\n")
		return exitTrouble
	}
	code, err := f.run(ctx, s, rest)
	if err != nil {
		fmt.Fprintf(s.err, "gate access: %v\n", err)
		return exitTrouble
	}
	return code
}

func (f *accessFlags) run(ctx context.Context, s streams, places []string) (int, error) {
	cfg, err := loadConfig(f.config)
	if err != nil {
		return 0, err
	}
	file, err := loadRoutes(cfg)
	if err != nil {
		return 0, err
	}
	routes := map[string]*authz.Route{}
	for _, name := range file.RouteNames() {
		routes[name] = file.Route(name)
	}
	if !f.diff {
		places = []string{f.bundle}
	}
	var policies []access.Policy
	for _, place := range places {
		p, modules, err := triedRules(cfg, place, nil)
		if err != nil {
			if place != "" {
				err = fmt.Errorf("%s: %w", place, err)
			}
			return 0, err
		}
		policies = append(policies, access.Policy{Judge: engine.NewJudge(p), Modules: modules})
	}
	u := access.OfPolicies(routes, policies...)
	out := &operatorFlags{json: f.json}
	if !f.diff {
		g, err := u.Grid(ctx, policies[0].Judge, f.routes)
		if err != nil {
			return 0, err
		}
		return exitSame, out.print(s.out, g, func(w io.Writer) { gridText(w, g, f.verbose) })
	}
	d, err := u.Diff(ctx, policies[0].Judge, policies[1].Judge, f.routes)
	if err != nil {
		return 0, err
	}
	if d.Changed > 0 || f.strict && len(d.Relevant) > 0 {
		return exitDifferent, out.print(s.out, d, func(w io.Writer) { differenceText(w, d) })
	}
	return exitSame, out.print(s.out, d, func(w io.Writer) { differenceText(w, d) })
}

// gridText prints who reaches what.
func gridText(w io.Writer, g *access.Grid, verbose bool) {
	fmt.Fprintf(w, "policy %s, asked about %d combinations\n", visible(g.Revision), g.Asked)
	for _, r := range g.Routes {
		for _, p := range r.Paths {
			fmt.Fprintf(w, "\nroute %s, %s\n", visible(r.Route), visible(shortList(p.Paths, 6)))
			for _, a := range p.Usual {
				fmt.Fprintf(w, "  %-22s %s\n", visible(a.Who), visible(answerText(&a)))
			}
			situationsText(w, &p, verbose)
		}
	}
	unexploredText(w, g.Unexplored)
	if g.Disagreed > 0 {
		fmt.Fprintf(w, "\nThe machine and OPA's evaluator disagree on %d of these combinations: a gate decides by OPA's\n", g.Disagreed)
	}
}

// situationsText prints what is not usual; those in which the same people get
// the same answers are one line.
func situationsText(w io.Writer, p *access.Paths, verbose bool) {
	known := map[string][]string{}
	var order []string
	for _, x := range p.Unusual {
		text := ""
		for _, a := range x.Answers {
			text += fmt.Sprintf("    %-22s %s\n", visible(a.Who), visible(answerText(&a)))
		}
		if known[text] == nil {
			order = append(order, text)
		}
		known[text] = append(known[text], x.Situation)
	}
	for _, text := range order {
		names := visible(strings.Join(known[text], "; "))
		if !verbose {
			names = visible(shortList(known[text], 3))
		}
		fmt.Fprintf(w, "  otherwise %s\n%s", names, text)
	}
}

func shortList(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(list[:most], "; "), len(list)-most)
}

// answerText says which methods are open and why others are not.
func answerText(a *access.Answer) string {
	var out []string
	if len(a.Allowed) > 0 {
		out = append(out, "may "+strings.Join(a.Allowed, " "))
	}
	var whys []string
	for why := range a.Refused {
		whys = append(whys, why)
	}
	slices.Sort(whys)
	for _, why := range whys {
		if len(a.Allowed) > 0 || len(whys) > 1 {
			out = append(out, why+": "+strings.Join(a.Refused[why], " "))
			continue
		}
		out = append(out, "refused: "+why)
	}
	return strings.Join(out, "; ")
}

func unexploredText(w io.Writer, inputs []string) {
	if len(inputs) > 0 {
		fmt.Fprintf(w, "\nUnexplored, since these combinations do not vary it, or not with all that could matter:\n  %s\n", visibleItems(inputs))
	}
}

// visibleItems has each on a line of its own.
func visibleItems(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, visible(s))
	}
	return strings.Join(out, "\n  ")
}

func differenceText(w io.Writer, d *access.Difference) {
	fmt.Fprintf(w, "old %s, new %s: of %d combinations %d are decided otherwise\n", visible(d.Old), visible(d.New), d.Asked, d.Changed)
	if len(d.Relevant) > 0 {
		fmt.Fprintf(w, "but rules that changed, or whose data did, read what is unexplored, and of that this says nothing:\n  %s\n", visibleItems(d.Relevant))
	}
	for _, g := range d.Groups {
		fmt.Fprintf(w, "\n%s: %s → %s\n  route %s, %s, %s\n  paths      %s\n  situations %s\n", g.Kind, orDash(visible(g.From)), orDash(visible(g.To)), visible(g.Route), visible(g.Who),
			visible(strings.Join(g.Methods, " ")), visible(shortList(g.Paths, 4)), visible(shortList(usual(g.Situations), 4)))
	}
	unexploredText(w, d.Unexplored)
	if d.Disagreed > 0 {
		fmt.Fprintf(w, "\nThe machine and OPA's evaluator disagree on %d of the differences that were looked at\n", d.Disagreed)
	}
}

// usual names the situation without a name.
func usual(list []string) []string {
	out := slices.Clone(list)
	for i, s := range out {
		if s == "" {
			out[i] = "the usual"
		}
	}
	return out
}
