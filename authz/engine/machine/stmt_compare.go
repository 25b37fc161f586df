package machine

import "github.com/open-policy-agent/opa/v1/ir"

func (c *compiler) equal(s *ir.EqualStmt) {
	a, b := c.operand(&s.A), c.operand(&s.B)
	if c.pair(op{kind: opEqual}, a, b) {
		return
	}
	c.closure(func(f *Frame, l []*Value) code {
		x, y := a.get(f, l), b.get(f, l)
		if x == nil || y == nil || !f.same(x, y) || !f.touch(x) {
			return f.orHalted(undef)
		}
		return goOn
	})
}

// pair adds an operation with two operands; it has room for one constant.
func (c *compiler) pair(o op, a, b operand) bool {
	if a.place == isConstant && b.place == isConstant {
		return false
	}
	o.x, o.a, o.y, o.b, o.v = a.place, a.at, b.place, b.at, a.value
	if b.place == isConstant {
		o.v = b.value
	}
	c.plain(o)
	return true
}

func (c *compiler) notEqual(s *ir.NotEqualStmt) stmt {
	a, b := c.operand(&s.A), c.operand(&s.B)
	if b.value == falseValue { // an expression that must not be false
		return func(f *Frame, l []*Value) code {
			if x := a.get(f, l); x == nil || x.kind == Bool && !x.truth {
				return undef
			}
			return goOn
		}
	}
	return func(f *Frame, l []*Value) code {
		x, y := a.get(f, l), b.get(f, l)
		if x == nil || y == nil || f.same(x, y) {
			return undef
		}
		if !f.touch(x) {
			return halted
		}
		return goOn
	}
}

// touch spends what looking at all of a composite takes.
func (f *Frame) touch(v *Value) bool {
	return v.kind < Array || f.spend(1+len(v.elems))
}

func (f *Frame) orHalted(r code) code {
	if f.err != nil {
		return halted
	}
	return r
}

func (c *compiler) isKind(o *ir.Operand, k Kind) {
	source := c.operand(o)
	c.plain(op{kind: opKindIs, x: source.place, a: source.at, v: source.value, more: uint8(k)})
}

func isDefined(from operand) stmt {
	return func(f *Frame, l []*Value) code {
		if from.get(f, l) == nil {
			return undef
		}
		return goOn
	}
}

func isUndefined(from operand) stmt {
	return func(f *Frame, l []*Value) code {
		if from.get(f, l) != nil {
			return undef
		}
		return goOn
	}
}
