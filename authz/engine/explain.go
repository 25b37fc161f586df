package engine

import (
	"context"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Bounds of one explanation. A trace has some 2,000 events for the shipped
// policy; a policy that loops over its data makes millions.
const (
	maxExplainEvents = 200_000
	maxExplainRules  = 1000
	maxLookups       = 500
	explainTimeout   = 5 * time.Second
)

// Explanation says what a program made of one request, rule by rule, as OPA's
// own evaluation of the loaded policy tells it. It has no secrets of the
// request in it: values under a name that authz.SecretName knows, and the same
// values wherever else they turn up, are masked.
type Explanation struct {
	// Decision is what Decide returns for the request, nil when it fails with Err.
	Decision *authz.Decision
	Err      error
	// Rules are all rules of the policy: first those that the decision follows
	// from, a rule before what it follows from itself; then the others in the
	// order of the files.
	Rules []RuleTrace
	// Events counts the trace's events. Cut says that there were more than are
	// looked at: the evaluation was ended there, and a rule may hold that is said
	// not to. Decision is whole all the same.
	Events int
	Cut    bool

	hider *hider
}

// Hide masks in s what Explanation masks in values.
func (e *Explanation) Hide(s string) string { return e.hider.hide(s) }

// State says what became of a rule.
type State string

// States of a rule. A rule that is asked about several times (a function, or
// one that loops) held if it held once.
const (
	Held         State = "held"
	NotHeld      State = "not_held"
	NotEvaluated State = "not_evaluated"
)

// RuleTrace is one rule: one definition, of which a name may have several.
type RuleTrace struct {
	// Rule is the full name, such as data.neosc.authz.denials.
	Rule string `json:"rule"`
	// Title comes from the METADATA above it, "" without.
	Title string `json:"title,omitempty"`
	// Text is its first line.
	Text string `json:"text"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Default marks a rule that gives the value when no other of its name does.
	Default bool  `json:"default,omitempty"`
	State   State `json:"state"`
	// Decided: the decision follows from what became of this rule.
	Decided bool `json:"decided"`
	// Gives are the values it gave, at most four.
	Gives []string `json:"gives,omitempty"`
	// Conditions are its body as far as it was evaluated; of a rule that did not
	// hold the last one is the first that failed.
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition is one expression of a rule's body.
type Condition struct {
	Text  string `json:"text"`
	Line  int    `json:"line"`
	Holds bool   `json:"holds"`
	// Values are what its variables and references stood for; a loop that
	// failed has those of its first few rounds.
	Values []NamedValue `json:"values,omitempty"`
}

// NamedValue is a variable or reference and its value in Rego's notation,
// shortened; "undefined" where it has none.
type NamedValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Explain decides r as Decide does and traces the evaluation. It charges
// nothing and changes nothing. It is for people who ask: a hundred times slower
// than Decide. The error is for a request that cannot be put before policy, or
// a trace that could not end.
func (p *Program) Explain(ctx context.Context, r *authz.Request) (*Explanation, error) {
	input, err := p.build.build(r)
	if err != nil {
		return nil, err
	}
	e := &Explanation{hider: newHider(r)}
	e.Decision, e.Err = p.Decide(ctx, r)
	ctx, stop := context.WithTimeout(ctx, explainTimeout)
	defer stop()
	cut, endTrace := context.WithCancel(ctx)
	defer endTrace()
	t := &tracer{program: p, rules: map[*ast.Rule]*ruleState{}, frames: map[uint64]*ast.Rule{}, full: endTrace}
	// Neither index nor early exit: both skip rules that do not matter, which is
	// what somebody who asks why wants to see. The result is the same.
	q := p.traceQuery(cut, p.query, input, r.Time).WithQueryTracer(t).WithIndexing(false).WithEarlyExit(false)
	err = q.Iter(cut, func(topdown.QueryResult) error { return nil })
	e.Events, e.Cut = t.events, t.events > maxExplainEvents
	switch {
	case err == nil || e.Cut:
	case topdown.IsCancel(err):
		return nil, failf(Timeout, "the trace was ended after %v or by its caller", explainTimeout)
	case e.Err == nil:
		e.Err = failf(Evaluation, "%w", err)
	}
	x := explainer{program: p, ctx: ctx, now: r.Time, input: input, tracer: t, hider: e.hider, found: map[string]*ast.Term{}}
	e.Rules = x.all(e.Decision)
	return e, nil
}

// traceQuery is a query in the program's world.
func (p *Program) traceQuery(ctx context.Context, body ast.Body, input *ast.Term, now time.Time) *topdown.Query {
	cancel := topdown.NewCancel()
	context.AfterFunc(ctx, cancel.Cancel)
	return topdown.NewQuery(body).WithQueryCompiler(p.queryCompiler).WithCompiler(p.compiler).WithStore(p.store).
		WithTransaction(p.txn).WithMetrics(metrics.NoOp()).WithCancel(cancel).WithTime(now).WithInput(input)
}
