package access

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/neosc/gate/authz/engine"
	"github.com/open-policy-agent/opa/v1/ast"
)

// Policy is a policy with the Rego texts that it was compiled from.
type Policy struct {
	Judge *engine.Judge
	// Modules are the texts by file name. Without them nothing that rules alone
	// name is tried, and all that could depend on it is said to be unexplored.
	Modules map[string]string
}

// rule is what the text of a rule names.
type rule struct {
	name, text string
	inputs     [][]string      // input.a.b, as far as its names are fixed
	data       [][]string      // data.a.b, the same
	names      map[string]bool // that may be those of other rules
	calls      map[string]bool
	values     []any // string, json.Number or bool
	function   bool
	alias      bool // its value is an input or a variable
	imports    map[string]ast.Ref
	vars       map[string]bool
	parts      []*rule // its expressions, each as a rule of its own
}

// rulesOf reads modules, which were compiled before: one that cannot be parsed
// has no rules.
func rulesOf(modules map[string]string) (out []*rule) {
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		m, err := ast.ParseModuleWithOpts(file, modules[file], ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			continue
		}
		imports := map[string]ast.Ref{}
		for _, i := range m.Imports {
			if path, ok := i.Path.Value.(ast.Ref); ok {
				imports[string(i.Name())] = path
			}
		}
		for _, r := range m.Rules {
			x := &rule{name: strings.Trim(r.Head.Ref()[0].String(), `"`), text: m.Package.Path.String() + " " + r.String(), function: len(r.Head.Args) > 0,
				names: map[string]bool{}, calls: map[string]bool{}, imports: imports}
			for ; r != nil; r = r.Else {
				x.read(r)
				head := &rule{imports: imports, names: map[string]bool{}, calls: map[string]bool{}, vars: map[string]bool{}}
				if r.Head.Value != nil && x.alias {
					ast.NewGenericVisitor(head.visit).Walk(r.Head.Value)
				}
				x.parts = append(x.parts, head)
				for _, e := range r.Body {
					part := &rule{imports: imports, names: map[string]bool{}, calls: map[string]bool{}, vars: map[string]bool{}}
					ast.NewGenericVisitor(part.visit).Walk(e)
					x.parts = append(x.parts, part)
				}
			}
			out = append(out, x)
		}
	}
	return out
}

func (x *rule) read(r *ast.Rule) {
	v := ast.NewGenericVisitor(x.visit)
	for _, t := range r.Head.Args {
		v.Walk(t)
	}
	if r.Head.Key != nil {
		v.Walk(r.Head.Key)
	}
	if t := r.Head.Value; t != nil {
		if _, plain := t.Value.(ast.Boolean); !plain { // every rule without a value has true
			v.Walk(t)
		}
		switch t.Value.(type) {
		case ast.Ref, ast.Var:
			x.alias = true
		}
	}
	v.Walk(r.Body)
}

func (x *rule) visit(node any) bool {
	switch v := node.(type) {
	case ast.Ref:
		x.ref(v)
		for _, t := range v[1:] {
			if _, name := t.Value.(ast.String); !name {
				ast.NewGenericVisitor(x.visit).Walk(t)
			}
		}
		return true
	case *ast.Expr:
		if v.IsCall() {
			x.calls[v.Operator().String()] = true
		}
	case ast.Call:
		x.calls[v[0].String()] = true
	case ast.Var:
		if v == "input" || x.imports[string(v)] != nil { // all of it
			x.ref(ast.Ref{ast.NewTerm(v)})
		}
		x.names[string(v)] = true
		x.variable(v)
	case ast.String:
		x.values = append(x.values, string(v))
	case ast.Number:
		x.values = append(x.values, json.Number(v))
	case ast.Boolean:
		x.values = append(x.values, bool(v))
	}
	return false
}

func (x *rule) ref(ref ast.Ref) {
	if v, ok := ref[0].Value.(ast.Var); ok && x.imports[string(v)] != nil {
		ref = append(slices.Clone(x.imports[string(v)]), ref[1:]...)
	}
	var path []string
	fixed := true
	for _, t := range ref[1:] {
		s, ok := t.Value.(ast.String)
		if fixed = fixed && ok; fixed {
			path = append(path, string(s))
		}
		if ok {
			x.names[string(s)] = true
		}
	}
	switch head, _ := ref[0].Value.(ast.Var); head {
	case "input":
		x.inputs = append(x.inputs, path)
	case "data":
		x.data = append(x.data, path)
	default:
		x.names[string(head)] = true
		if !strings.Contains(ref.String(), ".") || len(ref) > 1 {
			x.variable(head)
		}
	}
}

// variable notes a name that may stand for a value of an input. Those of
// operators are none, and _ stands for another thing each time.
func (x *rule) variable(v ast.Var) {
	if x.vars != nil && !v.IsWildcard() && !v.IsGenerated() && x.imports[string(v)] == nil && v != "input" && v != "data" && !operators[string(v)] {
		x.vars[string(v)] = true
	}
}

var operators = func() map[string]bool {
	out := map[string]bool{}
	for _, b := range ast.Builtins {
		name, _, _ := strings.Cut(b.Name, ".")
		out[name] = true
	}
	return out
}()

// overlap reports whether one of two paths leads to, into or above the other.
func overlap(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

func (x *rule) reads(path []string) bool {
	return slices.ContainsFunc(x.inputs, func(p []string) bool { return overlap(p, path) })
}

// near are the parts of rules in which an input stands, or a variable that was
// taken from it, with the functions and constants that they use and what knows it
// by the name of a rule: what it is compared with stands there, and not in the
// rest of those rules.
func near(all []*rule, path []string) (out []*rule) {
	used, known := map[string]bool{}, map[string]bool{}
	for _, r := range all {
		vars := map[string]bool{}
		for _, x := range r.parts {
			if !x.reads(path) && !common(x.vars, vars) {
				continue
			}
			maps.Copy(vars, x.vars)
			maps.Copy(used, x.names)
			out = append(out, x)
			if r.alias {
				known[r.name] = true
			}
		}
	}
	for _, r := range all {
		if used[r.name] && (r.function || len(r.inputs) == 0) {
			out = append(out, r)
		}
		for _, x := range r.parts {
			if common(x.names, known) && !x.reads(path) {
				out = append(out, x)
			}
		}
	}
	return out
}

func common(a, b map[string]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}

// touched are the inputs that rules read which are not the same in both, or whose
// data is not, with what they use and, of functions, with who calls them.
func touched(old, now *Policy) (paths [][]string, clock bool) {
	was, is := rulesOf(old.Modules), rulesOf(now.Modules)
	a, b := texts(was), texts(is)
	differ := func(r *rule) bool {
		return a[r.text] != b[r.text] || slices.ContainsFunc(r.data, func(path []string) bool {
			return len(path) > 0 && !same(old.Judge.Program().Data(path...), now.Judge.Program().Data(path...))
		})
	}
	for _, all := range [][]*rule{was, is} {
		todo := map[*rule]bool{}
		names := map[string]bool{}
		for _, r := range all {
			if differ(r) {
				todo[r] = true
				if r.function {
					names[r.name] = true
				}
			}
		}
		for _, r := range all {
			for name := range names {
				todo[r] = todo[r] || r.names[name]
			}
		}
		for _, r := range closure(all, todo) {
			paths = append(paths, r.inputs...)
			clock = clock || r.calls["time.now_ns"]
		}
	}
	return paths, clock
}

// closure adds the rules that rules use.
func closure(all []*rule, first map[*rule]bool) (out []*rule) {
	used := map[string]bool{}
	taken := map[*rule]bool{}
	for more := true; more; {
		more = false
		for _, r := range all {
			if !taken[r] && (first[r] || used[r.name]) {
				taken[r], more = true, true
				maps.Copy(used, r.names)
				out = append(out, r)
			}
		}
	}
	return out
}

func texts(all []*rule) map[string]int {
	out := map[string]int{}
	for _, r := range all {
		out[r.text]++
	}
	return out
}

func same(a, b any) bool {
	x, xErr := json.Marshal(a) // sorts keys
	y, yErr := json.Marshal(b)
	return xErr == nil && yErr == nil && string(x) == string(y)
}
