package machine

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// grammar writes small policies, steered by bytes: the same bytes, the same
// policy. When they are used up it chooses what ends soonest.
type grammar struct {
	bytes []byte
	vars  []string // in scope
	rules []string // that may be referred to: those before
	funcs []string
	fresh int
	depth int
	// narrow: neither with nor the input as a whole
	narrow bool
}

func (g *grammar) n(below int) int {
	if len(g.bytes) == 0 {
		return 0
	}
	b := int(g.bytes[0])
	g.bytes = g.bytes[1:]
	return b % below
}

func (g *grammar) one(xs ...string) string { return xs[g.n(len(xs))] }

func (g *grammar) variable() string {
	g.fresh++
	return fmt.Sprintf("v%d_", g.fresh)
}

// module has a rule p that shows what all others give.
func (g *grammar) module() string {
	var b strings.Builder
	for i := range 2 + g.n(5) {
		for range 6 { // until there is one that OPA takes
			write, list, name := g.rule, &g.rules, fmt.Sprintf("r%d", i)
			if g.n(4) == 1 {
				write, list, name = g.function, &g.funcs, fmt.Sprintf("f%d", i)
			}
			g.vars = nil
			if text := write(name); g.taken(b.String() + text) {
				b.WriteString(text)
				*list = append(*list, name)
				break
			}
		}
	}
	b.WriteString("p := {")
	for i, r := range g.rules {
		fmt.Fprintf(&b, "%q: [x | x := %s], ", fmt.Sprint(i), r)
	}
	b.WriteString("\"end\": 1}\n")
	return b.String()
}

func (g *grammar) taken(module string) bool {
	m, err := ast.ParseModuleWithOpts("t.rego", "package t\n"+module, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return false
	}
	c := ast.NewCompiler()
	c.Compile(map[string]*ast.Module{"t.rego": m})
	return !c.Failed()
}

func (g *grammar) rule(name string) string {
	var b strings.Builder
	kind := g.n(7)
	if kind >= 4 && g.n(3) == 1 {
		fmt.Fprintf(&b, "default %s := %s\n", name, g.one("false", "0", `"none"`, "[]", "{}"))
	}
	value := g.one("1", "true", `"a"`)
	for range 1 + g.n(3) {
		g.vars = nil
		body := g.body(1 + g.n(4))
		switch kind {
		case 0:
			fmt.Fprintf(&b, "%s contains %s if {\n%s}\n", name, g.value(), body)
		case 1:
			fmt.Fprintf(&b, "%s[%s] := %s if {\n%s}\n", name, g.value(), g.value(), body)
		case 2, 3:
			fmt.Fprintf(&b, "%s if {\n%s}\n", name, body)
		case 4:
			fmt.Fprintf(&b, "%s := %s if {\n%s}\n", name, value, body)
		case 5:
			fmt.Fprintf(&b, "%s := %s if {\n%s}", name, g.value(), body)
			for range g.n(3) {
				g.vars = nil
				body := g.body(1 + g.n(3))
				fmt.Fprintf(&b, " else := %s if {\n%s}", g.value(), body)
			}
			b.WriteString("\n")
		case 6:
			fmt.Fprintf(&b, "%s := %s if {\n%s}\n", name, g.value(), body)
		}
	}
	return b.String()
}

func (g *grammar) function(name string) string {
	var b strings.Builder
	for range 1 + g.n(2) {
		g.vars = []string{"arg"}
		body := g.body(1 + g.n(3))
		if g.n(3) == 0 {
			fmt.Fprintf(&b, "%s(arg) if {\n%s}", name, body)
		} else {
			fmt.Fprintf(&b, "%s(arg) := %s if {\n%s}", name, g.value(), body)
		}
		if g.n(4) == 1 {
			g.vars = []string{"arg"}
			fmt.Fprintf(&b, " else := %s", g.value())
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (g *grammar) body(n int) string {
	var b strings.Builder
	first := len(g.vars)
	for range n {
		b.WriteString("\t" + g.statement() + "\n")
	}
	for _, v := range g.vars[first:] {
		if strings.Count(b.String(), v) == 1 { // OPA wants it used
			b.WriteString("\t" + v + " != 7\n")
		}
	}
	return b.String()
}

func (g *grammar) statement() string {
	g.depth++
	defer func() { g.depth-- }()
	kind := g.n(13)
	if g.depth > 3 {
		kind %= 4
	}
	switch kind {
	case 0:
		return g.value()
	case 1:
		return g.value() + g.one(" == ", " != ", " < ", " >= ", " in ") + g.loose()
	case 2:
		return g.bind("%s := " + strings.ReplaceAll(g.value(), "%", "%%"))
	case 3:
		return "not " + g.value() + g.one("", " == 1", " in [1, \"a\"]")
	case 4:
		return g.bind("some %s in " + g.list())
	case 5:
		list := g.list()
		k, v := g.variable(), g.variable()
		g.vars = append(g.vars, k, v)
		return fmt.Sprintf("some %s, %s in %s", k, v, list)
	case 6:
		return g.every()
	case 7:
		return g.value() + g.with()
	case 8:
		return "not " + g.value() + g.with()
	case 9:
		list := g.one("input.list", "data.d.roles", "data.d.list", "input.b")
		v := g.variable()
		defer func() { g.vars = append(g.vars, v) }()
		return fmt.Sprintf("some %s; %s[%s] %s %s", v, list, v, g.one("==", "!="), g.value())
	case 10:
		value := g.list()
		v, w := g.variable(), g.variable()
		g.vars = append(g.vars, v, w)
		return fmt.Sprintf("[%s, %s] = %s", v, w, value)
	case 11:
		value := g.value()
		v := g.variable()
		g.vars = append(g.vars, v)
		return fmt.Sprintf("%s = %s", v, value)
	}
	return fmt.Sprintf("count({x | some x in %s}) %s %s", g.list(), g.one("==", ">", "<="), g.one("0", "1", "2"))
}

func (g *grammar) bind(format string) string {
	v := g.variable()
	g.vars = append(g.vars, v)
	return fmt.Sprintf(format, v)
}

func (g *grammar) every() string {
	list, before := g.list(), g.vars
	v := g.variable()
	g.vars = append(g.vars[:len(g.vars):len(g.vars)], v)
	defer func() { g.vars = before }()
	return fmt.Sprintf("every %s in %s {\n%s}", v, list, g.body(1+g.n(2)))
}

func (g *grammar) with() string {
	if g.narrow {
		return ""
	}
	return " with " + g.one("input.a", "input.b.c", "input", "data.d.n", "data.d.list", "input.b", "data.d.roles.admin") + " as " + g.value()
}

// list is likely something with elements.
func (g *grammar) list() string {
	switch g.n(6) {
	case 0:
		return "input.list"
	case 1:
		return "data.d." + g.one("list", "roles", "n")
	case 2:
		return "[" + g.value() + ", " + g.value() + "]"
	case 3:
		return "{" + g.value() + ", " + g.value() + "}"
	}
	return g.value()
}

func (g *grammar) value() string {
	g.depth++
	defer func() { g.depth-- }()
	kind := g.n(12)
	if g.depth > 4 {
		kind %= 5
	}
	switch kind {
	case 0:
		return g.one("1", "0", "true", "false", `"a"`, `"admin"`, "null", "2.5", `"x y"`, "-3", `""`)
	case 1:
		if g.narrow {
			return g.one("input.a", "input.b.c", "input.list", "input.s", "input.role", "input.n")
		}
		return g.one("input.a", "input.b.c", "input.b", "input.list", "input.b.c.d", "input.s", "input.role", "input", "input.n")
	case 2:
		return g.one("data.d.n.one", "data.d.list", "data.d.roles", "data.d.roles[input.role]", "data.d.list[input.n]", "data.d.roles[input.role].can", "data.d.n[input.role]", "data.d.none")
	case 3, 4:
		if len(g.vars) > 0 {
			return g.vars[g.n(len(g.vars))]
		}
		return g.one("input.a", "1")
	case 5, 6:
		if len(g.rules) > 0 {
			return g.rules[g.n(len(g.rules))]
		}
		return "input.s"
	case 7:
		if len(g.funcs) > 0 {
			return g.funcs[g.n(len(g.funcs))] + "(" + g.value() + ")"
		}
		return g.call()
	case 8:
		return g.call()
	case 9:
		return g.comprehension()
	case 10:
		return g.composite()
	}
	return g.one("input.list", "data.d.roles", "data.d.list", "input.b", "data.d.n") + "[" + g.value() + "]"
}

// loose is a value whose type OPA's compiler does not know.
func (g *grammar) loose() string {
	switch g.n(6) {
	case 0:
		return "data.d.roles[input.role]"
	case 1:
		return "data.d.list[input.n]"
	case 2:
		return g.value()
	case 3:
		if len(g.vars) > 0 {
			return g.vars[g.n(len(g.vars))]
		}
	}
	return g.one("input.a", "input.b.c", "input.b", "input.list", "input.s", "input.role", "input.n")
}

func (g *grammar) composite() string {
	return fmt.Sprintf(g.one("[%s, %s]", "{%s, %s}", `{"k": %s, "l": %s}`, "[%s, [%s]]", `{%s: 1, "z": %s}`), g.value(), g.value())
}

func (g *grammar) call() string {
	x, y := g.loose(), g.loose()
	return fmt.Sprintf(g.one("count(%[1]s)", `concat("/", ["a", %[1]s, %[2]s])`, `split(%[1]s, "/")`, "lower(%[1]s)", "%[1]s + %[2]s", "%[1]s - %[2]s",
		`object.get(%[1]s, "k", %[2]s)`, "array.concat(%[1]s, %[2]s)", "sort(%[1]s)", "sum(%[1]s)", "max(%[1]s)", `startswith(%[1]s, "a")`,
		`contains(%[1]s, "a")`, "to_number(%[1]s)", "%[1]s | %[2]s", "%[1]s & %[2]s", "is_string(%[1]s)", "is_array(%[1]s)", "type_name(%[1]s)",
		"%[1]s * %[2]s", "%[1]s / 2", "object.union(%[1]s, %[2]s)", "object.keys(%[1]s)", `regex.match("^[a-z]{1,3}$", %[1]s)`,
		`sprintf("%%v-%%v", [%[1]s, %[2]s])`, "trim_space(%[1]s)", "array.slice(%[1]s, 0, 1)", "upper(%[1]s)", `glob.match("a*", ["/"], %[1]s)`,
		`object.remove(%[1]s, ["k"])`, "min(%[1]s)", "abs(%[1]s)", "json.marshal(%[1]s)", "union({%[1]s, %[2]s})", "array.reverse(%[1]s)"), x, y)
}

func (g *grammar) comprehension() string {
	before := g.vars
	defer func() { g.vars = before }()
	g.vars = g.vars[:len(g.vars):len(g.vars)]
	body := "\n" + g.body(1+g.n(2))
	switch g.n(3) {
	case 0:
		return "[" + g.plain() + " | " + body + "]"
	case 1:
		return "{" + g.plain() + " | " + body + "}"
	}
	return "{" + g.plain() + ": " + g.plain() + " | " + body + "}"
}

// plain is a value that needs no body of its own.
func (g *grammar) plain() string {
	if len(g.vars) > 0 && g.n(4) > 0 {
		return g.vars[len(g.vars)-1-g.n(len(g.vars))]
	}
	return g.one("1", `"a"`, "input.a", "input.n")
}

// document is an input, steered in the same way.
func (g *grammar) document() any {
	in := map[string]any{}
	for _, k := range []string{"a", "b", "list", "s", "role", "n"} {
		if g.n(8) != 1 {
			in[k] = g.json(k, 0)
		}
	}
	if g.n(20) == 1 {
		return g.json("", 0)
	}
	return in
}

func (g *grammar) json(k string, depth int) any {
	switch {
	case g.n(6) == 1:
	case k == "b":
		return map[string]any{"c": g.json("", depth+1), "k": g.json("", depth+1)}
	case k == "list":
		return []any{g.json("", depth+1), g.json("", depth+1), g.json("", depth+1)}
	case k == "role":
		return g.one("admin", "user", "nobody")
	case k == "n":
		return g.n(4)
	}
	kind := g.n(9)
	if depth > 2 {
		kind %= 6
	}
	switch kind {
	case 0:
		return g.n(3)
	case 1:
		return g.one("a", "admin", "", "x/y", "A")
	case 2:
		return true
	case 3:
		return false
	case 4:
		return nil
	case 5:
		return 2.5
	case 6:
		return []any{g.json("", depth+1), g.json("", depth+1)}
	case 7:
		return map[string]any{"k": g.json("", depth+1), "d": g.json("", depth+1)}
	}
	return []any{}
}
