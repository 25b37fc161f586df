package machine

import "github.com/open-policy-agent/opa/v1/ir"

func (c *compiler) equal(s *ir.EqualStmt) stmt {
	a, b := c.operand(&s.A), c.operand(&s.B)
	return func(f *Frame, l []*Value) code {
		x, y := a.get(f, l), b.get(f, l)
		if x == nil || y == nil || !f.same(x, y) || !f.touch(x) {
			return f.orHalted(undef)
		}
		return goOn
	}
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

func (c *compiler) isKind(o *ir.Operand, k Kind) stmt {
	source := c.operand(o)
	return func(f *Frame, l []*Value) code {
		if v := source.get(f, l); v == nil || v.kind != k {
			return undef
		}
		return goOn
	}
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
