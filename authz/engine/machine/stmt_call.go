package machine

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ir"
)

func (c *compiler) call(s *ir.CallStmt) error {
	g := c.byName[s.Func]
	if g == nil {
		return c.builtin(s)
	}
	if len(s.Args) != len(g.params) {
		return c.unsupported("a call of %s with %d arguments", s.Func, len(s.Args))
	}
	args, to := make([]operand, len(s.Args)), c.targetOf(s)
	for i := range s.Args {
		args[i] = c.operand(&s.Args[i])
	}
	if g.plain {
		c.ruleCall(opRule, g, args[0], args[1], to)
		return nil
	}
	c.closure(func(f *Frame, l []*Value) code {
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
	})
	return nil
}

// ruleCall calls a function without arguments but input and data, opRule or
// opRuleHolds. An operation has room for a data document that is known, as it is
// where no with replaces it.
func (c *compiler) ruleCall(kind opKind, g *fn, input, data operand, to int32) {
	if data.place == isConstant && input.place != isConstant {
		c.plain(op{kind: kind, x: input.place, a: input.at, b: int32(g.id), v: data.value, to: to})
		return
	}
	c.closure(func(f *Frame, l []*Value) code {
		v := f.dynamic(g, input.get(f, l), data.get(f, l))
		switch {
		case v == nil:
			return halted
		case v == none || kind == opRuleHolds && !v.holds():
			return undef
		case kind == opRule:
			l[to] = v
		}
		return goOn
	})
}

// none is what a rule gives that has no value.
var none = &Value{}

// rule evaluates a function without arguments for the first time: none if it has
// no value, nil when the evaluation is over.
func (f *Frame) rule(g *fn, input, data *Value) *Value {
	if !f.spend(1) {
		return nil
	}
	stack, top := f.stack, f.top
	l := f.enter(g.locals)
	g.pass(l, input, data)
	v := f.function(g, l)
	f.stack, f.top = stack, top
	switch {
	case f.err != nil:
		return nil
	case v == nil:
		v = none
	}
	f.memos[g.id] = v
	return v
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

// function runs the code of g and returns its value, nil if it has none.
func (f *Frame) function(g *fn, l []*Value) *Value {
	if f.exec(g.start, l) != returned {
		return nil
	}
	v := f.ret
	if v != nil && v.kind >= Array && !v.frozen {
		v.sealed = true // others hold it now
	}
	return v
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
		v := f.dynamic(g, args[0].get(f, l), args[1].get(f, l))
		switch v {
		case nil:
			return halted
		case none:
			return undef
		}
		l[to] = v
		return goOn
	}
}

// dynamic is rule, or what that gave before.
func (f *Frame) dynamic(g *fn, input, data *Value) *Value {
	if v := f.memos[g.id]; v != nil {
		return v
	}
	return f.rule(g, input, data)
}
