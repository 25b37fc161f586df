package engine

import "github.com/open-policy-agent/opa/v1/ast"

// use says what happens to a term's value where the term stands.
type use bool

const (
	// handedOn: it goes where it cannot be followed.
	handedOn use = false
	// followed: it gets a name that is followed, or is only looked at.
	followed use = true
)

func (a *analysis) visitRule(x ruleAt) {
	a.rule, a.expr = x, nil
	head := x.rule.Head
	for _, t := range head.Args {
		a.visit(t, handedOn)
	}
	for _, t := range head.Ref()[1:] {
		a.visit(t, handedOn)
	}
	if head.Key != nil {
		a.visit(head.Key, handedOn)
	}
	if head.Value != nil {
		a.visit(head.Value, use(x.named()))
	}
	a.visitBody(x.rule.Body)
}

func (a *analysis) visitBody(b ast.Body) {
	before := a.expr
	for _, e := range b {
		a.expr = e
		a.visitExpr(e)
	}
	a.expr = before
}

func (a *analysis) visitExpr(e *ast.Expr) {
	for _, w := range e.With {
		a.visit(w.Value, handedOn)
	}
	switch terms := e.Terms.(type) {
	case *ast.Term:
		a.visit(terms, followed)
	case *ast.Every:
		a.visit(terms.Domain, handedOn)
		a.visitBody(terms.Body)
	case *ast.SomeDecl:
		for _, t := range terms.Symbols {
			a.visit(t, handedOn)
		}
	case []*ast.Term:
		a.visitCall(e, terms)
	}
}

func (a *analysis) visitCall(e *ast.Expr, terms []*ast.Term) {
	switch {
	case isUnification(e) && len(terms) == 3:
		a.visit(terms[1], a.namedWith(terms[2]))
		a.visit(terms[2], a.namedWith(terms[1]))
	case isObjectGet(e) && len(terms) == 5:
		a.visit(terms[1], followed)
		follow(a.value(terms[1]), keysOf(terms[2]), terms[1].Location, a)
		a.visit(terms[2], handedOn)
		a.visit(terms[3], handedOn)
	default:
		for _, t := range terms[1:] {
			a.visit(t, handedOn)
		}
	}
}

// namedWith says what = does to the value on its other side: a variable takes
// it as its value, and a node on this side is what gave that variable its own.
// Anything else compares, field by field.
func (a *analysis) namedWith(t *ast.Term) use {
	return use(isVar(t) || a.value(t) != 0)
}

func isVar(t *ast.Term) bool {
	_, ok := t.Value.(ast.Var)
	return ok
}

// visit reports what a term reads, and whether a node goes with it to where it
// cannot be followed.
func (a *analysis) visit(t *ast.Term, u use) {
	switch v := t.Value.(type) {
	case ast.Var:
		if n := a.variable(v); n != 0 && u == handedOn {
			a.escapes(n, t.Location)
		}
	case ast.Ref:
		a.visitRef(v, t.Location, u)
	case *ast.Array:
		v.Foreach(func(x *ast.Term) { a.visit(x, handedOn) })
	case ast.Set:
		v.Foreach(func(x *ast.Term) { a.visit(x, handedOn) })
	case ast.Object:
		v.Foreach(func(k, x *ast.Term) {
			a.visit(k, handedOn)
			a.visit(x, handedOn)
		})
	case ast.Call:
		for _, x := range v[1:] {
			a.visit(x, handedOn)
		}
	case *ast.ArrayComprehension:
		a.visit(v.Term, handedOn)
		a.visitBody(v.Body)
	case *ast.SetComprehension:
		a.visit(v.Term, handedOn)
		a.visitBody(v.Body)
	case *ast.ObjectComprehension:
		a.visit(v.Key, handedOn)
		a.visit(v.Value, handedOn)
		a.visitBody(v.Body)
	case *ast.TemplateString:
		for _, part := range v.Parts {
			switch x := part.(type) {
			case *ast.Term:
				a.visit(x, handedOn)
			case *ast.Expr:
				a.visitExpr(x)
			}
		}
	}
}

func (a *analysis) visitRef(ref ast.Ref, at *ast.Location, u use) {
	if !isVar(ref[0]) { // f(x).y, {…}[x]
		a.visit(ref[0], handedOn)
	}
	for _, t := range ref[1:] {
		if !ast.IsConstant(t.Value) {
			a.visit(t, handedOn)
		}
	}
	n := a.reference(ref, at, a)
	above := false
	if ref[0].Equal(ast.DefaultRootDocument) {
		for length := range a.namedBy(ref) {
			above = above || length > len(ref)
		}
	}
	if n != 0 && (u == handedOn || above) {
		a.escapes(n, at)
	}
}
