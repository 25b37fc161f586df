package machine

import (
	"github.com/open-policy-agent/opa/v1/ir"
)

// flow follows what the locals of one function may hold, statement by
// statement, since the planner uses a local for one thing after another. What a
// block has changed when it is left at any point, by a break or an undefined
// statement, is joined to what was before.
type flow struct {
	c   *compiler
	fn  *fn
	cur []origins
	log []change
}

// change is an assignment: to was, then is.
type change struct {
	to      int
	was, is origins
}

// fact is what the last, and therefore widest, visit of a statement knew.
type fact struct {
	path  *node  // DotStmt: the target is the value at this path
	value *Value // DotStmt: the target is this value
	fails bool   // DotStmt: the constant lacks the key
}

func (w *flow) assign(to ir.Local, o origins) {
	w.log = append(w.log, change{int(to), w.cur[to], o})
	w.cur[to] = o
}

// scope runs body as a part that may be left anywhere, or not be run at all,
// and reports whether afterwards more may be held than before.
func (w *flow) scope(body func()) (more bool) {
	from := len(w.log)
	body()
	for i := len(w.log) - 1; i >= from; i-- {
		w.cur[w.log[i].to] = w.log[i].was
	}
	for _, x := range w.log[from:] {
		joined, m := join(w.cur[x.to], x.is)
		w.cur[x.to] = joined
		more = more || m
	}
	return more
}

// function analyses w.fn from its beginning.
func (w *flow) function() {
	w.cur = make([]origins, w.fn.locals)
	for i := range w.cur {
		w.cur[i] = unset
	}
	for i, p := range w.fn.params {
		w.cur[p] = w.fn.in[i]
	}
	for _, b := range w.fn.blocks {
		w.scope(func() { w.block(b) })
	}
}

func (w *flow) block(b *ir.Block) {
	for _, s := range b.Stmts {
		w.stmt(s)
	}
}

// of returns what an operand may hold.
func (w *flow) of(o ir.Operand) origins {
	if l, ok := o.Value.(ir.Local); ok {
		return w.cur[l]
	}
	return constant(w.c.constant(o))
}

// use notes that operands are used as values.
func (w *flow) use(os ...ir.Operand) {
	for _, o := range os {
		if l, ok := o.Value.(ir.Local); ok {
			w.useLocal(l)
		}
	}
}

func (w *flow) useLocal(l ir.Local) { markWhole(w.cur[l]) }

func markWhole(o origins) {
	for _, n := range o.paths {
		n.whole = true
	}
}

// make notes a value that the function makes.
func (w *flow) make(to ir.Local) { w.assign(to, unknown) }

func (w *flow) stmt(s ir.Stmt) {
	switch s := s.(type) {
	case *ir.BlockStmt:
		for _, b := range s.Blocks {
			w.scope(func() { w.block(b) })
		}
	case *ir.NotStmt:
		w.scope(func() { w.block(s.Block) })
	case *ir.ScanStmt:
		w.useLocal(s.Source)
		for w.scope(func() {
			w.make(s.Key)
			w.make(s.Value)
			w.block(s.Block)
		}) {
			continue // what a turn leaves behind, the next one finds
		}
	case *ir.WithStmt:
		w.with(s)
	case *ir.DotStmt:
		w.dot(s)
	case *ir.CallStmt:
		w.call(s)
	case *ir.CallDynamicStmt:
		w.callDynamic(s)
	case *ir.ReturnLocalStmt:
		w.c.returns(w.fn, w.cur[s.Source].set())
	case *ir.ResetLocalStmt:
		w.assign(s.Target, unset)
	case *ir.AssignVarStmt:
		w.assign(s.Target, w.of(s.Source))
	case *ir.AssignVarOnceStmt:
		w.once(s)
	default:
		w.values(s)
	}
}

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
		w.make(s.Target)
	case *ir.MakeObjectStmt:
		w.make(s.Target)
	case *ir.MakeSetStmt:
		w.make(s.Target)
	case *ir.EqualStmt:
		w.compare(s.A, s.B)
	case *ir.NotEqualStmt:
		w.compare(s.A, s.B)
	case *ir.LenStmt:
		w.use(s.Source)
		w.make(s.Target)
	case *ir.ArrayAppendStmt:
		w.use(s.Value)
	case *ir.ObjectInsertStmt:
		w.use(s.Key, s.Value)
	case *ir.ObjectInsertOnceStmt:
		w.use(s.Key, s.Value)
	case *ir.ObjectMergeStmt:
		w.useLocal(s.A)
		w.useLocal(s.B)
		w.make(s.Target)
	case *ir.SetAddStmt:
		w.use(s.Value)
	case *ir.ResultSetAddStmt:
		w.useLocal(s.Value)
	}
	// The others (breaks; tests for kind and definedness) are content with a
	// path's presence.
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
	fresh := len(target.paths) == 0 && len(target.consts) == 0 && !target.other
	if again := target.path() != nil && target.path() == source.path(); !fresh && !again {
		markWhole(target)
		markWhole(source)
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
	case k != nil && k.kind == String && source.path() != nil:
		known.path = source.path().kid(k.s)
		result = origins{paths: []*node{known.path}}
	case k != nil && source.value() != nil:
		known.value = source.value().get(k)
		known.fails = known.value == nil
		result = origins{}
		if known.value != nil {
			result = constant(known.value)
		}
	default:
		w.use(s.Source, s.Key)
	}
	w.c.facts[s] = known
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
	w.cur[s.Local] = value
	w.scope(func() { w.block(s.Block) })
	w.cur[s.Local] = before
}

func (w *flow) call(s *ir.CallStmt) {
	g := w.c.byName[s.Func]
	if g == nil { // a built-in
		w.use(s.Args...)
		w.make(s.Result)
		return
	}
	in := make([]origins, len(s.Args))
	for i, a := range s.Args {
		in[i] = w.of(a)
	}
	w.assign(s.Result, w.c.called(g, w.fn, in))
}

func (w *flow) callDynamic(s *ir.CallDynamicStmt) {
	w.use(s.Path...)
	in := make([]origins, len(s.Args))
	for i, a := range s.Args {
		in[i] = w.cur[a]
	}
	var result origins
	for _, g := range w.c.candidates(s.Path) {
		result, _ = join(result, w.c.called(g, w.fn, in))
	}
	w.assign(s.Result, result)
}
