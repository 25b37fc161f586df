package machine

import (
	"strconv"

	"github.com/open-policy-agent/opa/v1/ir"
)

// dot looks a key up. A known path of the input is a slot, a known place in the
// data a constant; both only if the source has been set.
func (c *compiler) dot(s *ir.DotStmt) stmt {
	known, to := c.facts[s], int(s.Target)
	source, key := c.operand(s.Source), c.operand(s.Key)
	switch {
	case known.fails:
		return func(*Frame, []*Value) code { return undef }
	case known.value != nil:
		v, from := known.value, source.local
		return func(_ *Frame, l []*Value) code {
			if l[from] == nil {
				return undef
			}
			l[to] = v
			return goOn
		}
	case known.path != nil && !known.path.parent.within():
		slot, from := known.path.slot, source.local
		return func(f *Frame, l []*Value) code {
			v := f.slots[slot]
			if v == nil || l[from] == nil {
				return undef
			}
			l[to] = v
			return goOn
		}
	case key.value != nil && key.value.kind == String && source.value == nil:
		return dotText(source.local, key.value, to)
	}
	return func(f *Frame, l []*Value) code {
		v, k := source.get(l), key.get(l)
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
	source, to := c.operand(s.Source), int(s.Target)
	return func(f *Frame, l []*Value) code {
		v := source.get(l)
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
