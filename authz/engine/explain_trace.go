package engine

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Bounds of what is kept of one rule.
const (
	maxGives       = 4
	maxRounds      = 4
	maxShownValues = 16
)

// tracer reads the trace while it is made and keeps, of each rule, whether it
// held and how far its body came.
type tracer struct {
	program *Program
	rules   map[*ast.Rule]*ruleState
	frames  map[uint64]*ast.Rule // evaluations under way by query id
	events  int
	full    func() // ends the evaluation
}

// ruleState is what the trace told of one rule.
type ruleState struct {
	held   bool
	gives  []*ast.Term
	failed int // index in the body of the furthest expression that failed; -1 for none
	rounds int
	conds  []rawCondition
}

// rawCondition is a Condition before its references are looked up.
type rawCondition struct {
	expr   *ast.Expr
	holds  bool
	values []rawValue
}

// rawValue has a value, or a reference whose value is looked up after the run.
type rawValue struct {
	name  string
	value *ast.Term
	ref   ast.Ref
	input *ast.Term
}

// Enabled implements topdown.QueryTracer.
func (t *tracer) Enabled() bool { return true }

// Config implements topdown.QueryTracer: the few values that count are plugged
// by hand, all variables at every event would take most of the time.
func (t *tracer) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements topdown.QueryTracer.
func (t *tracer) TraceEvent(e topdown.Event) {
	if t.events++; t.events > maxExplainEvents {
		t.full()
		return
	}
	switch node := e.Node.(type) {
	case *ast.Rule:
		switch e.Op {
		case topdown.EnterOp:
			t.frames[e.QueryID] = node
			t.state(node)
		case topdown.ExitOp:
			t.exit(node, &e)
		}
	case *ast.Expr:
		if rule := t.frames[e.QueryID]; rule != nil && e.Op == topdown.FailOp {
			t.fail(rule, node, &e)
		}
	}
}

func (t *tracer) state(r *ast.Rule) *ruleState {
	s := t.rules[r]
	if s == nil {
		s = &ruleState{failed: -1}
		t.rules[r] = s
	}
	return s
}

func (t *tracer) exit(r *ast.Rule, e *topdown.Event) {
	s := t.state(r)
	if !s.held {
		s.held, s.conds = true, nil
		for _, x := range written(r.Body) {
			if !ofHead(r, x) && !isTrue(x) {
				s.conds = append(s.conds, rawCondition{x, true, t.values(r, x, e, false)})
			}
		}
	}
	v := r.Head.Value
	if r.Head.RuleKind() == ast.MultiValue {
		v = r.Head.Key
	}
	if v == nil || len(s.gives) == maxGives {
		return
	}
	v = e.Plug(v)
	if !slices.ContainsFunc(s.gives, v.Equal) {
		s.gives = append(s.gives, v)
	}
}

// fail keeps the furthest failure: in a loop the round that came nearest.
func (t *tracer) fail(r *ast.Rule, x *ast.Expr, e *topdown.Event) {
	s := t.state(r)
	if s.held || x.Index < s.failed {
		return
	}
	if x.Index == s.failed {
		if s.rounds < maxRounds && len(s.conds) > 0 {
			s.rounds++
			last := &s.conds[len(s.conds)-1]
			last.values = append(last.values, t.values(r, x, e, true)...)
		}
		return
	}
	s.failed, s.rounds, s.conds = x.Index, 1, nil
	for _, y := range written(r.Body) {
		if y.Index < x.Index && !within(x, y) && !ofHead(r, y) && !isTrue(y) {
			s.conds = append(s.conds, rawCondition{y, true, t.values(r, y, e, false)})
		}
	}
	s.conds = append(s.conds, rawCondition{x, false, t.values(r, x, e, true)})
}

// values are those of an expression's variables and references at an event.
// What the compiler took out of the expression into a variable of its own is
// shown under its source text.
func (t *tracer) values(r *ast.Rule, x *ast.Expr, e *topdown.Event, failed bool) []rawValue {
	var out []rawValue
	seen := map[ast.Var]bool{}
	var visit func(x *ast.Expr, failed bool)
	visit = func(x *ast.Expr, failed bool) {
		for _, v := range variables(x) {
			if seen[v] {
				continue
			}
			seen[v] = true
			if def := definition(r, v); def != nil && def != x && within(def, x) {
				visit(def, false)
			}
			value := e.Plug(ast.NewTerm(v))
			if name := t.name(r, v, x); name != "" && value.IsGround() {
				out = append(out, rawValue{name: name, value: value})
			}
		}
		for _, ref := range references(x) {
			if !failed && isAssignment(x) { // the variable's value says it, but not what it is one of
				last, ok := ref[len(ref)-1].Value.(ast.Var)
				if !ok || t.name(r, last, x) != "" {
					continue
				}
				ref = ref[:len(ref)-1]
			}
			if plugged, ok := e.Plug(ast.NewTerm(ref)).Value.(ast.Ref); ok {
				out = append(out, rawValue{ref: plugged, input: e.Input()})
			}
		}
	}
	visit(x, failed)
	return out[:min(len(out), maxShownValues)]
}

// name is a variable's as its author knows it, or the text that it stands for.
func (t *tracer) name(r *ast.Rule, v ast.Var, at *ast.Expr) string {
	if orig, ok := t.program.compiler.RewrittenVars[v]; ok {
		v = orig
	}
	if v.IsWildcard() {
		return ""
	}
	if !v.IsGenerated() && !generated(v) {
		return string(v)
	}
	if def := definition(r, v); def != nil && def != at && def.Location != nil {
		return oneLine(string(def.Location.Text))
	}
	return ""
}

// definition is the expression of a body in which a variable is first used.
func definition(r *ast.Rule, v ast.Var) *ast.Expr {
	for _, x := range r.Body {
		if slices.Contains(variables(x), v) {
			return x
		}
	}
	return nil
}

// written are a body's expressions as written, without those that the compiler
// took out of others.
func written(b ast.Body) []*ast.Expr {
	var out []*ast.Expr
	for _, x := range b {
		if !slices.ContainsFunc(b, func(y *ast.Expr) bool { return x != y && within(x, y) }) {
			out = append(out, x)
		}
	}
	return out
}

// within reports whether x was taken out of y.
func within(x, y *ast.Expr) bool {
	a, b := x.Location, y.Location
	if a == nil || b == nil || a.File != b.File || x.Index >= y.Index {
		return false
	}
	return b.Offset <= a.Offset && a.Offset+len(a.Text) <= b.Offset+len(b.Text)
}

// ofHead reports whether x makes the value in the rule's head.
func ofHead(r *ast.Rule, x *ast.Expr) bool {
	if !isAssignment(x) || x.Location == nil || r.Head.Location == nil {
		return false
	}
	head := r.Head.Location
	return x.Location.Offset < head.Offset+len(head.Text) && x.Location.Offset >= head.Offset
}

func isTrue(x *ast.Expr) bool {
	t, ok := x.Terms.(*ast.Term)
	return ok && t.Value.Compare(ast.Boolean(true)) == 0
}

// isAssignment reports whether x only gives a variable a value.
func isAssignment(x *ast.Expr) bool {
	if !x.IsEquality() {
		return false
	}
	a, ok := x.Operand(0).Value.(ast.Var)
	return ok && generated(a)
}

// generated reports whether the compiler named a variable.
func generated(v ast.Var) bool { return strings.HasPrefix(string(v), "__local") }

// variables are those that x itself uses, without those of bodies in it.
func variables(x *ast.Expr) []ast.Var {
	var out []ast.Var
	walkOperands(x, func(n any) bool {
		switch n := n.(type) {
		case ast.Var:
			if n != ast.InputRootDocument.Value && n != ast.DefaultRootDocument.Value && !slices.Contains(out, n) {
				out = append(out, n)
			}
		case ast.Body, *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension, *ast.Every:
			return true
		}
		return false
	})
	return out
}

// references are those to input and data in x, but for the function called.
func references(x *ast.Expr) []ast.Ref {
	var out []ast.Ref
	walkOperands(x, func(n any) bool {
		switch n := n.(type) {
		case ast.Ref:
			if n.HasPrefix(ast.InputRootRef) || n.HasPrefix(ast.DefaultRootRef) {
				out = append(out, n)
			}
		case ast.Call:
			for _, t := range n[1:] {
				if r, ok := t.Value.(ast.Ref); ok {
					out = append(out, r)
				}
			}
			return true
		}
		return false
	})
	return out
}

// walkOperands visits what is in an expression, but for its operator.
func walkOperands(x *ast.Expr, f func(any) bool) {
	v := ast.NewGenericVisitor(f)
	terms, ok := x.Terms.([]*ast.Term)
	if !ok {
		v.Walk(x.Terms)
		return
	}
	for _, t := range terms[1:] {
		v.Walk(t)
	}
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 160 {
		s = s[:160] + "…"
	}
	return s
}
