package engine

import (
	"cmp"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/neosc/gate/authz/engine/machine"
	"github.com/prometheus/client_golang/prometheus"
)

// facts count which rules held, for one activation on the machine. Decisions
// that come from the cache count no rules: they held when it was taken.
type facts struct {
	rules   []machine.Rule
	stripes [stripes]struct {
		held        []atomic.Uint64
		evaluations atomic.Uint64
		_           [64]byte // decisions on several cores do not wait for one line of memory
	}
}

const stripes = 8

func newFacts(rules []machine.Rule) *facts {
	f := &facts{rules: rules}
	for i := range f.stripes {
		f.stripes[i].held = make([]atomic.Uint64, len(rules))
	}
	return f
}

// note counts one evaluation's rules.
func (f *facts) note(hits []uint64) {
	s := &f.stripes[rand.Uint64()%stripes]
	s.evaluations.Add(1)
	for i, word := range hits {
		for ; word != 0; word &= word - 1 {
			s.held[64*i+bits.TrailingZeros64(word)].Add(1)
		}
	}
}

// RuleFact is one rule of the active policy and how often it held.
type RuleFact struct {
	// Rule is its path, "data.neosc.authz.open"; At where it stands,
	// "authz.rego:12".
	Rule, At string
	// Held counts evaluations on the machine in which it held.
	Held uint64
}

func (f *facts) list() (rules []RuleFact, evaluations uint64) {
	rules = make([]RuleFact, len(f.rules))
	for i, r := range f.rules {
		rules[i] = RuleFact{Rule: r.Name, At: fmt.Sprintf("%s:%d", r.File, r.Row)}
		for j := range f.stripes {
			rules[i].Held += f.stripes[j].held[i].Load()
		}
	}
	for j := range f.stripes {
		evaluations += f.stripes[j].evaluations.Load()
	}
	slices.SortStableFunc(rules, func(a, b RuleFact) int { return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.At, b.At)) })
	return rules, evaluations
}

// Coverage returns how often each rule of the active policy held, and in how
// many evaluations: the rules that live traffic has never used are those with 0.
// Nothing is counted while OPA's evaluator decides.
func (e *Engine) Coverage() (rules []RuleFact, evaluations uint64) {
	if a := e.active.Load(); a != nil {
		if f := a.facts.Load(); f != nil {
			return f.list()
		}
	}
	return nil, 0
}

// Report is what the active policy is, what runs it and what it has done.
type Report struct {
	// Revision and Generation are "" and 0 before the first activation.
	Revision   string
	Generation uint64
	EvaluatorState
	// Rules and Evaluations are what Coverage returns.
	Rules       []RuleFact
	Evaluations uint64
}

// Report returns all that is known of the active policy.
func (e *Engine) Report() Report {
	a := e.active.Load()
	if a == nil {
		return Report{EvaluatorState: e.Evaluator()}
	}
	r := Report{Revision: a.program.revision, Generation: a.generation, EvaluatorState: *a.state.Load()}
	if f := a.facts.Load(); f != nil {
		r.Rules, r.Evaluations = f.list()
	}
	return r
}

// maxRuleSeries bounds how many rules have a series of their own; the others
// share one.
const maxRuleSeries = 500

// otherRules is the rule label of all beyond maxRuleSeries.
const otherRules = "other"

// ruleCollector shows the active policy's facts. They begin anew with each
// activation, as counters of a new process do.
type ruleCollector struct {
	desc   *prometheus.Desc
	engine atomic.Pointer[Engine]
}

func newRuleCollector(prefix string) *ruleCollector {
	return &ruleCollector{desc: prometheus.NewDesc(prefix+"policy_rule_held_total",
		"Evaluations on the machine in which a rule held, by rule; from 0 with each activation.", []string{"rule"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *ruleCollector) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect implements prometheus.Collector.
func (c *ruleCollector) Collect(to chan<- prometheus.Metric) {
	e := c.engine.Load()
	if e == nil {
		return
	}
	rules, _ := e.Coverage()
	counts, order := map[string]uint64{}, []string{}
	for _, r := range rules {
		name := strings.TrimPrefix(r.Rule, "data.")
		if _, known := counts[name]; !known && len(order) >= maxRuleSeries {
			name = otherRules
		}
		if _, known := counts[name]; !known {
			order = append(order, name)
		}
		counts[name] += r.Held
	}
	for _, name := range order {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(counts[name]), strings.ToValidUTF8(name, "?"))
	}
}
