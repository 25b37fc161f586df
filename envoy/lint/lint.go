package lint

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity says how bad a finding is.
type Severity string

const (
	// Error lets a spoof, a bypass or an unchecked request through.
	Error Severity = "error"
	// Warning weakens the edge, or lets something through in some settings.
	Warning Severity = "warning"
	// Note is for people to look at: what was not judged, or a choice that must
	// be right.
	Note Severity = "note"
)

// rank orders severities, the worst first.
func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Note}, s) }

// Finding is one thing that is wrong, or that could not be judged.
type Finding struct {
	Severity Severity `json:"severity"`
	// Rule names what was looked for, such as failure_mode_allow.
	Rule string `json:"rule"`
	// Path leads to the field, as in static_resources.listeners[0].address.
	Path string `json:"path"`
	// Problem says what it lets through, Mend what to write instead.
	Problem string `json:"problem"`
	Mend    string `json:"mend,omitempty"`
}

// Report is what was found in one configuration.
type Report struct {
	Findings []Finding `json:"findings"`
	// Listeners and Routes are how many were judged.
	Listeners int `json:"listeners"`
	Routes    int `json:"routes"`
}

// Count is how many findings of a severity there are.
func (r *Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Clean reports whether there is nothing but notes.
func (r *Report) Clean() bool { return r.Count(Error)+r.Count(Warning) == 0 }

// maxFindings bounds a report; the first ones are kept.
const maxFindings = 5000

// Check judges a configuration. name is for messages. The error says that data is
// no Envoy configuration, or that it is larger than MaxSize.
func Check(name string, data []byte) (*Report, error) {
	tree, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l := &linter{report: &Report{}, clusters: map[string]node{}, routeConfigs: map[string]node{}}
	l.collect(tree)
	if len(l.listeners)+len(l.routeConfigs)+len(l.clusters) == 0 {
		return nil, fmt.Errorf("%s: has neither listeners nor clusters nor routes; give a bootstrap, the output of /config_dump, or a file of resources", name)
	}
	for _, x := range l.listeners {
		l.listener(x)
	}
	for _, x := range l.orphans() {
		l.routeConfig(x, nil)
	}
	l.admin()
	slices.SortStableFunc(l.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Severity.rank(), b.Severity.rank()) })
	return l.report, nil
}

// linter gathers what is to be judged, and what is found.
type linter struct {
	report       *Report
	listeners    []node
	clusters     map[string]node
	routeConfigs map[string]node
	used         map[string]bool // route configs that a listener names
	order        []string        // names of routeConfigs, in order
	admins       []node
}

func (l *linter) add(s Severity, rule string, at node, problem, mend string) {
	if len(l.report.Findings) < maxFindings {
		l.report.Findings = append(l.report.Findings, Finding{Severity: s, Rule: rule, Path: at.path, Problem: problem, Mend: mend})
	}
}

// orphans are the route configs that no listener here names: the rest of a file
// of resources.
func (l *linter) orphans() []node {
	var out []node
	for _, name := range l.order {
		if !l.used[name] {
			out = append(out, l.routeConfigs[name])
		}
	}
	return out
}
