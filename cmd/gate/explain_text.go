package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/neosc/gate/authz/engine"
)

// maxRulesShown is how many rules fit a screen; -v shows all.
const maxRulesShown = 14

// text prints the report for people.
func (out *report) text(w io.Writer, verbose bool) {
	out.verdictText(w)
	out.facts(w)
	for _, n := range out.Notes {
		fmt.Fprintf(w, "  note     %s\n", visible(n))
	}
	if len(out.Rules) == 0 {
		return
	}
	fmt.Fprint(w, "\nWhy\n")
	counts := map[engine.State]int{}
	shown, more := 0, 0
	for _, r := range out.Rules {
		switch {
		case !r.Decided:
			counts[r.State]++
		case !verbose && shown == maxRulesShown:
			more++
		default:
			shown++
			ruleText(w, r, verbose)
		}
	}
	if !verbose {
		if more > 0 {
			fmt.Fprintf(w, "  … and %d more that these follow from (-v shows them)\n", more)
		}
		fmt.Fprintf(w, "\nOther rules: %d held, %d did not, %d were not asked (-v shows them)\n",
			counts[engine.Held], counts[engine.NotHeld], counts[engine.NotEvaluated])
		return
	}
	fmt.Fprint(w, "\nOther rules\n")
	for _, r := range out.Rules {
		if !r.Decided {
			ruleText(w, r, verbose)
		}
	}
}

func (out *report) verdictText(w io.Writer) {
	fmt.Fprintf(w, "%s, %s\n", verdictWord(out.Verdict), codesText(out.Status, out.Verdict, out.Reasons))
	for _, r := range out.Reasons {
		fmt.Fprintf(w, "  %s\n", visible(r.Text))
	}
	if r := out.Recorded; r != nil && !r.Agrees {
		fmt.Fprintf(w, "When it was asked: %s, %s\n", strings.ToLower(verdictWord(r.Verdict)), codesText(r.Status, r.Verdict, r.Reasons))
	}
	fmt.Fprintln(w)
}

func verdictWord(v string) string {
	switch v {
	case "allow":
		return "Allowed"
	case "limit":
		return "Limited"
	case "error":
		return "Failed"
	default:
		return "Refused"
	}
}

func codesText(status int, verdict string, reasons []reportReason) string {
	var codes []string
	for _, r := range reasons {
		codes = append(codes, r.Code)
	}
	s := strings.Join(codes, ", ")
	if verdict != "allow" {
		s = fmt.Sprintf("%d: %s", status, s)
	}
	return s
}

func (out *report) facts(w io.Writer) {
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-8s %s\n", name, visible(fmt.Sprintf(format, args...)))
	}
	r := out.Request
	fact("asked", "%s %s%s", r.Method, r.Host, r.Path)
	route := r.Route
	if r.Matched != "" {
		route += " (" + r.Matched + ")"
	}
	fact("route", "%s", orDash(route))
	when := r.Time.Format("2006-01-02T15:04:05Z07:00")
	if r.LocalTime != "" {
		when = r.LocalTime + " (" + when + ")"
	}
	fact("when", "%s", when)
	if r.ID != "" {
		fact("id", "%s", r.ID)
	}
	if r.From != "" {
		fact("from", "%s", r.From)
	}
	fact("who", "%s", out.Who.text())
	policy := "revision " + out.Policy.Revision
	if out.Policy.Generation > 0 {
		policy += fmt.Sprintf(", generation %d", out.Policy.Generation)
	}
	fact("policy", "%s, %s", policy, out.Policy.Source)
	if strings.Contains(out.Policy.Revision, "+") { // some are not at their defaults
		for _, name := range slices.Sorted(maps.Keys(out.Policy.Switches)) {
			fact("switch", "%s = %s", name, out.Policy.Switches[name])
		}
	}
	for _, h := range out.Headers.Set {
		fact("sets", "%s: %s", h.Name, h.Value)
	}
	if len(out.Headers.Removed) > 0 {
		fact("removes", "%s", strings.Join(out.Headers.Removed, ", "))
	}
	for _, h := range out.Headers.Response {
		fact("answers", "%s: %s", h.Name, h.Value)
	}
	for _, l := range out.Limits {
		fact("limit", "%s", l.text()+"; not charged here")
	}
	if x := out.Recorded; x != nil && x.Limit != nil {
		fact("limit", "%s, retry after %.3f s", x.Limit.text(), x.RetryAfter)
	}
	if out.StreamUntil != nil {
		fact("streams", "end at %s", out.StreamUntil.Format("2006-01-02T15:04:05Z07:00"))
	}
}

func (l *reportLimit) text() string {
	return fmt.Sprintf("%s %s: %g a second, burst %d, cost %d", l.Name, l.Key, l.RequestsPerSecond, l.Burst, l.Cost)
}

func (who *reportWho) text() string {
	if who == nil {
		return "nobody is signed in"
	}
	s := cmp.Or(who.Email, who.User) + ", roles " + visibleList(who.Roles)
	if len(who.Groups) > 0 {
		s += ", groups " + visibleList(who.Groups)
	}
	return s + ", from " + who.Source
}

// ruleText prints one rule and its conditions; without verbose, of a rule that
// did not hold only the condition that failed.
func ruleText(w io.Writer, r engine.RuleTrace, verbose bool) {
	line := strings.TrimSuffix(strings.TrimSpace(r.Text), " if {")
	place := fmt.Sprintf("%s:%d", r.File, r.Line)
	if r.Title != "" {
		place += ", " + r.Title
	}
	fmt.Fprintf(w, "  %s %s  (%s)\n", mark(r.State), visible(line), visible(place))
	if verbose {
		for _, v := range r.Gives {
			fmt.Fprintf(w, "      gives %s\n", visible(v))
		}
	}
	for i, c := range r.Conditions {
		if !verbose && r.State == engine.NotHeld && i < len(r.Conditions)-1 {
			continue // what held on the way to the failure
		}
		conditionText(w, c, verbose)
	}
}

// wide is how long a line gets before values go on lines of their own.
const wide = 120

func conditionText(w io.Writer, c engine.Condition, verbose bool) {
	m := "✓"
	if !c.Holds {
		m = "✗"
	}
	line := "      " + m + " " + visible(c.Text)
	var values []string
	for _, v := range c.Values {
		// The mark says already whether a reference has a value.
		if verbose || len(c.Values) > 1 || v.Value != "undefined" && v.Value != "true" {
			values = append(values, visible(v.Name+" = "+v.Value))
		}
	}
	if joined := strings.Join(values, ", "); len(line)+len(joined) < wide && len(values) > 0 {
		fmt.Fprintf(w, "%s   [%s]\n", line, joined)
		return
	}
	fmt.Fprintln(w, line)
	for _, v := range values {
		fmt.Fprintf(w, "          %s\n", v)
	}
}

func mark(s engine.State) string {
	switch s {
	case engine.Held:
		return "✓"
	case engine.NotHeld:
		return "✗"
	default:
		return "–"
	}
}
