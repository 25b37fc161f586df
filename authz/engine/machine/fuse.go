package machine

import "github.com/open-policy-agent/opa/v1/ir"

// A plan looks paths up step by step and copies locals: those are the statements
// that are operations of the program's code by themselves.

// move is a small statement. What it needs comes first: from a slot, from a
// local, or as a constant where a local has been set.
type move struct {
	op
	path *node
}

// move returns s as one, if it is small.
func (c *compiler) move(s ir.Stmt) (move, bool) {
	switch s := s.(type) {
	case *ir.DotStmt:
		return c.dotMove(s)
	case *ir.AssignVarStmt:
		return c.copy(&s.Source, c.register(s.Target)), true
	case *ir.ResetLocalStmt:
		return move{op: op{kind: opReset, to: c.register(s.Target)}}, true
	case *ir.AssignVarOnceStmt:
		switch {
		case c.final[s]:
			m := c.copy(&s.Source, 0)
			m.kind = map[opKind]opKind{opPut: opReturnConst, opLoad: opReturnSlot, opLocal: opReturn}[m.kind]
			return m, true
		case c.fresh[s]:
			return c.copy(&s.Source, c.register(s.Target)), true
		}
	case *ir.IsDefinedStmt:
		return c.test(&s.Source, opDefined)
	case *ir.IsUndefinedStmt:
		return c.test(&s.Source, opUndefined)
	case *ir.NotEqualStmt:
		if a, b := c.operand(&s.A), c.operand(&s.B); b.value == falseValue {
			switch a.place {
			case inLocal:
				return move{op: op{kind: opHolds, b: a.at}}, true
			case inSlot:
				return move{op: op{kind: opSlotHolds, a: a.at}}, true
			}
		}
	case *ir.ReturnLocalStmt:
		return c.test(&s.Source, opReturn)
	case *ir.MakeNumberRefStmt:
		return move{op: op{kind: opPut, to: c.register(s.Target), v: c.literal(s.Index)}}, true
	case *ir.AssignIntStmt:
		return move{op: op{kind: opPut, to: c.register(s.Target), v: intConstant(s.Value)}}, true
	case *ir.MakeNumberIntStmt:
		return move{op: op{kind: opPut, to: c.register(s.Target), v: intConstant(s.Value)}}, true
	case *ir.MakeNullStmt:
		return move{op: op{kind: opPut, to: c.register(s.Target), v: nullValue}}, true
	}
	return move{}, false
}

// dotMove: a known path of the input is a slot, a known place in the data a
// constant; both only if the source has been set.
func (c *compiler) dotMove(s *ir.DotStmt) (move, bool) {
	known := c.facts[s]
	slot := known.path != nil && !known.path.parent.within()
	switch {
	case known.fails || known.value == nil && !slot:
		return move{}, false
	case known.value != nil && known.sure:
		return move{op: op{kind: opPut, to: c.targetOf(s), v: known.value}}, true
	case slot && known.sure && c.dead[s]:
		return move{op: op{kind: opTest, a: int32(known.path.slot)}, path: known.path}, true
	case slot && known.sure:
		return move{op: op{kind: opSure, to: c.targetOf(s), a: int32(known.path.slot)}}, true
	}
	source := c.operand(&s.Source)
	if source.place != inLocal {
		return move{}, false
	}
	if known.value != nil {
		return move{op: op{kind: opConst, b: source.at, to: c.targetOf(s), v: known.value}}, true
	}
	return move{op: op{kind: opSlot, b: source.at, to: c.targetOf(s), a: int32(known.path.slot)}}, true
}

func (c *compiler) copy(source *ir.Operand, to int32) move {
	o := c.operand(source)
	switch o.place {
	case isConstant:
		return move{op: op{kind: opPut, to: to, v: o.value}}
	case inSlot:
		return move{op: op{kind: opLoad, to: to, a: o.at}}
	}
	return move{op: op{kind: opLocal, b: o.at, to: to}}
}

func (c *compiler) test(l *ir.Local, k opKind) (move, bool) {
	o := c.source(l)
	return move{op: op{kind: k, b: o.at}}, o.place == inLocal
}

// fuse compiles the first statements as operations of their own and returns how
// many.
func (c *compiler) fuse(ss []ir.Stmt) (n int) {
	var moves []move
	for _, s := range ss {
		m, ok := c.move(s)
		if !ok {
			break
		}
		if m.kind == opTest {
			moves = withoutParents(moves, m.path)
		}
		rule := c.rule(s)
		switch {
		case m.kind >= opReturn && m.kind <= opReturnConst:
			m.to = int32(rule)
		case rule >= 0:
			moves = append(moves, move{op: op{kind: opHit, a: int32(rule)}})
		}
		moves = append(moves, m)
		n++
	}
	for _, m := range moves {
		c.plain(m.op)
	}
	return n
}

// withoutParents drops tests for paths that lead to the next: what is there, has
// them above it.
func withoutParents(moves []move, next *node) []move {
	for len(moves) > 0 {
		last := moves[len(moves)-1]
		if last.kind != opTest || !last.path.above(next) {
			break
		}
		moves = moves[:len(moves)-1]
	}
	return moves
}

// nothing recognises what the planner makes where a look-up has no part in the
// base data: a block that is left at once, in a block that is left by that.
func nothing(s ir.Stmt) bool {
	outer, ok := s.(*ir.BlockStmt)
	if !ok || len(outer.Blocks) != 1 || len(outer.Blocks[0].Stmts) == 0 {
		return false
	}
	inner, ok := outer.Blocks[0].Stmts[0].(*ir.BlockStmt)
	if !ok || len(inner.Blocks) != 1 || len(inner.Blocks[0].Stmts) != 1 {
		return false
	}
	out, ok := inner.Blocks[0].Stmts[0].(*ir.BreakStmt)
	return ok && out.Index == 1
}
