package machine

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ir"
)

// flow follows what the locals of one function may hold, statement by
// statement and along every way through its blocks, since the planner uses a
// local for one thing after another.
type flow struct {
	c      *compiler
	fn     *fn
	cur    state   // here; nil if there is no way to here
	exits  []state // at the ends of the blocks around, outermost first
	around []*ir.Block
	withs  []with // replacements that end where their blocks are left
}

// state is what each local may hold.
type state []origins

type with struct {
	local  ir.Local
	before origins
	depth  int // of exits within
}

// fact is what the last, and therefore widest, visit of a statement knew.
type fact struct {
	path  *node  // DotStmt: the target is the value at this path
	value *Value // DotStmt: the target is this value
	fails bool   // DotStmt: the constant lacks the key
	sure  bool   // DotStmt: the source is set
}

func (w *flow) assign(to ir.Local, o origins) { w.cur[to] = o }

// merge joins from into s and reports whether s grew.
func (s *state) merge(from state) (more bool) {
	switch {
	case from == nil:
		return false
	case *s == nil:
		*s = slices.Clone(from)
		return true
	}
	for i := range from {
		joined, m := join((*s)[i], from[i])
		if m {
			(*s)[i] = joined
			more = true
		}
	}
	return more
}

// leave notes a way from here to the end of a block, k out from the innermost.
func (w *flow) leave(k int) {
	to := len(w.exits) - 1 - k
	if w.cur == nil {
		return
	}
	if w.passes(max(0, to+1)); to < 0 {
		return
	}
	from := w.cur
	for i := len(w.withs) - 1; i >= 0 && w.withs[i].depth > to; i-- {
		if i == len(w.withs)-1 {
			from = slices.Clone(from)
		}
		from[w.withs[i].local] = w.withs[i].before
	}
	w.exits[to].merge(from)
}

// fails notes that a statement may be undefined.
func (w *flow) fails() { w.leave(0) }

// within analyses a block and returns what holds where it was left undefined;
// w.cur is what holds where it came to its end.
func (w *flow) within(b *ir.Block) (left state) {
	w.exits, w.around = append(w.exits, nil), append(w.around, b)
	for _, s := range b.Stmts {
		if w.cur == nil {
			break
		}
		w.stmt(s)
	}
	left = w.exits[len(w.exits)-1]
	w.exits, w.around = w.exits[:len(w.exits)-1], w.around[:len(w.around)-1]
	e := w.c.endsOf(b)
	e.taken, e.undefined = e.taken || w.cur != nil, e.undefined || left != nil
	return left
}

// blocks analyses blocks that run one after another.
func (w *flow) blocks(bs []*ir.Block) {
	for _, b := range bs {
		if w.cur == nil {
			return
		}
		left := w.within(b)
		w.cur.merge(left)
	}
}

// function analyses w.fn from its beginning.
func (w *flow) function() {
	w.cur = make(state, w.fn.locals)
	for i := range w.cur {
		w.cur[i] = unset
	}
	for i, p := range w.fn.params {
		w.cur[p] = w.fn.in[i]
	}
	w.blocks(w.fn.blocks)
	w.undefined(w.cur != nil)
}

// of returns what an operand may hold.
func (w *flow) of(o ir.Operand) origins {
	if l, ok := o.Value.(ir.Local); ok {
		return w.cur[l]
	}
	return constant(w.c.constant(o))
}

// saw notes what a use of a local may find there.
func (w *flow) saw(key any, o origins) { w.c.held[key], _ = join(w.c.held[key], o) }

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
	w.c.visited[s] = true
	reads(s, func(o *ir.Operand) { w.saw(o, w.of(*o)) }, func(l *ir.Local) { w.saw(l, w.cur[*l]) })
	switch s := s.(type) {
	case *ir.BlockStmt:
		w.blocks(s.Blocks)
	case *ir.BreakStmt:
		w.leave(int(s.Index))
		w.cur = nil
	case *ir.NotStmt:
		left := w.within(s.Block)
		w.fails()
		w.cur = left
	case *ir.ScanStmt:
		w.scan(s)
	case *ir.WithStmt:
		w.with(s)
	case *ir.DotStmt:
		w.dot(s)
	case *ir.CallStmt:
		w.call(s)
	case *ir.CallDynamicStmt:
		w.callDynamic(s)
	case *ir.ReturnLocalStmt:
		w.passes(0)
		w.undefined(w.cur[s.Source].unset)
		w.c.returns(w.fn, w.cur[s.Source].set())
		w.cur = nil
	case *ir.ResetLocalStmt:
		w.assign(s.Target, unset)
	case *ir.AssignVarStmt:
		w.assign(s.Target, w.of(s.Source))
	case *ir.AssignVarOnceStmt:
		w.once(s)
	default:
		w.tests(s)
	}
}

// scan: what a turn leaves behind, the next one finds, so turns are taken until
// they leave nothing new.
func (w *flow) scan(s *ir.ScanStmt) {
	w.may(w.cur[s.Source].unset)
	w.useLocal(s.Source)
	if w.bare(w.cur[s.Source]) {
		return
	}
	start := slices.Clone(w.cur)
	for {
		w.cur = slices.Clone(start)
		w.make(s.Key)
		w.make(s.Value)
		left := w.within(s.Block)
		more := start.merge(w.cur)
		if more = start.merge(left) || more; !more {
			w.cur = start
			return
		}
	}
}

// tests are the statements that only tell whether to go on. Those for kind and
// definedness are content with a path's presence.
func (w *flow) tests(s ir.Stmt) {
	switch s := s.(type) {
	case *ir.IsDefinedStmt:
		w.may(w.cur[s.Source].unset)
		o := w.cur[s.Source].set()
		w.cur[s.Source] = o
		w.c.void[s] = o.empty()
		if o.empty() {
			w.cur = nil
		}
	case *ir.IsUndefinedStmt:
		w.may(!w.cur[s.Source].set().empty())
		may := w.cur[s.Source].unset
		w.cur[s.Source] = unset
		if !may {
			w.cur = nil
		}
	case *ir.IsArrayStmt:
		w.isKind(s.Source, Array)
	case *ir.IsObjectStmt:
		w.isKind(s.Source, Object)
	case *ir.IsSetStmt:
		w.isKind(s.Source, Set)
	case *ir.EqualStmt:
		w.fails()
		w.compare(s.A, s.B)
	case *ir.NotEqualStmt:
		w.compare(s.A, s.B)
		if s.B.Value == ir.Bool(false) {
			w.isFalse(w.of(s.A))
		} else {
			w.fails()
		}
	case *ir.LenStmt:
		w.fails()
		w.use(s.Source)
		w.make(s.Target)
	default:
		w.values(s)
	}
}
