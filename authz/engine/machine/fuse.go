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
}

type moveKind uint8

const (
	moveSlot      moveKind = iota // the slot, if local from is set
	moveSure                      // the slot
	moveConst                     // v, if local from is set
	moveLocal                     // local from, set or not
	movePut                       // v
	moveReset                     // nothing
	moveDefined                   // go on if local from is set
	moveUndefined                 // … if it is not
	moveHolds                     // … if it is set and not false
	moveReturn                    // return local from
	moveHit                       // note that rule number to held
)

// move returns s as one, if it is small.
func (c *compiler) move(s ir.Stmt) (move, bool) {
	switch s := s.(type) {
	case *ir.DotStmt:
		known, source := c.facts[s], c.operand(s.Source)
		switch {
		case known.fails:
		case known.value != nil && known.sure:
			return move{kind: movePut, to: int(s.Target), v: known.value}, true
		case known.value != nil:
			return move{kind: moveConst, from: source.local, to: int(s.Target), v: known.value}, true
		case known.path != nil && !known.path.parent.within() && known.sure:
			return move{kind: moveSure, to: int(s.Target), slot: known.path.slot}, true
		case known.path != nil && !known.path.parent.within():
			return move{kind: moveSlot, from: source.local, to: int(s.Target), slot: known.path.slot}, true
		}
	case *ir.AssignVarStmt:
		source := c.operand(s.Source)
		if source.value != nil {
			return move{kind: movePut, to: int(s.Target), v: source.value}, true
		}
		return move{kind: moveLocal, from: source.local, to: int(s.Target)}, true
	case *ir.ResetLocalStmt:
		return move{kind: moveReset, to: int(s.Target)}, true
	case *ir.AssignVarOnceStmt:
		if source := c.operand(s.Source); c.fresh[s] {
			if source.value != nil {
				return move{kind: movePut, to: int(s.Target), v: source.value}, true
			}
			return move{kind: moveLocal, from: source.local, to: int(s.Target)}, true
		}
	case *ir.IsDefinedStmt:
		return move{kind: moveDefined, from: int(s.Source)}, true
	case *ir.IsUndefinedStmt:
		return move{kind: moveUndefined, from: int(s.Source)}, true
	case *ir.NotEqualStmt:
		if a := c.operand(s.A); a.value == nil && c.operand(s.B).value == falseValue {
			return move{kind: moveHolds, from: a.local}, true
		}
	case *ir.ReturnLocalStmt:
		return move{kind: moveReturn, from: int(s.Source)}, true
	case *ir.MakeNumberRefStmt:
		return move{kind: movePut, to: int(s.Target), v: c.literal(s.Index)}, true
	case *ir.AssignIntStmt:
		return move{kind: movePut, to: int(s.Target), v: intConstant(s.Value)}, true
	case *ir.MakeNumberIntStmt:
		return move{kind: movePut, to: int(s.Target), v: intConstant(s.Value)}, true
	}
	return move{}, false
}

// fuse compiles the first n statements as one where that is faster, n being 0
// where it is not. A nil statement is one that does nothing.
func (c *compiler) fuse(ss []ir.Stmt) (s stmt, n int) {
	if nothing(ss[0]) {
		return nil, 1
	}
	var moves []move
	for _, s := range ss {
		m, ok := c.move(s)
		if !ok {
			break
		}
		moves = append(moves, m)
		if rule := c.rule(s); rule >= 0 {
			moves = append(moves, move{kind: moveHit, to: rule})
		}
		n++
	}
	if len(moves) < 2 {
		return nil, 0
	}
	return moving(moves), n
}

// moving makes a statement of small ones.
func moving(moves []move) stmt {
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
