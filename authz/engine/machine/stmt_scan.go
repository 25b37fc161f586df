package machine

import "github.com/open-policy-agent/opa/v1/ir"

// scan runs its block for each element of a composite, objects and sets in
// Rego's order. A turn that is undefined or breaks out of the block by one is
// followed by the next.
func (c *compiler) scan(s *ir.ScanStmt) (stmt, error) {
	body, err := c.block(s.Block)
	if err != nil {
		return nil, err
	}
	source, key, value := int(s.Source), int(s.Key), int(s.Value)
	return func(f *Frame, l []*Value) code {
		v := l[source]
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
			switch v.kind {
			case Array:
				l[key] = f.integer(int64(i))
			case Object:
				l[key] = v.keys[i]
			default:
				l[key] = x
			}
			l[value] = x
			if r := run(body, f, l); r > undef {
				return leave(r)
			}
		}
		return goOn
	}, nil
}
