package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/neosc/gate/bundles/replay"
)

// replayText prints a report for people.
func replayText(w io.Writer, r *replay.Report, most int) {
	fmt.Fprintf(w, "policy     %s, on the %s\n", visible(r.Revision), r.Evaluator)
	fmt.Fprintf(w, "records    %d, decided by %s\n", r.Records, orDash(visible(strings.Join(r.Revisions, ", "))))
	fmt.Fprintf(w, "the same   %d\n", r.Same)
	fmt.Fprintf(w, "changed    %d\n", r.Changed)
	fmt.Fprintf(w, "not replayable %d, answered without policy %d, lines that are no records %d\n", r.NotReplayable, r.Unjudged, r.BadLines)
	if r.Slow != "" {
		fmt.Fprintf(w, "note       the machine does not run this policy: %s\n", visible(r.Slow))
	}
	if r.Disagreed > 0 {
		fmt.Fprintf(w, "note       the machine and OPA's evaluator disagreed on %d records; OPA's word counts\n", r.Disagreed)
	}
	for i, g := range r.Groups {
		if most > 0 && i == most {
			fmt.Fprintf(w, "\n… and %d more groups (-n 0 prints all)\n", len(r.Groups)-most)
			break
		}
		groupText(w, &g)
	}
	if r.Left > 0 {
		fmt.Fprintf(w, "\n… and %d changes beyond the groups that are kept\n", r.Left)
	}
	for i, m := range r.Missing {
		if i == 0 {
			fmt.Fprint(w, "\nNot replayable, since the policy may read what is not recorded:\n")
		}
		fmt.Fprintf(w, "  %6d  %s, such as %s\n", m.Records, visible(m.Path), visible(m.Example.DecisionID))
	}
	for i, b := range r.Bad {
		if i == 0 {
			fmt.Fprint(w, "\nNo records:\n")
		}
		fmt.Fprintf(w, "  %s:%d: %s\n", visible(b.File), b.Line, visible(b.Error))
	}
	if n := r.BadLines - int64(len(r.Bad)); n > 0 && len(r.Bad) > 0 {
		fmt.Fprintf(w, "  … and %d more\n", n)
	}
}

func groupText(w io.Writer, g *replay.Group) {
	fmt.Fprintf(w, "\n%s: %s → %s\n", g.Kind, orDash(visible(g.From)), orDash(visible(g.To)))
	roles := "nobody, or no role"
	if len(g.Roles) > 0 {
		roles = "role " + visibleList(g.Roles)
	}
	fmt.Fprintf(w, "  %d on route %s, %s\n", g.Records, orDash(visible(g.Route)), roles)
	for _, x := range g.Rules {
		fmt.Fprintf(w, "  %s\n", visible(x))
	}
	if len(g.Rules) == 0 {
		fmt.Fprint(w, "  by the same rules, with other values\n")
	}
	e := g.Example
	fmt.Fprintf(w, "  such as %s %s %s%s (%s:%d)\n", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), visible(e.Method), visible(e.Host), visible(e.Path), visible(e.File), e.Line)
	if e.Explain != "" {
		fmt.Fprintf(w, "    %s\n", visible(e.Explain))
	}
}
