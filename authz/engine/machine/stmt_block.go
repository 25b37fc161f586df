package machine

import "github.com/open-policy-agent/opa/v1/ir"

// blockStmt runs blocks one after another; one that is undefined is no reason
// to stop.
func (c *compiler) blockStmt(s *ir.BlockStmt) (stmt, error) {
	bs, err := c.blocks(s.Blocks)
	if err != nil {
		return nil, err
	}
	if len(bs) == 1 {
		b := bs[0]
		return func(f *Frame, l []*Value) code { return leave(run(b, f, l)) }, nil
	}
	return func(f *Frame, l []*Value) code {
		for _, b := range bs {
			if r := run(b, f, l); r > undef {
				return leave(r)
			}
		}
		return goOn
	}, nil
}

func breakStmt(s *ir.BreakStmt) stmt {
	r := code(s.Index)
	return func(*Frame, []*Value) code { return r }
}

// notStmt is undefined when its block came to its end.
func (c *compiler) notStmt(s *ir.NotStmt) (stmt, error) {
	b, err := c.block(s.Block)
	if err != nil {
		return nil, err
	}
	return func(f *Frame, l []*Value) code {
		r := run(b, f, l)
		if r == goOn {
			return undef
		}
		return leave(r)
	}, nil
}

func (c *compiler) returnStmt(s *ir.ReturnLocalStmt) stmt {
	from := c.source(&s.Source)
	return func(f *Frame, l []*Value) code {
		f.ret = from.get(f, l)
		return returned
	}
}

func (c *compiler) resultStmt(s *ir.ResultSetAddStmt) stmt {
	from := c.source(&s.Value)
	return func(f *Frame, l []*Value) code {
		f.results = append(f.results, from.get(f, l))
		return goOn
	}
}
