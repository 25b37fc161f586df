package machine

import "github.com/open-policy-agent/opa/v1/ir"

// values are the statements that only use and make values.
func (w *flow) values(s ir.Stmt) {
	switch s := s.(type) {
	case *ir.AssignIntStmt:
		w.make(s.Target)
	case *ir.MakeNullStmt:
		w.assign(s.Target, constant(nullValue))
	case *ir.MakeNumberIntStmt:
		w.make(s.Target)
	case *ir.MakeNumberRefStmt:
		w.assign(s.Target, constant(w.c.literal(s.Index)))
	case *ir.MakeArrayStmt:
		w.assign(s.Target, w.making(s))
	case *ir.MakeObjectStmt:
		w.assign(s.Target, w.making(s))
	case *ir.MakeSetStmt:
		w.make(s.Target)
	case *ir.ArrayAppendStmt:
		w.use(s.Value)
		w.put(&s.Array, s.Value)
	case *ir.ObjectInsertStmt:
		w.use(s.Key, s.Value)
		w.put(&s.Object, s.Value)
	case *ir.ObjectInsertOnceStmt:
		w.use(s.Key, s.Value)
		w.put(&s.Object, s.Value)
	case *ir.ObjectMergeStmt:
		w.useLocal(s.A)
		w.useLocal(s.B)
		w.make(s.Target)
	case *ir.SetAddStmt:
		w.use(s.Value)
	case *ir.ResultSetAddStmt:
		w.useLocal(s.Value)
	}
}

func (w *flow) making(s ir.Stmt) origins {
	m := w.c.makings[s]
	if m == nil {
		m = &making{fn: w.fn}
		w.c.makings[s] = m
	}
	return origins{made: []*making{m}}
}

// put notes what is put into what was made.
func (w *flow) put(into *ir.Local, value ir.Operand) {
	w.saw(into, w.cur[*into])
	for _, m := range w.cur[*into].made {
		m.in, _ = join(m.in, w.of(value))
	}
}

// compare: whether something is there and not false can be told by presence.
func (w *flow) compare(a, b ir.Operand) {
	if _, ok := a.Value.(ir.Bool); ok {
		return
	}
	if _, ok := b.Value.(ir.Bool); ok {
		return
	}
	w.use(a, b)
}

// once: that a value at one path is the same as itself needs no look at it.
func (w *flow) once(s *ir.AssignVarOnceStmt) {
	target, source := w.cur[s.Target], w.of(s.Source)
	fresh := !target.other && len(target.paths)+len(target.consts)+len(target.made) == 0
	if again := target.path() != nil && target.path() == source.path(); !fresh && !again {
		markWhole(target)
		markWhole(source)
	}
	w.c.fresh[s] = fresh
	if w.c.final[s] {
		w.passes(0)
		w.undefined(source.unset)
		w.c.returns(w.fn, source.set())
		w.cur = nil
		return
	}
	both, _ := join(target.set(), source)
	w.assign(s.Target, both)
}

func (w *flow) dot(s *ir.DotStmt) {
	source, key := w.of(s.Source), w.of(s.Key)
	var known fact
	result := unknown
	k := key.value()
	if key.unset {
		k = nil
	}
	switch {
	case source.set().empty() || key.set().empty(): // nothing comes here, so far
		w.fails()
		w.cur = nil
		return
	case k != nil && k.kind == String && source.path() != nil:
		known.path = source.path().kid(k.s)
		result = origins{paths: []*node{known.path}}
	case k != nil && source.value() != nil:
		known.value = source.value().get(k)
		known.fails = known.value == nil
		if known.fails && ambiguous(source.value(), k) {
			known = fact{} // for the evaluation to say
			result = unknown
			break
		}
		if known.value != nil {
			result = constant(known.value)
		}
	case w.bare(source):
		w.fails()
		w.cur = nil
		return
	default:
		w.use(s.Source, s.Key)
		result.made = source.made
	}
	// Where there is no input, there is nothing in its slots either.
	known.sure = !source.unset || source.path() == w.c.input && s.Source.Value == ir.Input && !w.fn.replaced
	w.c.facts[s] = known
	w.may(w.missing(known))
	if known.fails {
		w.cur = nil
		return
	}
	w.assign(s.Target, result)
}

// with: a document that is replaced in part must be there as a whole.
func (w *flow) with(s *ir.WithStmt) {
	before := w.cur[s.Local]
	value := w.of(s.Value)
	if len(s.Path) > 0 {
		markWhole(before)
		markWhole(value)
		value = unknown
	}
	w.withs = append(w.withs, with{s.Local, before, len(w.exits)})
	w.cur[s.Local] = value
	left := w.within(s.Block)
	w.withs = w.withs[:len(w.withs)-1]
	for _, x := range []*state{&left, &w.cur} {
		if *x != nil {
			(*x)[s.Local] = before
		}
	}
	end := w.cur
	w.cur = left // undefined inside is undefined as a whole
	w.fails()
	w.cur = end
}

func (w *flow) call(s *ir.CallStmt) {
	g := w.c.byName[s.Func]
	w.may(g == nil || g.partial)
	if g == nil { // a built-in
		w.use(s.Args...)
		w.assign(s.Result, w.says(s))
		return
	}
	in := make([]origins, len(s.Args))
	for i, a := range s.Args {
		in[i] = w.of(a)
	}
	w.gives(s.Result, w.c.called(g, w.fn, in))
}

// gives takes what a call gives; nothing goes on after one that gives nothing.
func (w *flow) gives(to ir.Local, o origins) {
	w.assign(to, o)
	if o.empty() {
		w.cur = nil
	}
}

func (w *flow) callDynamic(s *ir.CallDynamicStmt) {
	w.fails()
	w.use(s.Path...)
	in := make([]origins, len(s.Args))
	for i, a := range s.Args {
		in[i] = w.cur[a]
	}
	var result origins
	for _, g := range w.c.candidates(s.Path) {
		result, _ = join(result, w.c.called(g, w.fn, in))
	}
	w.gives(s.Result, result)
}
