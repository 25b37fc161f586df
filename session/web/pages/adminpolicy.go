package pages

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/neosc/gate/session"
)

// PolicyView is the console's page of the policy.
type PolicyView struct {
	Viewer
	State session.PolicyState
}

// mostRules bounds the rules that are listed; those that never held go first.
const mostRules = 200

// ruleRow is a rule with how often it held.
type ruleRow struct {
	Name, At, Held string
	Never          bool
}

// bundleRow is a bundle to which there is a way back.
type bundleRow struct {
	ID, Short, Revision, Signer string
	When                        Instant
	Active                      bool
}

// differenceRow is one kind of disagreement with a candidate.
type differenceRow struct {
	Kind, Route, From, To, Count, Request string
	Rules                                 []string
}

// shadowPart is what is shown of a candidate.
type shadowPart struct {
	Revision, Place, Share, Compared, Disagreed, Percent, Trouble string
	Dropped                                                       string
	// Mark tells this candidate from one that takes its place.
	Mark  string
	Since Instant
	Rows  []differenceRow
}

// Policy renders the page.
func (r *Renderer) Policy(v PolicyView) Page {
	s := &v.State
	d := struct {
		frame
		Place, Revision, Mark, Generation, Refused, LastError, SourceError string
		Loaded, Attempt, SourceSince                                       Instant
		Signer, SignerNote, Tests, TestsNote, Runs, RunsNote               string
		Slow                                                               bool
		Shadow                                                             *shadowPart
		Bundles                                                            []bundleRow
		Rules                                                              []ruleRow
		Never, More                                                        int
		Evaluations                                                        string
	}{
		frame: r.frame(v.Viewer, "policy", "Policy"), Place: shown(s.Place, 300), Revision: shown(s.Revision, 60), Generation: grouped(int(s.Generation)),
		Refused: shown(s.Refused, 60), LastError: shownLines(s.LastError, 4000), SourceError: shown(s.SourceError, 1000),
		Loaded: utc(s.LoadedAt), Attempt: utc(s.LastAttempt), SourceSince: utc(s.SourceSince), Shadow: shadowOf(s.Shadow), Evaluations: counted(s.Evaluations),
	}
	d.Signer, d.SignerNote, d.Tests, d.TestsNote = bundleWords(s.Bundle)
	d.Runs, d.RunsNote, d.Slow = runsWords(s)
	for _, b := range s.Kept {
		d.Bundles = append(d.Bundles, bundleRow{
			ID: b.ID, Short: shown(b.ID[:min(12, len(b.ID))], 12), Revision: shown(b.Revision, 60), Signer: shown(b.Signer, 60), When: utc(b.ActivatedAt), Active: b.Active,
		})
	}
	rules := slices.Clone(s.Rules)
	slices.SortStableFunc(rules, func(a, b session.PolicyRule) int { return cmp.Compare(a.Held, b.Held) })
	for _, x := range rules {
		if x.Held == 0 {
			d.Never++
		}
		if len(d.Rules) < mostRules {
			d.Rules = append(d.Rules, ruleRow{shown(x.Name, 200), shown(x.At, 200), counted(x.Held), x.Held == 0})
		}
	}
	d.More = len(rules) - len(d.Rules)
	return r.render("policy", r.ownCSP(), orStatus(v.Status), d)
}

// shownLines is shown that keeps lines.
func shownLines(s string, most int) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = shown(line, 300)
	}
	s = strings.Join(lines, "\n")
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

func counted(n uint64) string { return grouped(int(min(n, 1<<62))) }

// bundleWords says who signed the active bundle, and how it was tested.
func bundleWords(b *session.PolicyBundle) (signer, signerNote, tests, testsNote string) {
	if b == nil {
		return "nobody", "it is no bundle", "none", "of a bundle"
	}
	if b.Signer == "" {
		signer, signerNote = "nobody", "no signature is asked for"
	} else {
		signer, signerNote = shown(b.Signer, 60), shown(b.Algorithm, 20)
	}
	tests, testsNote = grouped(b.Tests), "passed before it was taken"
	if b.Tests == 0 {
		tests, testsNote = "none", "were run in this process"
	}
	return signer, signerNote, tests, testsNote
}

// runsWords says what evaluates the policy.
func runsWords(s *session.PolicyState) (runs, note string, slow bool) {
	switch {
	case s.Pending:
		return "OPA, for now", "being compared with the machine", false
	case s.Machine:
		note = "agreed with OPA"
		if s.Outcomes > 0 {
			note += " in " + grouped(s.Reached) + " of " + grouped(s.Outcomes) + " outcomes"
		}
		return "the machine", note, false
	case s.Why == "":
		return "OPA", "as configured", false
	}
	return "OPA", shown(s.Why, 300), true
}

func shadowOf(s *session.PolicyShadow) *shadowPart {
	if s == nil {
		return nil
	}
	p := &shadowPart{
		Revision: shown(s.Revision, 60), Place: shown(s.Place, 300), Share: strconv.FormatFloat(100*s.Share, 'f', -1, 64) + "%",
		Compared: counted(s.Compared), Disagreed: counted(s.Disagreed), Trouble: shown(s.Trouble, 300), Since: utc(s.Since),
		Mark: strconv.FormatInt(s.Since.UnixNano(), 10),
	}
	if s.Dropped > 0 {
		p.Dropped = counted(s.Dropped)
	}
	if s.Compared > 0 {
		p.Percent = fmt.Sprintf("%.3g%%", 100*float64(s.Disagreed)/float64(s.Compared))
	}
	for _, x := range s.Differences[:min(len(s.Differences), 100)] {
		row := differenceRow{
			Kind: shown(x.Kind, 40), Route: shown(x.Route, 64), From: shown(x.From, 100), To: shown(x.To, 100), Count: counted(x.Count), Request: shown(x.RequestID, maxIDShown),
		}
		for _, rule := range x.Rules {
			row.Rules = append(row.Rules, shown(strings.TrimPrefix(rule, "data."), 200))
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}
