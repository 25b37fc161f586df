package machine

import "github.com/open-policy-agent/opa/v1/ir"

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
		if v = v.get(k); v == nil {
			return undef
		}
		l[to] = v
		return goOn
	}
}

// dotText looks up a fixed text.
func dotText(from int, key *Value, to int) stmt {
	return func(_ *Frame, l []*Value) code {
		v := l[from]
		if v == nil {
			return undef
		}
		if v = v.get(key); v == nil {
			return undef
		}
		l[to] = v
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
