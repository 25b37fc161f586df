package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// analyse finds what a compiled policy set must not do with this edge.
//
// Reading: a header that Envoy does not forward is undefined to policy, and a
// rule that denies by it never fires. So every header that a rule reads must be
// forwarded, and to know which it reads, a header's name must stand in the text
// as a string. A value that still holds all headers (input, input.attributes,
// … .headers) may be given a name, by a variable or a rule, whose uses are
// followed; handed to a function, compared, iterated, put into another value or
// indexed by a variable it could be read in any way, and is refused. The one
// function that is followed is object.get with a string as key.
//
// Setting: header names that the decision states in the text must be settable.
// Names that are computed are held to the same list at each decision.
func analyse(c *ast.Compiler, data ast.Object, entry ast.Ref, e *Edge) []problem {
	a := &analysis{edge: e, names: map[string]*name{}, vars: map[*ast.Rule]map[ast.Var]nodes{}}
	a.eachRule(c, func(path ast.Ref, r *ast.Rule) { a.paths = append(a.paths, ruleAt{path, r}) })
	for a.changed = true; a.changed; { // sets only grow, so this ends
		a.changed = false
		for _, x := range a.paths {
			a.nameRule(x)
		}
	}
	for _, x := range a.paths {
		a.visitRule(x)
	}
	s := &setters{compiler: c, data: data, edge: e, seen: map[string]bool{}}
	s.decision(entry)
	return append(a.problems, s.problems...)
}

type ruleAt struct {
	path ast.Ref
	rule *ast.Rule
}

// name is a rule whose value is a node.
type name struct {
	path ast.Ref
	is   nodes
}

type analysis struct {
	edge     *Edge
	paths    []ruleAt
	names    map[string]*name // by path, as text
	vars     map[*ast.Rule]map[ast.Var]nodes
	changed  bool
	problems []problem

	// Where the visit is.
	rule ruleAt
	expr *ast.Expr
}

func (a *analysis) eachRule(c *ast.Compiler, f func(ast.Ref, *ast.Rule)) {
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			path := r.Ref()
			for ; r != nil; r = r.Else {
				f(path, r)
			}
		}
	}
}

// named reports whether a rule's value may be a node that its path names: a
// rule with one value and a fixed path.
func (x ruleAt) named() bool {
	return len(x.rule.Head.Args) == 0 && x.rule.Head.RuleKind() == ast.SingleValue && x.path.IsGround()
}

// nameRule learns which variables of a rule, and whether the rule itself, are
// names for nodes.
func (a *analysis) nameRule(x ruleAt) {
	a.rule = x
	if a.vars[x.rule] == nil {
		a.vars[x.rule] = map[ast.Var]nodes{}
	}
	ast.WalkExprs(x.rule, func(e *ast.Expr) bool {
		terms, ok := e.Terms.([]*ast.Term)
		switch {
		case !ok:
		case isUnification(e) && len(terms) == 3:
			a.nameVar(terms[1], a.value(terms[2]))
			a.nameVar(terms[2], a.value(terms[1]))
		case isObjectGet(e) && len(terms) == 5:
			a.nameVar(terms[4], follow(a.value(terms[1]), keysOf(terms[2]), nil, nil)|a.value(terms[3]))
		}
		return false
	})
	if v := x.rule.Head.Value; v != nil && x.named() {
		if n := a.value(v); n != 0 {
			a.nameRuleAs(x.path, n)
		}
	}
}

func (a *analysis) nameRuleAs(path ast.Ref, n nodes) {
	key := path.String()
	if a.names[key] == nil {
		a.names[key] = &name{path: path}
	}
	if known := a.names[key]; known.is|n != known.is {
		known.is |= n
		a.changed = true
	}
}

func (a *analysis) nameVar(t *ast.Term, n nodes) {
	vars := a.vars[a.rule.rule]
	if v, ok := t.Value.(ast.Var); ok && vars[v]|n != vars[v] {
		vars[v] |= n
		a.changed = true
	}
}

// value returns which nodes a variable or reference may be.
func (a *analysis) value(t *ast.Term) nodes {
	switch v := t.Value.(type) {
	case ast.Var:
		return a.variable(v)
	case ast.Ref:
		return a.reference(v, nil, nil)
	}
	return 0
}

func (a *analysis) variable(v ast.Var) nodes {
	if v.Equal(ast.InputRootDocument.Value) {
		return atInput
	}
	return a.vars[a.rule.rule][v]
}

// reference follows a reference and tells r what it reads.
func (a *analysis) reference(ref ast.Ref, at *ast.Location, r reader) nodes {
	if ref[0].Equal(ast.DefaultRootDocument) {
		var found nodes
		for length, n := range a.namedBy(ref) {
			found |= follow(n, ref[min(length, len(ref)):], at, r)
		}
		return found
	}
	if v, ok := ref[0].Value.(ast.Var); ok {
		return follow(a.variable(v), ref[1:], at, r)
	}
	return 0
}

// namedBy returns the nodes that a reference into data may reach, by the length
// of the rule's path. A reference that ends above such a rule holds the node in
// a larger value; its length is then beyond the reference's end.
func (a *analysis) namedBy(ref ast.Ref) map[int]nodes {
	found := map[int]nodes{}
	for _, x := range a.names {
		if mayReach(ref, x.path) {
			found[len(x.path)] |= x.is
		}
	}
	return found
}

// mayReach reports whether ref may lead to, into or above path.
func mayReach(ref, path ast.Ref) bool {
	for i := range min(len(ref), len(path)) {
		if ast.IsConstant(ref[i].Value) && !ref[i].Equal(path[i]) {
			return false
		}
	}
	return true
}

func isUnification(e *ast.Expr) bool {
	return e.IsEquality() || e.IsAssignment()
}

func isObjectGet(e *ast.Expr) bool {
	return e.IsCall() && e.Operator().String() == ast.ObjectGet.Name
}

// keysOf returns the second argument of object.get as the rest of a reference.
func keysOf(t *ast.Term) []*ast.Term {
	if list, ok := t.Value.(*ast.Array); ok {
		keys := make([]*ast.Term, 0, list.Len())
		list.Foreach(func(k *ast.Term) { keys = append(keys, k) })
		return keys
	}
	return []*ast.Term{t}
}

func (a *analysis) report(at *ast.Location, format string, args ...any) {
	if at == nil || at.File == "" {
		if a.expr != nil && a.expr.Location != nil {
			at = a.expr.Location
		} else {
			at = a.rule.rule.Location
		}
	}
	a.problems = append(a.problems, problem{at, "rule " + a.rule.path.String() + " " + fmt.Sprintf(format, args...)})
}

// header implements reader.
func (a *analysis) header(name string, at *ast.Location) {
	lower := strings.ToLower(name)
	switch {
	case lower != name:
		a.report(at, "reads header %q, but header names reach policy in lower case: write %q", name, lower)
	case !a.edge.forwarded(name):
		a.report(at, "reads header %q, which Envoy does not forward, so it would always be undefined: add it to check_headers in the routes file", name)
	}
}

// bodies are fields that opa-envoy-plugin has and that are never there here.
var bodies = []string{
	"input.parsed_body", "input.truncated_body", "input.attributes.request.http.body",
	"input.attributes.request.http.raw_body", "input.attributes.request.http.size",
}

// absent implements reader.
func (a *analysis) absent(field string, at *ast.Location) {
	if slices.Contains(bodies, field) {
		a.report(at, "reads %s, but request bodies are not forwarded to policy: decide by method, path and headers, or let the upstream check the body", field)
		return
	}
	a.report(at, "reads %s, which the input never has: see policies/schema/input.json", field)
}

// dynamic implements reader.
func (a *analysis) dynamic(node string, at *ast.Location) {
	a.report(at, "indexes %s by a value that is not fixed, so it cannot be told which headers it reads: write the name as a string, e.g. %s[\"accept\"]", node, nodeNames[len(nodeNames)-1])
}

func (a *analysis) escapes(n nodes, at *ast.Location) {
	a.report(at, "hands on %s whole, with all headers in it, so it cannot be told which it reads: name the single fields instead", n.deepest())
}
