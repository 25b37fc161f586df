package machine

import "github.com/open-policy-agent/opa/v1/ir"

func (c *compiler) equal(s *ir.EqualStmt) stmt {
	a, b := c.operand(s.A), c.operand(s.B)
	return func(f *Frame, l []*Value) code {
		x, y := a.get(l), b.get(l)
		if x == nil || y == nil || !f.same(x, y) || !f.touch(x) {
			return f.orHalted(undef)
		}
		return goOn
	}
}

func (c *compiler) notEqual(s *ir.NotEqualStmt) stmt {
	a, b := c.operand(s.A), c.operand(s.B)
	if b.value == falseValue && a.value == nil { // an expression that must not be false
		from := a.local
		return func(_ *Frame, l []*Value) code {
			if x := l[from]; x == nil || x.kind == Bool && !x.truth {
				return undef
			}
			return goOn
		}
	}
	return func(f *Frame, l []*Value) code {
		x, y := a.get(l), b.get(l)
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

func (c *compiler) isKind(o ir.Operand, k Kind) stmt {
	source := c.operand(o)
	return func(_ *Frame, l []*Value) code {
		if v := source.get(l); v == nil || v.kind != k {
			return undef
		}
		return goOn
	}
}

func isDefined(from int) stmt {
	return func(_ *Frame, l []*Value) code {
		if l[from] == nil {
			return undef
		}
		return goOn
	}
}

func isUndefined(from int) stmt {
	return func(_ *Frame, l []*Value) code {
		if l[from] != nil {
			return undef
		}
		return goOn
	}
}
