package machine

import "github.com/open-policy-agent/opa/v1/ir"

// Outcome is one of the two ways in which a block of the plan may end: at its
// end, or before, because one of its statements was undefined.
type Outcome struct {
	// Rule is the path of the rule whose block it is, "data.neosc.authz.open",
	// "" for the entry point's own.
	Rule string
	// File, Row and Col say where the block begins, from 1.
	File     string
	Row, Col int
	// Taken says that the block came to its end.
	Taken bool
	// First is the first of the block's steps, End the one for its end: see
	// Frame.TakeSteps.
	First, End int
}

// Schema says what inputs are like. The program that decides is made without such
// knowledge: it is not to rely on what is said of its inputs.
type Schema interface {
	// Always reports whether whatever has the path but for its last segment has
	// that too.
	Always(path []string) bool
	// Kind is that of the values at a path, if they are all of one.
	Kind(path []string) (k Kind, known bool)
}

// Outcomes returns the ways in which the program's blocks may end, of a program
// that was compiled with Options.Outcomes; those that an analysis of the plan
// rules out are not among them. Not to be changed.
func (p *Program) Outcomes() []Outcome { return p.outcomes }

// Came reports whether one of the outcome's steps is among those that
// Frame.TakeSteps said.
func (o *Outcome) Came(steps []uint64) bool {
	first, end := o.First, o.End
	if o.Taken {
		first, end = end, end+1
	}
	for i := first; i < end; i++ {
		if steps[i/64]&(1<<(i%64)) != 0 {
			return true
		}
	}
	return false
}

// Steps is how many bits Frame.TakeSteps has.
func (p *Program) Steps() int { return p.steps }

// TakeSteps adds to into, as bits, 64 a word, where the blocks have ended since
// it was called last: one bit for each statement that was undefined, in the
// order of a block's statements, and one for its end. A later bit of a block is
// a request that came further.
func (f *Frame) TakeSteps(into []uint64) {
	for i, word := range f.taken {
		into[i] |= word
		f.taken[i] = 0
	}
}

// ends says how a block may end, as far as flow.go can tell.
type ends struct{ taken, undefined bool }

// passes notes a way from here out of the blocks around, but for the outermost
// n: those have come to what they were to do.
func (w *flow) passes(n int) {
	for _, b := range w.around[n:] {
		w.c.endsOf(b).taken = true
	}
}

func (c *compiler) endsOf(b *ir.Block) *ends {
	e := c.ends[b]
	if e == nil {
		e = new(ends)
		c.ends[b] = e
	}
	return e
}

// may notes that a statement may be undefined, where outcomes are noted only if
// it can be so.
func (w *flow) may(be bool) {
	if be || w.c.limits.Outcomes == nil {
		w.fails()
	}
}

// missing reports whether what is looked up may not be there.
func (w *flow) missing(known fact) bool {
	switch {
	case !known.sure || known.fails:
		return true
	case known.value != nil:
		return false
	}
	return known.path == nil || w.c.limits.Outcomes == nil || !w.c.limits.Outcomes.Always(known.path.segments())
}

// kind is that of what o holds, if it is known.
func (w *flow) kind(o origins) (k Kind, known bool) {
	if w.c.limits.Outcomes == nil || o.unset {
		return 0, false
	}
	if v := o.value(); v != nil {
		return v.kind, true
	}
	if n := o.path(); n != nil && n.parent != nil {
		return w.c.limits.Outcomes.Kind(n.segments())
	}
	return 0, false
}

// isKind notes whether a test for a kind may fail, or cannot but fail.
func (w *flow) isKind(source ir.Operand, want Kind) {
	k, known := w.kind(w.of(source))
	if w.may(!known || k != want); known && k != want {
		w.cur = nil
	}
}

// isFalse notes whether what is compared with false may be that, or cannot but
// be.
func (w *flow) isFalse(o origins) {
	k, known := w.kind(o)
	if v := o.value(); known && v == falseValue {
		w.fails()
		w.cur = nil
		return
	} else if known && v != nil {
		return
	}
	w.may(!known || k == Bool)
}

// says is what a built-in that asks for a kind is known to say.
func (w *flow) says(s *ir.CallStmt) origins {
	if want, ok := kinds[s.Func]; ok && len(s.Args) == 1 {
		if k, known := w.kind(w.of(s.Args[0])); known {
			return constant(boolValue(k == want))
		}
	}
	o := unknown
	if s.Func == "object.union" { // what is in the result was in one of them
		for _, a := range s.Args {
			o, _ = join(o, origins{made: w.of(a).made})
		}
	}
	return o
}

// bare reports whether o is an empty list or object of the base data, in which
// nothing is found.
func (w *flow) bare(o origins) bool {
	v := o.value()
	return w.c.limits.Outcomes != nil && v != nil && v.kind >= Array && len(v.elems) == 0
}

// undefined notes that the function may have no value.
func (w *flow) undefined(be bool) {
	if !be || w.fn.partial {
		return
	}
	w.fn.partial = true
	for by := range w.fn.callers {
		w.c.enqueue(by)
	}
}

// noted gives steps to the statements of the block b, whose code has just been
// made, and to its end. Nothing of it is in a program that was not asked for it.
func (c *compiler) noted(b *ir.Block, at int32) {
	steps := &c.asm.blocks[at]
	if steps.statements == 0 {
		return
	}
	steps.from = c.steps
	end := c.steps + steps.statements
	c.steps = end + 1
	c.asm.add(op{kind: opTaken, a: at, b: -1})
	var last Hint
	for i := range steps.statements {
		h := c.hints[b][i]
		if len(h.Paths) == 0 { // it looks at what one before it has made
			h = last
		}
		c.stepHints[steps.from+i], last = h, h
	}
	o := c.placeOf(b)
	o.First, o.End = steps.from, end
	if e := c.endsOf(b); e.taken {
		o.Taken = true
		c.outcomes = append(c.outcomes, o)
	}
	if e := c.endsOf(b); e.undefined {
		o.Taken = false
		c.outcomes = append(c.outcomes, o)
	}
}

// placeOf says where a block stands in the policy's text.
func (c *compiler) placeOf(b *ir.Block) (o Outcome) {
	o.Rule = c.ruleName()
	for _, s := range b.Stmts {
		at := s.GetLocation()
		if at.Row == 0 {
			continue
		}
		o.Row, o.Col = at.Row, at.Col
		if c.pol.Static != nil && at.File >= 0 && at.File < len(c.pol.Static.Files) {
			o.File = c.pol.Static.Files[at.File].Value
		}
		break
	}
	return o
}
