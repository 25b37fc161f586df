package engine

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
)

// trials compare the machine with OPA's evaluator: each program before it may
// decide, and then a sample of its decisions. One goroutine does it all, in the
// background.
type trials struct {
	opt     MachineOptions
	every   uint64
	metrics *meters
	recent  recent
	asked   atomic.Uint64 // decisions of OPA's evaluator
	now     func() time.Time

	mu     sync.Mutex
	next   *activation        // offered and not begun
	cancel context.CancelFunc // ends the trial that runs
	wake   chan struct{}
	queue  chan sampled

	ctx  context.Context
	stop context.CancelFunc
	done chan struct{}
}

// sampled is a decision that is to be compared.
type sampled struct {
	of       *activation
	request  *authz.Request
	decision *authz.Decision
	err      error
}

// maxQueue is how many decisions wait to be compared; more are not.
const maxQueue = 64

func newTrials(o MachineOptions, m *meters, now func() time.Time) *trials {
	o.Inputs = cmp.Or(o.Inputs, DefaultInputs)
	if o.Busy == nil {
		o.Busy = func() func() { return func() {} }
	}
	t := &trials{
		opt: o, every: uint64(max(1, cmp.Or(o.SampleEvery, DefaultSample))), metrics: m, now: now,
		wake: make(chan struct{}, 1), queue: make(chan sampled, maxQueue), done: make(chan struct{}),
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	go t.run()
	return t
}

func (t *trials) close(ctx context.Context) error {
	t.stop()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// offer has a compared, in place of any that was offered before.
func (t *trials) offer(a *activation) {
	t.mu.Lock()
	if t.next != nil {
		close(t.next.over)
	}
	t.next = a
	if t.cancel != nil {
		t.cancel()
	}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *trials) run() {
	defer close(t.done)
	for {
		select {
		case <-t.ctx.Done():
			return
		case s := <-t.queue:
			t.compareSampled(s)
		case <-t.wake:
			t.mu.Lock()
			a := t.next
			t.next = nil
			ctx, cancel := context.WithCancel(t.ctx)
			t.cancel = cancel
			t.mu.Unlock()
			if a != nil {
				done := t.opt.Busy()
				t.try(ctx, a)
				done()
				close(a.over)
			}
			cancel()
		}
	}
}

// sample puts one in so many decisions by for comparison; it never waits. One
// number is drawn for that, by its upper bits, and for recent, by its lower ones.
func (t *trials) sample(a *activation, r *authz.Request, d *authz.Decision, err error) {
	drawn := rand.Uint64()
	t.recent.note(r, drawn)
	if drawn > math.MaxUint64/t.every {
		return
	}
	s := sampled{of: a, request: ownRequest(r), err: err}
	if d != nil {
		s.decision = ownDecision(d)
	}
	select {
	case t.queue <- s:
	default:
		t.metrics.comparison(dropped)
	}
}

// retire moves an activation to OPA's evaluator for good. It reports false if it
// was there already.
func (t *trials) retire(a *activation, why string) bool {
	if a.fast.Swap(nil) == nil {
		return false
	}
	t.settle(a, EvaluatorState{Evaluator: OPA, Why: why})
	t.opt.Logger.Error("policy moved to OPA's evaluator", "revision", a.program.revision, "generation", a.generation, "why", why)
	t.keepVerdict(a.program, verdict{Why: why})
	return true
}

// settle says what a runs on.
func (t *trials) settle(a *activation, s EvaluatorState) {
	a.state.Store(&s)
	t.metrics.evaluator(a)
}

// recent are requests that were judged lately, for the next program's trial.
type recent struct {
	full atomic.Bool
	mu   sync.Mutex
	ring []*authz.Request
	next int
}

// maxRecent is how many requests are remembered.
const maxRecent = 256

// note remembers a request: each of the first ones, and then one in 1,024, by
// the lower bits of a number that was drawn for it. It never waits.
func (x *recent) note(r *authz.Request, drawn uint64) {
	if x.full.Load() && drawn%1024 != 0 || len(r.Path) > maxKey || len(r.Headers) > 64 || !x.mu.TryLock() {
		return
	}
	defer x.mu.Unlock()
	if len(x.ring) < maxRecent {
		x.ring = append(x.ring, ownRequest(r))
		x.full.Store(len(x.ring) == maxRecent)
		return
	}
	x.ring[x.next] = ownRequest(r)
	x.next = (x.next + 1) % maxRecent
}

func (x *recent) list() []*authz.Request {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]*authz.Request(nil), x.ring...)
}
