package machine

import (
	"context"

	"github.com/open-policy-agent/opa/v1/topdown"
)

// Frame is the room of one evaluation: the slots that are filled in, and where
// values are made. Get one from Program.Frame, fill in slots, run, read the
// result, release it. A Frame is for one goroutine at a time.
type Frame struct {
	program *Program
	slots   []*Value // by slot; nil is absent
	arena   arena

	// Of the evaluation that runs.
	ctx      context.Context
	now      int64
	horizon  Horizon
	err      error
	stack    []*Value // locals of the functions that are running
	top      int
	memos    []*Value // by function without arguments: what it gave
	spare    [][]*Value
	ret      *Value // what the function that just ended returns
	results  []*Value
	hits     []uint64 // by rule: a bit for those that held
	taken    []uint64 // see outcomes.go
	fuel     int      // steps before the next look at bounds and context
	steps    int      // steps left beyond fuel
	memory   int      // bytes left
	opa      opaState // what OPA's built-ins need
	scratch  []byte   // to put texts together
	operands operands
	known    *[interned]string
}

// Frame returns an empty frame for p.
func (p *Program) Frame() *Frame {
	f, ok := p.frames.Get().(*Frame)
	if !ok {
		f = &Frame{
			program: p,
			slots:   make([]*Value, len(p.slots)),
			stack:   make([]*Value, 4*p.widest+256),
			memos:   make([]*Value, len(p.funcs)),
			hits:    make([]uint64, (len(p.rules)+63)/64),
			taken:   make([]uint64, (p.steps+63)/64),
		}
	}
	return f
}

// Release takes the frame back: it, and every value that came of it, must not
// be used any more.
func (f *Frame) Release() {
	clear(f.slots)
	f.arena.reset()
	f.ctx, f.ret, f.err = nil, nil, nil
	f.results = f.results[:0]
	f.opa = opaState{}
	if f.arena.overgrown() || len(f.stack) > 1<<16 {
		return
	}
	f.program.frames.Put(f)
}

// Again forgets the last result, to evaluate again with the slots as they are:
// each must be filled with a value that is shared.
func (f *Frame) Again() { f.arena.reset() }

// begin prepares an evaluation.
func (f *Frame) begin(ctx context.Context, now int64) {
	clear(f.memos)
	clear(f.hits)
	f.ctx, f.now = ctx, now
	f.horizon = Horizon{Until: forever}
	f.err, f.ret, f.top = nil, nil, 0
	f.results = f.results[:0]
	f.opa = opaState{}
	f.memory = f.program.limits.Memory
	f.fuel, f.steps = 0, f.program.limits.Steps
	if n := min(f.steps, stride); n > 0 {
		f.fuel, f.steps = n, f.steps-n
	}
}

// enter returns cleared locals for a function; leave gives them back.
func (f *Frame) enter(n int) []*Value {
	if f.top+n > len(f.stack) {
		f.memory -= 8 * len(f.stack)
		f.stack, f.top = make([]*Value, 2*len(f.stack)+n), 0
	}
	l := f.stack[f.top : f.top+n : f.top+n]
	f.top += n
	clear(l)
	return l
}

// opaState is made when a built-in of OPA's is called first.
type opaState struct {
	ready  bool
	bctx   topdown.BuiltinContext
	errors []error // of built-ins: they make their expression undefined
	stop   func() bool
}
