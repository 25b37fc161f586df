package engine

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// setters finds the header names that a decision states in the text, through
// rules, variables, object.union and base data. What it cannot follow is left
// to the check of each decision.
type setters struct {
	compiler *ast.Compiler
	data     ast.Object
	edge     *Edge
	seen     map[string]bool
	problems []problem
}

// decision looks at the fields of the entry point that set headers.
func (s *setters) decision(entry ast.Ref) {
	for _, field := range []string{"headers", "response_headers_to_add"} {
		s.keys(ast.NewTerm(entry), nil, []string{field}, func(name string, at *ast.Location) {
			lower := strings.ToLower(name)
			if s.edge.responseSettable(lower) || field == "headers" && s.edge.settable(lower) {
				return
			}
			s.problems = append(s.problems, problem{at, fmt.Sprintf(
				"the decision's %s set %q, which policy may not set: name it in set_headers (towards upstreams) or response_headers (towards clients) of the routes file, or take it out", field, lower)})
		})
	}
}

// keys calls f with the fixed keys of the object that lies at path in t, which
// stands in rule r (nil for none).
func (s *setters) keys(t *ast.Term, r *ast.Rule, path []string, f func(string, *ast.Location)) {
	switch v := t.Value.(type) {
	case ast.Object:
		s.objectKeys(v, t, r, path, f)
	case *ast.Array:
		if len(path) == 0 { // an array of header objects
			v.Foreach(func(x *ast.Term) { s.keys(x, r, path, f) })
		}
	case ast.Var:
		s.variableKeys(v, r, path, f)
	case ast.Ref:
		s.referenceKeys(v, t.Location, path, f)
	}
}

func (s *setters) objectKeys(o ast.Object, t *ast.Term, r *ast.Rule, path []string, f func(string, *ast.Location)) {
	if len(path) > 0 {
		if v := o.Get(ast.StringTerm(path[0])); v != nil {
			s.keys(v, r, path[1:], f)
		}
		return
	}
	o.Foreach(func(k, _ *ast.Term) {
		if name, ok := k.Value.(ast.String); ok {
			at := k.Location
			if at == nil {
				at = t.Location
			}
			f(string(name), at)
		}
	})
}

// variableKeys follows what a rule's body says a variable is.
func (s *setters) variableKeys(v ast.Var, r *ast.Rule, path []string, f func(string, *ast.Location)) {
	if r == nil || !s.enter(fmt.Sprintf("%p %s %q", r, v, path)) {
		return
	}
	is := func(t *ast.Term) bool { return t.Value.Compare(v) == 0 }
	ast.WalkExprs(r.Body, func(e *ast.Expr) bool {
		terms, ok := e.Terms.([]*ast.Term)
		switch {
		case !ok:
		case isUnification(e) && len(terms) == 3:
			if is(terms[1]) {
				s.keys(terms[2], r, path, f)
			} else if is(terms[2]) {
				s.keys(terms[1], r, path, f)
			}
		case e.Operator().String() == ast.ObjectUnion.Name && len(terms) == 4 && is(terms[3]):
			s.keys(terms[1], r, path, f)
			s.keys(terms[2], r, path, f)
		case e.Operator().String() == ast.ObjectUnionN.Name && len(terms) == 3 && is(terms[2]):
			if list, ok := terms[1].Value.(*ast.Array); ok {
				list.Foreach(func(x *ast.Term) { s.keys(x, r, path, f) })
			}
		}
		return false
	})
}

// referenceKeys follows a reference into data to the rules and base data that
// make the object at its path.
func (s *setters) referenceKeys(ref ast.Ref, at *ast.Location, path []string, f func(string, *ast.Location)) {
	full := ref.Copy()
	for _, p := range path {
		full = full.Append(ast.StringTerm(p))
	}
	if !full.IsGround() || !full.HasPrefix(ast.DefaultRootRef) || !s.enter(full.String()) {
		return
	}
	for _, r := range s.compiler.GetRules(full.GroundPrefix()) {
		where := r.Ref()
		for rule := r; rule != nil; rule = rule.Else {
			s.ruleKeys(rule, where, full, f)
		}
	}
	if v, err := s.data.Find(full[1:]); err == nil {
		if o, ok := v.(ast.Object); ok {
			s.objectKeys(o, &ast.Term{Value: o, Location: at}, nil, nil, f)
		}
	}
}

func (s *setters) ruleKeys(r *ast.Rule, where, full ast.Ref, f func(string, *ast.Location)) {
	switch {
	case len(where) <= len(full) && full.HasPrefix(where) && r.Head.Value != nil:
		rest := make([]string, 0, len(full)-len(where))
		for _, t := range full[len(where):] {
			name, ok := t.Value.(ast.String)
			if !ok {
				return
			}
			rest = append(rest, string(name))
		}
		s.keys(r.Head.Value, r, rest, f)
	case len(where) > len(full) && where.HasPrefix(full):
		if name, ok := where[len(full)].Value.(ast.String); ok {
			f(string(name), r.Location)
		}
	}
}

// enter reports whether a place is new, which ends cycles.
func (s *setters) enter(place string) bool {
	if s.seen[place] {
		return false
	}
	s.seen[place] = true
	return true
}
