package machine

import "github.com/open-policy-agent/opa/v1/ir"

// notStmt is undefined when its block came to its end.
func (c *compiler) notStmt(s *ir.NotStmt) error {
	after := c.asm.label()
	if err := c.block(s.Block, after, nil); err != nil {
		return err
	}
	c.leave(0)
	c.asm.here(after)
	return nil
}

// returnStmt ends a function; what holds nothing, or is no local, comes here.
func (c *compiler) returnStmt(s *ir.ReturnLocalStmt) {
	from := c.source(&s.Source)
	if from.place == inSlot {
		c.plain(op{kind: opReturnSlot, a: from.at, to: -1})
	} else {
		c.plain(op{kind: opReturnConst, v: from.value, to: -1})
	}
}

func (c *compiler) resultStmt(s *ir.ResultSetAddStmt) stmt {
	from := c.source(&s.Value)
	return func(f *Frame, l []*Value) code {
		f.results = append(f.results, from.get(f, l))
		return goOn
	}
}
