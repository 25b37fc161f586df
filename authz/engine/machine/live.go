package machine

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ir"
)

// liveness goes over a function backwards and finds the statements whose target
// nobody looks at: most of a plan's, once uses have been resolved. For the
// shipped policies three of four small statements vanish.
type liveness struct {
	c     *compiler
	undef []locals // what is live where the blocks around end undefined
}

// locals is a set.
type locals []uint64

func (s locals) has(l ir.Local) bool { return s[l/64]&(1<<(l%64)) != 0 }
func (s locals) add(l ir.Local)      { s[l/64] |= 1 << (l % 64) }
func (s locals) remove(l ir.Local)   { s[l/64] &^= 1 << (l % 64) }

func (s locals) union(t locals) {
	for i := range t {
		s[i] |= t[i]
	}
}

func (c *compiler) liveness(f *fn) {
	v := &liveness{c: c}
	after := make(locals, (f.locals+63)/64)
	for i := len(f.blocks) - 1; i >= 0; i-- {
		after = v.block(f.blocks[i], after, after)
	}
}

// block returns what is live at its beginning.
func (v *liveness) block(b *ir.Block, end, undef locals) locals {
	v.undef = append(v.undef, undef)
	cur := slices.Clone(end)
	for i := len(b.Stmts) - 1; i >= 0; i-- {
		cur = v.stmt(b.Stmts[i], cur)
	}
	v.undef = v.undef[:len(v.undef)-1]
	return cur
}

func (v *liveness) out(k int) locals {
	if i := len(v.undef) - 1 - k; i >= 0 {
		return v.undef[i]
	}
	return make(locals, len(v.undef[0]))
}

func (v *liveness) stmt(s ir.Stmt, after locals) locals {
	switch s := s.(type) {
	case *ir.BreakStmt:
		return slices.Clone(v.out(int(s.Index)))
	case *ir.ReturnLocalStmt:
		return v.only(s, after)
	case *ir.BlockStmt:
		for i := len(s.Blocks) - 1; i >= 0; i-- {
			after = v.block(s.Blocks[i], after, after)
		}
		return after
	case *ir.NotStmt:
		in := v.block(s.Block, v.out(0), after)
		in.union(after)
		return in
	case *ir.ScanStmt:
		return v.scan(s, after)
	case *ir.WithStmt:
		in := v.block(s.Block, after, v.out(0))
		in.union(v.out(0))
		in.add(s.Local)
		v.reads(s, in)
		return in
	case *ir.AssignVarOnceStmt:
		return v.once(s, after)
	}
	return v.simple(s, after)
}

// only: nothing else matters any more.
func (v *liveness) only(s ir.Stmt, after locals) locals {
	in := make(locals, len(after))
	v.reads(s, in)
	return in
}

// scan: what any turn looks at may be of the one before.
func (v *liveness) scan(s *ir.ScanStmt, after locals) locals {
	turn := slices.Clone(after)
	v.within([]*ir.Block{s.Block}, turn)
	in := v.block(s.Block, turn, turn)
	v.c.turns[s] = turns{in.has(s.Key), in.has(s.Value)}
	turn.union(v.out(0))
	v.reads(s, turn)
	return turn
}

func (v *liveness) within(bs []*ir.Block, in locals) {
	for _, b := range bs {
		for _, s := range b.Stmts {
			v.reads(s, in)
			if l := changed(s); l != noLocal {
				in.add(l)
			}
			if once, ok := s.(*ir.AssignVarOnceStmt); ok {
				in.add(once.Target)
			}
			v.within(within(s), in)
		}
	}
}

func (v *liveness) once(s *ir.AssignVarOnceStmt, after locals) locals {
	switch {
	case v.c.final[s]:
		return v.only(s, after)
	case !v.c.fresh[s]:
		v.reads(s, after)
		after.add(s.Target)
		return after
	}
	return v.simple(s, after)
}

func (v *liveness) simple(s ir.Stmt, after locals) locals {
	if test, ok := s.(*ir.NotEqualStmt); ok {
		if l, ok := test.A.Value.(ir.Local); ok {
			v.c.last[test] = !after.has(l) && !v.out(0).has(l)
		}
	}
	if call, ok := s.(*ir.CallStmt); ok && len(call.Args) == 2 {
		if l, ok := call.Args[1].Value.(ir.Local); ok {
			v.c.lastArg[call] = !after.has(l) && !v.out(0).has(l)
		}
	}
	t := assigned(s)
	if t != noLocal && !after.has(t) {
		v.c.dead[s] = true
		if v.c.idle(s) {
			return after
		}
	}
	if t != noLocal {
		after.remove(t)
	}
	if l := changed(s); l != noLocal {
		after.add(l)
	}
	v.reads(s, after)
	if !never(s) {
		after.union(v.out(0))
	}
	return after
}

// never reports whether a statement is never undefined.
func never(s ir.Stmt) bool {
	switch s.(type) {
	case *ir.AssignVarStmt, *ir.AssignVarOnceStmt:
		return true
	}
	return made(s) != noLocal
}

// idle reports whether a statement whose target nobody looks at does nothing
// else either.
func (c *compiler) idle(s ir.Stmt) bool {
	if !c.dead[s] {
		return false
	}
	switch s := s.(type) {
	case *ir.AssignVarStmt:
		return true
	case *ir.AssignVarOnceStmt:
		return c.fresh[s] && !c.final[s]
	case *ir.DotStmt:
		known := c.facts[s]
		return known.sure && (known.value != nil || c.passed[s])
	}
	return made(s) != noLocal
}

// reads adds the locals that a statement looks at itself.
func (v *liveness) reads(s ir.Stmt, in locals) {
	if dot, ok := s.(*ir.DotStmt); ok {
		known := v.c.facts[dot]
		if known.sure && (known.value != nil || known.path != nil && !known.path.parent.within()) {
			return
		}
	}
	reads(s, func(o *ir.Operand) {
		if l, ok := o.Value.(ir.Local); ok {
			v.use(o, l, in)
		}
	}, func(l *ir.Local) { v.use(l, *l, in) })
}

func (v *liveness) use(key any, l ir.Local, in locals) {
	u, ok := v.c.uses[key]
	switch {
	case !ok:
		in.add(l)
	case u.place == inLocal:
		in.add(u.local)
	}
}

// turns says whether anybody looks at what a scan gives its block.
type turns struct{ key, value bool }
