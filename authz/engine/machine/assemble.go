package machine

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ir"
)

// assembly is the code of one function while it is made. Until it is placed,
// operations name where they go on by labels.
type assembly struct {
	ops    []op
	labels []int32 // by label: the operation that it stands before
	around []around
	exits  [][]int32 // by body: labels, by how many blocks are left
	bodies []*body
	stubs  []stub
	blocks []blockSteps
}

// around is a block that is being compiled.
type around struct {
	exit int32 // where to go on when it has been left
	body *body // that begins with it
	at   int32 // in assembly.blocks, -1 if outcomes are not noted
}

// body is code that a statement runs itself: a turn of a loop.
type body struct {
	start int32
	label int32
	most  int32 // how many blocks are left from within at most
}

// blockSteps are the steps of a block, for outcomes.go: its statements so far,
// and once it is compiled where they begin.
type blockSteps struct{ from, statements int }

// stub is a way out of blocks on which outcomes are noted.
type stub struct {
	label int32
	ops   []op
}

func (a *assembly) label() int32 {
	a.labels = append(a.labels, -1)
	return int32(len(a.labels) - 1)
}

func (a *assembly) here(label int32) { a.labels[label] = int32(len(a.ops)) }

func (a *assembly) add(o op) { a.ops = append(a.ops, o) }

// exit is where to go on when k blocks are left besides the innermost.
func (a *assembly) exit(k int) int32 {
	top := len(a.around) - 1
	to, base := top-k, top
	for base > 0 && a.around[base].body == nil {
		base--
	}
	b := a.around[base].body
	if b == nil {
		to = max(to, 0) // blocks of a function come one after another whatever becomes of them
	}
	var next op
	switch {
	case to >= base:
		next = op{kind: opJump, fail: a.around[to].exit}
	default:
		next = op{kind: opStop, a: int32(base - to)}
		b.most = max(b.most, next.a)
	}
	noted := a.noted(top, max(to+1, base))
	if to >= base && a.around[to].at >= 0 {
		if b == nil && k > top {
			noted = append(noted, op{kind: opTaken, a: a.around[to].at, b: -1})
		} else {
			noted = append(noted, op{kind: opTaken, a: a.around[to].at, b: int32(a.blocks[a.around[to].at].statements)})
		}
	}
	if len(noted) == 0 && next.kind == opJump {
		return next.fail
	}
	return a.stub(append(noted, next))
}

// stub keeps operations for the end.
func (a *assembly) stub(ops []op) int32 {
	s := stub{a.label(), ops}
	a.stubs = append(a.stubs, s)
	return s.label
}

// noted says that the blocks from the innermost out to base came to their end.
func (a *assembly) noted(top, base int) (ops []op) {
	for i := top; i >= base; i-- {
		if at := a.around[i].at; at >= 0 {
			ops = append(ops, op{kind: opTaken, a: at, b: -1})
		}
	}
	return ops
}

// base is the outermost block that the code around runs itself.
func (a *assembly) base() int {
	i := len(a.around) - 1
	for i > 0 && a.around[i].body == nil {
		i--
	}
	return i
}

// finish adds what is left and gives the function's code its place in the
// program, in the order in which it runs when all statements go on.
func (p *Program) finish(a *assembly) (start int32) {
	a.add(op{kind: opStop, a: int32(goOn)})
	for _, s := range a.stubs {
		a.here(s.label)
		a.ops = append(a.ops, s.ops...)
	}
	for i := range a.ops {
		if o := &a.ops[i]; o.kind == opTaken {
			b := a.blocks[o.a]
			if o.b < 0 {
				o.b = int32(b.statements)
			}
			o.a, o.b = int32(b.from)+o.b, 0
		}
	}
	return (&placing{p: p, assembly: a, at: map[int32]int32{}}).run()
}

// placing puts operations where they stay; those that only lead elsewhere and
// those that nothing leads to vanish.
type placing struct {
	p *Program
	*assembly
	at    map[int32]int32 // operation → its place
	queue []int32
}

func (w *placing) run() int32 {
	w.queue = []int32{0}
	for _, b := range w.bodies {
		w.queue = append(w.queue, w.labels[b.label])
	}
	from := len(w.p.code)
	for len(w.queue) > 0 {
		i := w.queue[0]
		w.queue = w.queue[1:]
		w.straight(w.through(i))
	}
	for i := range w.p.code[from:] {
		o := &w.p.code[from+i]
		if !o.kind.ends() || o.kind == opJump {
			o.fail = w.placed(o.fail)
		}
		if o.kind == opBody {
			exits := w.exits[o.b]
			o.b = int32(len(w.p.exits))
			for _, label := range exits {
				w.p.exits = append(w.p.exits, w.placed(label))
			}
		}
	}
	for _, b := range w.bodies {
		b.start = w.placed(b.label)
	}
	return w.at[w.through(0)]
}

func (w *placing) placed(label int32) int32 { return w.at[w.through(w.labels[label])] }

// through follows operations that only lead elsewhere.
func (w *placing) through(i int32) int32 {
	for w.ops[i].kind == opJump {
		i = w.labels[w.ops[i].fail]
	}
	return i
}

// straight places an operation and those that follow it.
func (w *placing) straight(i int32) {
	if _, done := w.at[i]; done {
		return
	}
	for {
		if _, done := w.at[i]; done {
			label := w.label()
			w.labels[label] = i
			w.p.code = append(w.p.code, op{kind: opJump, fail: label})
			return
		}
		o := w.ops[i]
		w.at[i] = int32(len(w.p.code))
		w.p.code = append(w.p.code, o)
		if o.kind.ends() {
			return
		}
		w.queue = append(w.queue, w.labels[o.fail])
		if o.kind == opBody {
			for _, label := range w.exits[o.b] {
				w.queue = append(w.queue, w.labels[label])
			}
		}
		i = w.through(i + 1)
	}
}

// body compiles a block that a statement runs itself: what follows it comes
// first.
func (c *compiler) body(block *ir.Block, s func(b *body) stmt) error {
	a, b := &c.asm, &body{}
	b.label = a.label()
	at, after := len(a.ops), a.label()
	returns := a.label()
	a.add(op{kind: opBody, a: c.statement(s(b)), b: int32(len(a.exits)), fail: returns})
	a.exits, a.bodies = append(a.exits, nil), append(a.bodies, b)
	exits := a.ops[at].b
	a.add(op{kind: opJump, fail: after})
	a.here(b.label)
	left := a.label()
	if err := c.block(block, left, b); err != nil {
		return err
	}
	a.add(op{kind: opStop, a: int32(goOn)})
	a.here(left)
	a.add(op{kind: opStop, a: int32(undef)})
	for k := range max(1, int(b.most)) {
		a.exits[exits] = append(a.exits[exits], a.exit(k))
	}
	a.here(returns)
	a.ops = append(a.ops, a.noted(len(a.around)-1, a.base())...)
	a.add(op{kind: opEnded})
	a.here(after)
	return nil
}

// statement keeps a closure.
func (c *compiler) statement(s stmt) int32 {
	c.stmts = append(c.stmts, s)
	return int32(len(c.stmts) - 1)
}

// ordering is a relation of two values.
type ordering uint8

const (
	differs ordering = iota
	same
	less
	atMost
	greater
	atLeast
)

var orderings = []string{"neq", "equal", "lt", "lte", "gt", "gte"}

func orderingOf(name string) (ordering, bool) {
	i := slices.Index(orderings, name)
	return ordering(i), i >= 0
}

// ordered compares two values.
func (f *Frame) ordered(o ordering, x, y *Value) bool {
	switch o {
	case differs:
		return !f.same(x, y)
	case same:
		return f.same(x, y)
	case less:
		return f.order(x, y) < 0
	case atMost:
		return f.order(x, y) <= 0
	case greater:
		return f.order(x, y) > 0
	}
	return f.order(x, y) >= 0
}
