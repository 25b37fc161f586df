package machine

import (
	"strconv"

	"github.com/open-policy-agent/opa/v1/ir"
)

// dot looks a key up.
func (c *compiler) dot(s *ir.DotStmt) {
	if c.facts[s].fails {
		c.leave(0)
		return
	}
	to := c.targetOf(s)
	source, key := c.operand(&s.Source), c.operand(&s.Key)
	if key.place == isConstant && key.value.kind == String && source.place == inLocal {
		c.plain(op{kind: opText, b: source.at, v: key.value, to: to})
		return
	}
	if c.pair(op{kind: opDot, to: to}, source, key) {
		return
	}
	c.closure(func(f *Frame, l []*Value) code {
		x := source.value.get(key.value)
		if x == nil {
			if source.value.base && f.unsure(source.value, key.value) {
				return halted
			}
			return undef
		}
		l[to] = x
		return goOn
	})
}

// unsure ends the evaluation if a look-up that found nothing is ambiguous.
func (f *Frame) unsure(v, key *Value) bool {
	if !ambiguous(v, key) {
		return false
	}
	f.fail(ErrAmbiguous)
	return true
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
func (c *compiler) targetOf(s ir.Stmt) int32 {
	if c.dead[s] {
		return c.register(noLocal)
	}
	return c.register(assigned(s))
}
