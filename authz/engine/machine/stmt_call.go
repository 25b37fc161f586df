package machine

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ir"
)

func (c *compiler) call(s *ir.CallStmt) (stmt, error) {
	g := c.byName[s.Func]
	if g == nil {
		return c.builtin(s)
	}
	if len(s.Args) != len(g.params) {
		return nil, c.unsupported("a call of %s with %d arguments", s.Func, len(s.Args))
	}
	args, to := make([]operand, len(s.Args)), c.targetOf(s)
	for i := range s.Args {
		args[i] = c.operand(&s.Args[i])
	}
	if g.plain {
		input, data := args[0], args[1]
		return func(f *Frame, l []*Value) code {
			m := &f.memos[g.id]
			if !m.done {
				v, ok := f.rule(g, input.get(f, l), data.get(f, l))
				if !ok {
					return halted
				}
				*m = memo{true, v}
			}
			if m.v == nil {
				return undef
			}
			l[to] = m.v
			return goOn
		}, nil
	}
	return func(f *Frame, l []*Value) code {
		if !f.spend(1) {
			return halted
		}
		stack, top := f.stack, f.top
		inner := f.enter(g.locals)
		for _, a := range g.args {
			inner[a.at] = args[a.arg].get(f, l)
		}
		v := f.function(g, inner)
		f.stack, f.top = stack, top
		if f.err != nil {
			return halted
		}
		if v == nil {
			return undef
		}
		l[to] = v
		return goOn
	}, nil
}

// rule evaluates a function without arguments; it is not ok when the evaluation
// is over.
func (f *Frame) rule(g *fn, input, data *Value) (*Value, bool) {
	if !f.spend(1) {
		return nil, false
	}
	stack, top := f.stack, f.top
	l := f.enter(g.locals)
	g.pass(l, input, data)
	v := f.function(g, l)
	f.stack, f.top = stack, top
	return v, f.err == nil
}

// argument says where a function keeps one of its arguments.
type argument struct{ arg, at int }

// pass gives a function without arguments input and data, if it looks at them.
func (g *fn) pass(l []*Value, input, data *Value) {
	for _, a := range g.args {
		if a.arg == 0 {
			l[a.at] = input
		} else {
			l[a.at] = data
		}
	}
}

// function runs the blocks of g and returns its value, nil if it has none.
func (f *Frame) function(g *fn, l []*Value) *Value {
	for _, b := range g.code {
		switch r := run(b, f, l); {
		case r == returned:
			v := f.ret
			if v != nil && v.kind >= Array && !v.frozen {
				v.sealed = true // others hold it now
			}
			return v
		case r == halted:
			return nil
		}
	}
	return nil
}

// callDynamic calls the function whose path the operands spell; there may be
// none.
func (c *compiler) callDynamic(s *ir.CallDynamicStmt) stmt {
	path, args := make([]operand, len(s.Path)), make([]operand, len(s.Args))
	for i := range s.Path {
		path[i] = c.operand(&s.Path[i])
	}
	for i := range s.Args {
		args[i] = c.source(&s.Args[i])
	}
	to := c.register(s.Result)
	return func(f *Frame, l []*Value) code {
		var name strings.Builder
		for i, o := range path {
			v := o.get(f, l)
			if v == nil || v.kind != String {
				return undef
			}
			f.observe(v)
			if i > 0 {
				name.WriteByte(0)
			}
			name.WriteString(v.s)
		}
		g := f.program.byPath[name.String()]
		if g == nil || !g.plain || len(args) != 2 {
			return undef
		}
		v, ok := f.dynamic(g, args[0].get(f, l), args[1].get(f, l))
		switch {
		case !ok:
			return halted
		case v == nil:
			return undef
		}
		l[to] = v
		return goOn
	}
}

func (f *Frame) dynamic(g *fn, input, data *Value) (*Value, bool) {
	m := &f.memos[g.id]
	if !m.done {
		v, ok := f.rule(g, input, data)
		if !ok {
			return nil, false
		}
		*m = memo{true, v}
	}
	return m.v, true
}
