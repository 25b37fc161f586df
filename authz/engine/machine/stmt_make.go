package machine

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ir"
)

func makeStmt(to int32, k Kind) stmt {
	return func(f *Frame, l []*Value) code {
		l[to] = f.make(k)
		return goOn
	}
}

// own returns v if it may be changed, else a copy of its first level.
func (f *Frame) own(v *Value) *Value {
	if !v.frozen && !v.sealed {
		return v
	}
	f.memory -= elementCost * len(v.elems)
	n := f.make(v.kind)
	n.elems = append(n.elems, v.elems...)
	n.keys = append(n.keys, v.keys...)
	n.sorted, n.moves = v.sorted, v.moves
	return n
}

func (c *compiler) arrayAppend(s *ir.ArrayAppendStmt) stmt {
	to, source := c.register(s.Array), c.operand(&s.Value)
	return func(f *Frame, l []*Value) code {
		v := source.get(f, l)
		if v == nil || l[to] == nil {
			return undef
		}
		a := f.own(l[to])
		f.memory -= elementCost
		a.append(v)
		l[to] = a
		return goOn
	}
}

func (c *compiler) setAdd(s *ir.SetAddStmt) stmt {
	to, source := c.register(s.Set), c.operand(&s.Value)
	return func(f *Frame, l []*Value) code {
		v := source.get(f, l)
		if v == nil || l[to] == nil {
			return undef
		}
		if v.moving() {
			f.observe(v)
		}
		set := f.own(l[to])
		f.memory -= elementCost
		set.add(v)
		l[to] = set
		return goOn
	}
}

func (c *compiler) objectInsert(s *ir.ObjectInsertStmt) stmt {
	to, key, value := c.register(s.Object), c.operand(&s.Key), c.operand(&s.Value)
	return func(f *Frame, l []*Value) code {
		k, v := key.get(f, l), value.get(f, l)
		if k == nil || v == nil || l[to] == nil {
			return undef
		}
		if k.moving() {
			f.observe(k)
		}
		o := f.own(l[to])
		f.memory -= elementCost
		o.insert(k, v)
		l[to] = o
		return goOn
	}
}

// objectInsertOnce ends the evaluation if the key has another value already.
func (c *compiler) objectInsertOnce(s *ir.ObjectInsertOnceStmt) stmt {
	to, key, value := c.register(s.Object), c.operand(&s.Key), c.operand(&s.Value)
	conflict := fmt.Errorf("%w: object keys must be unique, in %s", ErrConflict, c.ruleName())
	return func(f *Frame, l []*Value) code {
		k, v := key.get(f, l), value.get(f, l)
		if k == nil || v == nil || l[to] == nil {
			return undef
		}
		if k.moving() {
			f.observe(k)
		}
		if i := l[to].find(k); i >= 0 {
			if !f.same(l[to].elems[i], v) {
				f.fail(conflict)
				return halted
			}
			return goOn
		}
		o := f.own(l[to])
		f.memory -= elementCost
		o.push(k, v)
		l[to] = o
		return goOn
	}
}

func (c *compiler) objectMerge(s *ir.ObjectMergeStmt) stmt {
	a, b, to := c.source(&s.A), c.source(&s.B), c.register(s.Target)
	return func(f *Frame, l []*Value) code {
		l[to] = f.merge(a.get(f, l), b.get(f, l))
		return f.orHalted(goOn)
	}
}

// merge adds to a, the base document's part, what rules give, b, level by level.
func (f *Frame) merge(a, b *Value) *Value {
	switch {
	case a == nil:
		return b
	case b == nil || !f.spend(1+len(a.elems)):
		return a
	case a.kind != Object || b.kind != Object:
		return a
	}
	f.memory -= elementCost * (len(a.elems) + len(b.elems))
	n := f.make(Object)
	for i, k := range a.keys {
		n.push(k, a.elems[i])
	}
	for i, k := range b.keys {
		n.insert(k, f.merge(a.get(k), b.elems[i]))
	}
	return n
}
