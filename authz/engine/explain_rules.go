package engine

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// explainer turns a trace into what people read.
type explainer struct {
	program *Program
	ctx     context.Context
	now     time.Time
	input   *ast.Term
	tracer  *tracer
	hider   *hider
	found   map[string]*ast.Term // references looked up; nil for an undefined one
	lookups int

	order   []*ast.Rule
	decided map[*ast.Rule]bool
}

// all lists every rule, those that the decision follows from first, and of
// those the ones that gave its reasons.
func (x *explainer) all(d *authz.Decision) []RuleTrace {
	x.begin(nil)
	reached := x.order
	x.begin(slices.DeleteFunc(slices.Clone(reached), func(r *ast.Rule) bool { return !x.gaveReason(r, d) }))
	var others []*ast.Rule
	for _, name := range slices.Sorted(maps.Keys(x.program.compiler.Modules)) {
		for _, r := range x.program.compiler.Modules[name].Rules {
			for ; r != nil; r = r.Else {
				if !x.decided[r] {
					others = append(others, r)
				}
			}
		}
	}
	list := slices.Concat(x.order, others)
	out := make([]RuleTrace, 0, len(list))
	for _, r := range list[:min(len(list), maxExplainRules)] {
		out = append(out, x.rule(r))
	}
	return out
}

// begin finds what the decision follows from, those of first and what they
// follow from at the head of the list.
func (x *explainer) begin(first []*ast.Rule) {
	x.order, x.decided = nil, map[*ast.Rule]bool{}
	for _, r := range first {
		x.take(r)
	}
	for _, r := range first {
		x.causes(r)
	}
	for _, r := range x.definitions(x.entry()) {
		if s := x.tracer.rules[r]; s != nil && s.held {
			x.follow(r)
		}
	}
	if len(x.order) == 0 { // undefined: why did no definition hold
		for _, r := range x.definitions(x.entry()) {
			x.follow(r)
		}
	}
}

// entry is the reference that the query asks for.
func (x *explainer) entry() ast.Ref {
	ref, _ := x.program.query[0].Operand(0).Value.(ast.Ref)
	return ref
}

// gaveReason reports whether a rule held and gave one of the decision's reasons.
func (x *explainer) gaveReason(r *ast.Rule, d *authz.Decision) bool {
	s := x.tracer.rules[r]
	return d != nil && s != nil && s.held && slices.ContainsFunc(s.gives, func(v *ast.Term) bool {
		text, ok := v.Value.(ast.String)
		return ok && slices.Contains(d.Reasons, string(text))
	})
}

// definitions are the rules that a reference asks for, else branches included.
func (x *explainer) definitions(ref ast.Ref) []*ast.Rule {
	var out []*ast.Rule
	for _, r := range x.program.compiler.GetRulesForVirtualDocument(ref.GroundPrefix()) {
		for ; r != nil; r = r.Else {
			out = append(out, r)
		}
	}
	return out
}

// follow takes a rule among those that decided and goes on to what it followed
// from itself: of what it needed, the rules that held; of what it needed not to
// hold, those that did not; of a rule that failed, what made it fail.
func (x *explainer) follow(r *ast.Rule) {
	if x.take(r) {
		x.causes(r)
	}
}

// take lists a rule that the trace knows, once.
func (x *explainer) take(r *ast.Rule) bool {
	if x.tracer.rules[r] == nil || x.decided[r] {
		return false
	}
	x.decided[r] = true
	x.order = append(x.order, r)
	return true
}

func (x *explainer) causes(r *ast.Rule) {
	s := x.tracer.rules[r]
	if s.held {
		for _, e := range r.Body {
			x.followExpr(e, !e.Negated)
		}
		return
	}
	for _, e := range r.Body {
		if s.failed >= 0 && (e.Index == s.failed || e.Index < s.failed && within(e, exprAt(r, s.failed))) {
			x.followExpr(e, e.Negated)
		}
	}
}

// followExpr follows the rules that an expression asks for and that held, or
// did not.
func (x *explainer) followExpr(e *ast.Expr, held bool) {
	ast.WalkRefs(e, func(ref ast.Ref) bool {
		if !ref.HasPrefix(ast.DefaultRootRef) {
			return false
		}
		for _, r := range x.definitions(ref) {
			if s := x.tracer.rules[r]; s != nil && s.held == held {
				x.follow(r)
			}
		}
		return false
	})
}

func exprAt(r *ast.Rule, index int) *ast.Expr {
	for _, e := range r.Body {
		if e.Index == index {
			return e
		}
	}
	return nil
}

func (x *explainer) rule(r *ast.Rule) RuleTrace {
	out := RuleTrace{
		Rule: r.Head.Ref().String(), Title: x.title(r), Text: text(r), Default: r.Default, State: NotEvaluated, Decided: x.decided[r],
	}
	if r.Module != nil { // the reference of a rule is relative to its package
		out.Rule = r.Module.Package.Path.Extend(r.Head.Ref()).String()
	}
	if r.Location != nil {
		out.File, out.Line = r.Location.File, r.Location.Row
	}
	s := x.tracer.rules[r]
	if s == nil {
		return out
	}
	out.State = NotHeld
	if s.held {
		out.State = Held
	}
	for _, v := range s.gives {
		out.Gives = append(out.Gives, x.hider.show(out.Rule, v.Value))
	}
	for _, c := range s.conds {
		out.Conditions = append(out.Conditions, x.condition(c))
	}
	return out
}

// title is the METADATA's, of the rule or of all definitions of its name.
func (x *explainer) title(r *ast.Rule) string {
	set := x.program.compiler.GetAnnotationSet()
	if set == nil {
		return ""
	}
	for _, a := range set.Chain(r) {
		if a.Annotations != nil && (a.Annotations.Scope == "rule" || a.Annotations.Scope == "document") {
			return printable(a.Annotations.Title)
		}
	}
	return ""
}

// text is a rule's first line.
func text(r *ast.Rule) string {
	if r.Location == nil {
		return r.Head.String()
	}
	if r.Default {
		return "default " + r.Head.String()
	}
	first, _, _ := strings.Cut(string(r.Location.Text), "\n")
	return oneLine(first)
}

func (x *explainer) condition(c rawCondition) Condition {
	out := Condition{Text: c.expr.String(), Holds: c.holds}
	if l := c.expr.Location; l != nil {
		out.Text, out.Line = oneLine(string(l.Text)), l.Row
	}
	add := func(name, value string) {
		v := NamedValue{oneLine(name), value}
		if len(out.Values) < maxShownValues && !slices.Contains(out.Values, v) {
			out.Values = append(out.Values, v)
		}
	}
	for _, v := range c.values {
		if v.value != nil {
			add(v.name, x.hider.show(v.name, v.value.Value))
			continue
		}
		x.reference(v, add)
	}
	return out
}

// reference adds a reference's value and, where it has none, that of as much of
// it as has one: which roles there are tells why one is not among them.
func (x *explainer) reference(v rawValue, add func(name, value string)) {
	ref := v.ref.ConstantPrefix()
	if len(ref) < 2 || x.function(ref) {
		return
	}
	t, known := x.lookup(ref, v.input)
	if !known {
		return
	}
	if t != nil {
		add(ref.String(), x.hider.show(ref.String(), t.Value))
		return
	}
	add(ref.String(), "undefined")
	for n := len(ref) - 1; n >= 2; n-- {
		if len(x.program.compiler.GetRulesWithPrefix(ref[:n])) > 0 && len(x.definitions(ref[:n])) == 0 {
			return // a package: all of its rules are no answer
		}
		t, known = x.lookup(ref[:n], v.input)
		if !known {
			return
		}
		if t != nil {
			add(ref[:n].String(), x.hider.show(ref[:n].String(), t.Value))
			return
		}
	}
}

func (x *explainer) function(ref ast.Ref) bool {
	rules := x.definitions(ref)
	return len(rules) > 0 && len(rules[0].Head.Args) > 0
}

// lookup evaluates a reference in the world of the decision: nil if it is
// undefined; not known after too many of them.
func (x *explainer) lookup(ref ast.Ref, input *ast.Term) (value *ast.Term, known bool) {
	if ref.HasPrefix(ast.InputRootRef) {
		v, err := input.Value.Find(ref[1:])
		if err != nil {
			return nil, true
		}
		return ast.NewTerm(v), true
	}
	key := ref.String()
	if t, known := x.found[key]; known && input == x.input {
		return t, true
	}
	if x.lookups++; x.lookups > maxLookups {
		return nil, false
	}
	var out *ast.Term
	body := ast.NewBody(ast.Equality.Expr(ast.NewTerm(ref), ast.VarTerm(string(resultVar))))
	err := x.program.traceQuery(x.ctx, body, input, x.now).Iter(x.ctx, func(qr topdown.QueryResult) error {
		out = qr[resultVar]
		return nil
	})
	if err != nil {
		out = nil // what fails has no value
	}
	if input == x.input {
		x.found[key] = out
	}
	return out, true
}
