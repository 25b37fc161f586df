package machine

import "github.com/open-policy-agent/opa/v1/ir"

// scan runs its block for each element of a composite, objects and sets in
// Rego's order. A turn that is undefined or breaks out of the block by one is
// followed by the next.
func (c *compiler) scan(s *ir.ScanStmt) error {
	source, key, value := c.source(&s.Source), int32(-1), int32(-1)
	turn := c.turns[s]
	if turn.key {
		key = c.register(s.Key)
	}
	if turn.value {
		value = c.register(s.Value)
	}
	return c.body(s.Block, func(turn *body) stmt {
		return func(f *Frame, l []*Value) code {
			v := source.get(f, l)
			if v == nil {
				return undef
			}
			if v.kind < Array {
				return goOn
			}
			v.sort()
			for i := range len(v.elems) {
				if !f.spend(1) {
					return halted
				}
				x := v.elems[i]
				if key >= 0 {
					l[key] = f.key(v, i)
				}
				if value >= 0 {
					l[value] = x
				}
				if r := f.exec(turn.start, l); r > undef {
					return leave(r)
				}
			}
			return goOn
		}
	})
}

// key is that of the i-th element.
func (f *Frame) key(v *Value, i int) *Value {
	switch v.kind {
	case Array:
		return f.integer(int64(i))
	case Object:
		return v.keys[i]
	}
	return v.elems[i]
}
