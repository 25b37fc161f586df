package machine

import "github.com/open-policy-agent/opa/v1/ir"

// A call in a rule's body is mostly a condition: the planner puts the result
// into a local and asks whether that is false. Here the two are one.

// condition compiles a call and the test of its result, nil if ss begins with
// anything else.
func (c *compiler) condition(ss []ir.Stmt) stmt {
	if len(ss) < 2 {
		return nil
	}
	call, ok := ss[0].(*ir.CallStmt)
	test, ok2 := ss[1].(*ir.NotEqualStmt)
	if !ok || !ok2 || test.B.Value != ir.Bool(false) || !c.last[test] {
		return nil
	}
	if o, ok := test.A.Value.(ir.Local); !ok || o != call.Result || c.operand(&test.A).place != inLocal {
		return nil
	}
	if g := c.byName[call.Func]; g != nil {
		if !g.plain || len(call.Args) != 2 {
			return nil
		}
		return holds(g, c.operand(&call.Args[0]), c.operand(&call.Args[1]))
	}
	switch len(call.Args) {
	case 1:
		if k, ok := kinds[call.Func]; ok {
			return c.isKind(&call.Args[0], k)
		}
	case 2:
		return c.comparison(call)
	}
	return nil
}

// holds asks whether a rule is defined and not false.
func holds(g *fn, input, data operand) stmt {
	return func(f *Frame, l []*Value) code {
		m := &f.memos[g.id]
		if !m.done {
			v, ok := f.rule(g, input.get(f, l), data.get(f, l))
			if !ok {
				return halted
			}
			*m = memo{true, v}
		}
		if v := m.v; v == nil || v.kind == Bool && !v.truth {
			return undef
		}
		return goOn
	}
}

// comparison compiles the built-ins that compare two values and those native
// ones with two operands that say true or false.
func (c *compiler) comparison(call *ir.CallStmt) stmt {
	a, b := c.operand(&call.Args[0]), c.operand(&call.Args[1])
	var is func(f *Frame, x, y *Value) bool
	switch call.Func {
	case "equal":
		is = (*Frame).same
	case "neq":
		is = func(f *Frame, x, y *Value) bool { return !f.same(x, y) }
	case "lt":
		is = func(f *Frame, x, y *Value) bool { return f.order(x, y) < 0 }
	case "lte":
		is = func(f *Frame, x, y *Value) bool { return f.order(x, y) <= 0 }
	case "gt":
		is = func(f *Frame, x, y *Value) bool { return f.order(x, y) > 0 }
	case "gte":
		is = func(f *Frame, x, y *Value) bool { return f.order(x, y) >= 0 }
	default:
		return nil
	}
	return func(f *Frame, l []*Value) code {
		x, y := a.get(f, l), b.get(f, l)
		if x == nil || y == nil {
			return undef
		}
		if f.fuel--; f.fuel < 0 && !f.refuel() {
			return halted
		}
		if !is(f, x, y) {
			return undef
		}
		return goOn
	}
}
