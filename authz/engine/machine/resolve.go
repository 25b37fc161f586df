package machine

import (
	"maps"

	"github.com/open-policy-agent/opa/v1/ir"
)

// A plan copies each operand into a local before it is used. resolver finds for
// each use where the value was first, so that the copy need not be made: a slot,
// a constant, another local.

type place uint8

const (
	inLocal place = iota
	inSlot
	isConstant
)

// operand is where a statement finds a value.
type operand struct {
	place place
	at    int32 // the slot or the register
	value *Value
}

func (o *operand) get(f *Frame, l []*Value) *Value {
	switch o.place {
	case inLocal:
		return l[o.at]
	case inSlot:
		return f.slots[o.at]
	}
	return o.value
}

type resolver struct {
	c      *compiler
	copies map[ir.Local]ir.Local // local → one that holds the same
	there  map[*node]bool        // paths that are known to be present
}

// block follows one block, from what is known at its beginning.
func (r *resolver) block(b *ir.Block) {
	for _, s := range b.Stmts {
		reads(s, r.operand, r.local)
		r.stmt(s)
	}
}

func (r *resolver) stmt(s ir.Stmt) {
	inner := within(s)
	loops := false
	if scan, ok := s.(*ir.ScanStmt); ok {
		loops = true
		r.forget(scan.Key)
		r.forget(scan.Value)
	}
	if len(inner) > 1 || loops { // a block finds what others before it have done
		written(inner, r.forget)
	}
	if w, ok := s.(*ir.WithStmt); ok {
		r.forget(w.Local)
	}
	for _, b := range inner {
		(&resolver{r.c, maps.Clone(r.copies), maps.Clone(r.there)}).block(b)
	}
	written(inner, r.forget)
	if l := changed(s); l != noLocal {
		r.forget(l)
	}
	if l := assigned(s); l != noLocal {
		r.forget(l)
	}
	switch s := s.(type) {
	case *ir.AssignVarStmt:
		r.copied(&s.Source, s.Target)
	case *ir.AssignVarOnceStmt:
		if r.c.fresh[s] {
			r.copied(&s.Source, s.Target)
		}
	case *ir.DotStmt:
		known := r.c.facts[s]
		if known.path == nil || known.path.parent.within() {
			return
		}
		if known.sure && r.there[known.path] {
			r.c.passed[s] = true
		}
		for n := known.path; n != nil && known.sure; n = n.parent {
			r.there[n] = true
		}
	}
}

// copied notes that a local holds what the source holds.
func (r *resolver) copied(source *ir.Operand, to ir.Local) {
	from, ok := source.Value.(ir.Local)
	if !ok {
		return
	}
	if first, ok := r.copies[from]; ok {
		from = first
	}
	if from != to {
		r.copies[to] = from
	}
}

// forget: the local gets another value.
func (r *resolver) forget(l ir.Local) {
	delete(r.copies, l)
	for to, from := range r.copies {
		if from == l {
			delete(r.copies, to)
		}
	}
}

func (r *resolver) operand(o *ir.Operand) {
	if l, ok := o.Value.(ir.Local); ok {
		r.c.uses[o] = r.use(r.c.held[o], l)
	}
}

func (r *resolver) local(l *ir.Local) {
	r.c.uses[l] = r.use(r.c.held[l], *l)
}

// use is where the value is that the local has been found to hold.
func (r *resolver) use(o origins, l ir.Local) use {
	if !o.unset {
		if v := o.value(); v != nil {
			return use{place: isConstant, value: v}
		}
		if n := o.path(); n != nil && n.parent != nil && !n.parent.within() {
			return use{place: inSlot, path: n}
		}
	}
	if first, ok := r.copies[l]; ok {
		l = first
	}
	return use{place: inLocal, local: l}
}

// use of a local: where its value is instead. Its key is the place in the plan,
// a *ir.Operand or *ir.Local.
type use struct {
	place place
	local ir.Local
	path  *node
	value *Value
}

// operand compiles an operand.
func (c *compiler) operand(o *ir.Operand) operand {
	if l, ok := o.Value.(ir.Local); ok {
		return c.placed(o, l)
	}
	return operand{place: isConstant, value: c.constant(*o)}
}

// source compiles a local that is looked at.
func (c *compiler) source(l *ir.Local) operand { return c.placed(l, *l) }

func (c *compiler) placed(key any, l ir.Local) operand {
	u, ok := c.uses[key]
	switch {
	case !ok:
		return operand{place: inLocal, at: c.register(l)}
	case u.place == isConstant:
		return operand{place: isConstant, value: u.value}
	case u.place == inSlot:
		return operand{place: inSlot, at: int32(u.path.slot)}
	}
	return operand{place: inLocal, at: c.register(u.local)}
}

// register gives the locals that are needed places next to each other.
func (c *compiler) register(l ir.Local) int32 {
	r, ok := c.fn.registers[l]
	if !ok {
		r = int32(len(c.fn.registers))
		c.fn.registers[l] = r
	}
	return r
}
