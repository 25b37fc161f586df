package machine

import (
	"strconv"

	"github.com/open-policy-agent/opa/v1/ir"
)

// dot looks a key up.
func (c *compiler) dot(s *ir.DotStmt) stmt {
	if m, ok := c.dotMove(s); ok {
		return moving([]move{m})
	}
	if c.facts[s].fails {
		return func(*Frame, []*Value) code { return undef }
	}
	to := c.targetOf(s)
	source, key := c.operand(&s.Source), c.operand(&s.Key)
	if key.place == isConstant && key.value.kind == String && source.place == inLocal {
		return dotText(source.at, key.value, to)
	}
	return func(f *Frame, l []*Value) code {
		v, k := source.get(f, l), key.get(f, l)
		if v == nil || k == nil {
			return undef
		}
		if k.moving() {
			f.observe(k)
		}
		x := v.get(k)
		if x == nil {
			if v.base && ambiguous(v, k) {
				f.fail(ErrAmbiguous)
				return halted
			}
			return undef
		}
		l[to] = x
		return goOn
	}
}

// ambiguous reports whether OPA finds key in v, of the base document, when it is
// in a reference that begins with `data`, though not when v is in a variable:
// there the keys of objects 2 and "2" are one, and so are indices 0 and "0". A
// plan does not tell the two apart.
func ambiguous(v, key *Value) bool {
	switch {
	case v.kind == Object && key.kind == Number:
		return v.Field(string(key.number())) != nil
	case v.kind == Array && key.kind == String:
		i, err := strconv.Atoi(key.s)
		return err == nil && i >= 0 && i < len(v.elems)
	}
	return false
}

// dotText looks up a fixed text.
func dotText(from int, key *Value, to int) stmt {
	return func(f *Frame, l []*Value) code {
		v := l[from]
		if v == nil {
			return undef
		}
		x := v.get(key)
		if x == nil {
			if v.base && ambiguous(v, key) {
				f.fail(ErrAmbiguous)
				return halted
			}
			return undef
		}
		l[to] = x
		return goOn
	}
}

// len counts elements, of a text its bytes.
func (c *compiler) len(s *ir.LenStmt) stmt {
	source, to := c.operand(&s.Source), c.register(s.Target)
	return func(f *Frame, l []*Value) code {
		v := source.get(f, l)
		if v == nil {
			return undef
		}
		n := len(v.elems)
		if v.kind == String {
			n = len(v.s)
		}
		l[to] = f.integer(int64(n))
		return goOn
	}
}

// targetOf returns the register of a target: one that nobody reads, if nobody
// looks at the value.
func (c *compiler) targetOf(s ir.Stmt) int {
	if c.dead[s] {
		return c.register(noLocal)
	}
	return c.register(assigned(s))
}
