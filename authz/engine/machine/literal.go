package machine

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ir"
)

// The planner makes `{"a": x}` and `[x, y]` of an empty value and an insertion
// for each element. Here they are made at once; those of constants are constants,
// and an array that is only joined to a text is never made. That is a tenth of
// what a decision of the shipped policies takes.

// construct compiles the literal that ss begins with; n is 0 if there is none.
func (c *compiler) construct(ss []ir.Stmt) int {
	switch first := ss[0].(type) {
	case *ir.MakeArrayStmt:
		return c.arrayLiteral(first.Target, ss)
	case *ir.MakeObjectStmt:
		return c.objectLiteral(first.Target, ss)
	}
	return 0
}

// sure reports whether an operand is always set.
func (c *compiler) sure(o *ir.Operand) bool {
	if _, ok := o.Value.(ir.Local); !ok {
		return true
	}
	held, ok := c.held[o]
	return ok && !held.unset && !held.empty() && !slices.ContainsFunc(held.paths, func(n *node) bool { return n.parent == nil })
}

func (c *compiler) arrayLiteral(to ir.Local, ss []ir.Stmt) int {
	var parts []operand
	constant := &Value{kind: Array, sorted: true}
	n := 1
	for ; n < len(ss); n++ {
		s, ok := ss[n].(*ir.ArrayAppendStmt)
		if !ok || s.Array != to || !c.sure(&s.Value) || c.rule(s) >= 0 {
			break
		}
		o := c.operand(&s.Value)
		parts = append(parts, o)
		constant.elems = append(constant.elems, o.value)
	}
	if n < len(ss) {
		if c.joined(ss[n], to, parts) {
			return n + 1
		}
	}
	at := c.register(to)
	if !slices.Contains(constant.elems, nil) {
		c.plain(op{kind: opPut, to: at, v: constant.freeze()})
		return n
	}
	c.closure(func(f *Frame, l []*Value) code {
		v := f.make(Array)
		f.memory -= elementCost * len(parts)
		for i := range parts {
			v.append(parts[i].get(f, l))
		}
		l[at] = v
		return goOn
	})
	return n
}

// joined compiles concat of an array literal; it is false if s is anything else.
func (c *compiler) joined(s ir.Stmt, list ir.Local, parts []operand) bool {
	call, ok := s.(*ir.CallStmt)
	if !ok || call.Func != "concat" || len(call.Args) != 2 || call.Args[1].Value != list || !c.lastArg[call] {
		return false
	}
	separator := c.operand(&call.Args[0])
	if separator.place != isConstant || separator.value.kind != String || len(parts) < 2 {
		return false
	}
	opa, err := c.opaCall(call.Func)
	if err != nil {
		return false
	}
	j := &joining{separator: separator.value, parts: parts, to: c.targetOf(call), opa: opa}
	c.closure(j.run)
	return true
}

// joining is concat of texts that are in different places.
type joining struct {
	separator *Value
	parts     []operand
	to        int32
	opa       *opaCall
}

// maxJoined is how long a text is joined in the frame's own room.
const maxJoined = 4096

func (j *joining) run(f *Frame, l []*Value) code {
	b := f.scratch[:0]
	for i := range j.parts {
		v := j.parts[i].get(f, l)
		if v.kind != String || v.clock != still || len(b)+len(v.s) > maxJoined {
			return j.slowly(f, l)
		}
		if i > 0 {
			b = append(b, j.separator.s...)
		}
		b = append(b, v.s...)
	}
	f.scratch = b
	if f.fuel--; f.fuel < 0 && !f.refuel() {
		return halted
	}
	l[j.to] = f.fresh(f.intern(b))
	return goOn
}

// slowly makes the array after all: it is long, or not of texts.
func (j *joining) slowly(f *Frame, l []*Value) code {
	list := f.make(Array)
	f.memory -= elementCost * len(j.parts)
	for i := range j.parts {
		list.append(j.parts[i].get(f, l))
	}
	f.observe(list)
	f.operands[0], f.operands[1] = j.separator, list
	v := concat(f, &f.operands)
	if v == decline {
		v = f.callOPA(j.opa, f.operands[:2])
	}
	if v == nil {
		return f.orHalted(undef)
	}
	l[j.to] = v
	return goOn
}

// objectLiteral: with keys that are different texts, none need be looked for.
func (c *compiler) objectLiteral(to ir.Local, ss []ir.Stmt) int {
	type field struct {
		key   *Value
		value operand
	}
	var fields []field
	n := 1
	for ; n < len(ss); n++ {
		s, ok := ss[n].(*ir.ObjectInsertStmt)
		if !ok || s.Object != to || !c.sure(&s.Value) || c.rule(s) >= 0 {
			break
		}
		key := c.operand(&s.Key)
		same := func(f field) bool { return f.key.s == key.value.s }
		if key.place != isConstant || key.value.kind != String || slices.ContainsFunc(fields, same) {
			break
		}
		fields = append(fields, field{key.value, c.operand(&s.Value)})
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.key.s, b.key.s) })
	constant, values := &Value{kind: Object, sorted: true}, make([]operand, len(fields))
	for i, f := range fields {
		constant.keys, constant.elems = append(constant.keys, f.key), append(constant.elems, f.value.value)
		values[i] = f.value
	}
	at := c.register(to)
	if !slices.Contains(constant.elems, nil) {
		c.plain(op{kind: opPut, to: at, v: constant.freeze()})
		return n
	}
	keys := constant.keys
	c.closure(func(f *Frame, l []*Value) code {
		v := f.make(Object)
		f.memory -= elementCost * len(keys)
		v.keys = append(v.keys, keys...)
		for i := range values {
			x := values[i].get(f, l)
			v.elems = append(v.elems, x)
			v.moves = v.moves || x.moving()
		}
		l[at] = v
		return goOn
	})
	return n
}
