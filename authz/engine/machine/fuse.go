package machine

import "github.com/open-policy-agent/opa/v1/ir"

// A plan looks paths up step by step and copies locals; runs of such small
// statements are one closure, since to call one takes longer than they do.

// move is a small statement. What it needs comes first: from a slot, from a
// local, or as a constant where a local has been set.
type move struct {
	kind moveKind
	from int
	slot int
	to   int
	v    *Value
	path *node
}

type moveKind uint8

const (
	moveSlot        moveKind = iota // the slot, if local from is set
	moveSure                        // the slot
	moveTest                        // go on if the slot is filled
	moveLoad                        // the slot, filled or not
	moveConst                       // v, if local from is set
	moveLocal                       // local from, set or not
	movePut                         // v
	moveReset                       // nothing
	moveDefined                     // go on if local from is set
	moveUndefined                   // … if it is not
	moveHolds                       // … if it is set and not false
	moveSlotHolds                   // … if the slot is filled with something that is not false
	moveReturn                      // return local from
	moveReturnSlot                  // … the slot
	moveReturnConst                 // … v
	moveHit                         // note that rule number to held
)

// move returns s as one, if it is small.
func (c *compiler) move(s ir.Stmt) (move, bool) {
	switch s := s.(type) {
	case *ir.DotStmt:
		return c.dotMove(s)
	case *ir.AssignVarStmt:
		return c.copy(&s.Source, c.register(s.Target)), true
	case *ir.ResetLocalStmt:
		return move{kind: moveReset, to: c.register(s.Target)}, true
	case *ir.AssignVarOnceStmt:
		switch {
		case c.final[s]:
			m := c.copy(&s.Source, 0)
			m.kind = map[moveKind]moveKind{movePut: moveReturnConst, moveLoad: moveReturnSlot, moveLocal: moveReturn}[m.kind]
			return m, true
		case c.fresh[s]:
			return c.copy(&s.Source, c.register(s.Target)), true
		}
	case *ir.IsDefinedStmt:
		return c.test(&s.Source, moveDefined)
	case *ir.IsUndefinedStmt:
		return c.test(&s.Source, moveUndefined)
	case *ir.NotEqualStmt:
		if a, b := c.operand(&s.A), c.operand(&s.B); b.value == falseValue {
			switch a.place {
			case inLocal:
				return move{kind: moveHolds, from: a.at}, true
			case inSlot:
				return move{kind: moveSlotHolds, slot: a.at}, true
			}
		}
	case *ir.ReturnLocalStmt:
		return c.test(&s.Source, moveReturn)
	case *ir.MakeNumberRefStmt:
		return move{kind: movePut, to: c.register(s.Target), v: c.literal(s.Index)}, true
	case *ir.AssignIntStmt:
		return move{kind: movePut, to: c.register(s.Target), v: intConstant(s.Value)}, true
	case *ir.MakeNumberIntStmt:
		return move{kind: movePut, to: c.register(s.Target), v: intConstant(s.Value)}, true
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
		return move{kind: movePut, to: c.targetOf(s), v: known.value}, true
	case slot && known.sure && c.dead[s]:
		return move{kind: moveTest, slot: known.path.slot, path: known.path}, true
	case slot && known.sure:
		return move{kind: moveSure, to: c.targetOf(s), slot: known.path.slot}, true
	}
	source := c.operand(&s.Source)
	if source.place != inLocal {
		return move{}, false
	}
	if known.value != nil {
		return move{kind: moveConst, from: source.at, to: c.targetOf(s), v: known.value}, true
	}
	return move{kind: moveSlot, from: source.at, to: c.targetOf(s), slot: known.path.slot}, true
}

func (c *compiler) copy(source *ir.Operand, to int) move {
	o := c.operand(source)
	switch o.place {
	case isConstant:
		return move{kind: movePut, to: to, v: o.value}
	case inSlot:
		return move{kind: moveLoad, to: to, slot: o.at}
	}
	return move{kind: moveLocal, from: o.at, to: to}
}

func (c *compiler) test(l *ir.Local, k moveKind) (move, bool) {
	o := c.source(l)
	return move{kind: k, from: o.at}, o.place == inLocal
}

// fuse compiles the first n statements as one where that is faster, n being 0
// where it is not. A nil statement is one that does nothing.
func (c *compiler) fuse(ss []ir.Stmt) (s stmt, n int) {
	var moves []move
	for _, s := range ss {
		m, ok := c.move(s)
		if !ok {
			break
		}
		if m.kind == moveTest {
			moves = withoutParents(moves, m.path)
		}
		if rule := c.rule(s); rule >= 0 {
			moves = append(moves, move{kind: moveHit, to: rule})
		}
		moves = append(moves, m)
		n++
	}
	if n < 1 {
		return nil, 0
	}
	return moving(moves), n
}

// withoutParents drops tests for paths that lead to the next: what is there, has
// them above it.
func withoutParents(moves []move, next *node) []move {
	for len(moves) > 0 {
		last := moves[len(moves)-1]
		if last.kind != moveTest || !last.path.above(next) {
			break
		}
		moves = moves[:len(moves)-1]
	}
	return moves
}

// moving makes a statement of small ones.
func moving(moves []move) stmt {
	if len(moves) == 1 {
		if s := single(moves[0]); s != nil {
			return s
		}
	}
	return func(f *Frame, l []*Value) code {
		for i := range moves {
			m := &moves[i]
			switch m.kind {
			case moveSlot:
				v := f.slots[m.slot]
				if v == nil || l[m.from] == nil {
					return undef
				}
				l[m.to] = v
			case moveSure:
				v := f.slots[m.slot]
				if v == nil {
					return undef
				}
				l[m.to] = v
			case moveTest:
				if f.slots[m.slot] == nil {
					return undef
				}
			case moveLoad:
				l[m.to] = f.slots[m.slot]
			case moveConst:
				if l[m.from] == nil {
					return undef
				}
				l[m.to] = m.v
			case moveLocal:
				l[m.to] = l[m.from]
			case movePut:
				l[m.to] = m.v
			case moveReset:
				l[m.to] = nil
			case moveDefined:
				if l[m.from] == nil {
					return undef
				}
			case moveUndefined:
				if l[m.from] != nil {
					return undef
				}
			case moveHolds:
				if v := l[m.from]; v == nil || v.kind == Bool && !v.truth {
					return undef
				}
			case moveSlotHolds:
				if v := f.slots[m.slot]; v == nil || v.kind == Bool && !v.truth {
					return undef
				}
			case moveReturnSlot:
				f.ret = f.slots[m.slot]
				return returned
			case moveReturnConst:
				f.ret = m.v
				return returned
			case moveReturn:
				f.ret = l[m.from]
				return returned
			case moveHit:
				f.hits[m.to/64] |= 1 << (m.to % 64)
			}
		}
		return goOn
	}
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

// single is moving without the loop for the commonest.
func single(m move) stmt {
	slot, from, to, v := m.slot, m.from, m.to, m.v
	switch m.kind {
	case moveTest:
		return func(f *Frame, _ []*Value) code {
			if f.slots[slot] == nil {
				return undef
			}
			return goOn
		}
	case moveSlotHolds:
		return func(f *Frame, _ []*Value) code {
			if v := f.slots[slot]; v == nil || v.kind == Bool && !v.truth {
				return undef
			}
			return goOn
		}
	case moveHolds:
		return func(_ *Frame, l []*Value) code {
			if v := l[from]; v == nil || v.kind == Bool && !v.truth {
				return undef
			}
			return goOn
		}
	case movePut:
		return put(to, v)
	case moveReturn:
		return func(f *Frame, l []*Value) code {
			f.ret = l[from]
			return returned
		}
	}
	return nil
}
