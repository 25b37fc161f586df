package redislimit

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

var (
	// ErrClosed is what a closed limiter answers.
	ErrClosed = errors.New("the rate limiter is closed")
	// ErrUnavailable says that Redis gave no answer in time and the limiter is
	// set to refuse then.
	ErrUnavailable = errors.New("the shared rate limiter is out of reach")

	errOpen = errors.New("redis is being passed by after repeated failures")
	errBusy = errors.New("too many checks wait for redis")
)

// maxQueue bounds the checks that wait for a lane. It takes 800,000 checks a
// second within one budget to get there.
const maxQueue = 16384

// lane carries the calls to one tag, or to all of them where Redis is one
// server: one call at a time, with everything that has come meanwhile.
type lane struct {
	l   *Limiter
	tag int

	mu      sync.Mutex
	queue   []*item
	spare   []*item
	flight  []*item // what the call under way judges
	running bool
	closed  bool
	// watch fires at watchAt, the first deadline of those that wait. One timer
	// a call instead of one a check, which made a tenth of a check's cost here.
	watch   *time.Timer
	watchAt time.Time
	// open is the breaker: no calls but probes.
	open     bool
	failures int
}

func newLane(l *Limiter, tag int) *lane {
	n := &lane{l: l, tag: tag}
	n.watch = time.AfterFunc(time.Hour, n.expire)
	n.watch.Stop()
	return n
}

// submit queues an item. An error means that it was not and will not be sent.
// If lead, the lane was idle and the caller must see to it with lead or run.
func (n *lane) submit(it *item) (lead bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return false, ErrClosed
	case n.open:
		return false, errOpen
	case len(n.queue) >= maxQueue:
		return false, errBusy
	}
	n.queue = append(n.queue, it)
	if n.running {
		if !it.deadline.IsZero() && it.deadline.Before(n.watchAt) {
			n.wake(it.deadline)
		}
		return false, nil
	}
	n.running = true
	n.l.wg.Add(1)
	return true, nil
}

// lead makes one call from the caller's goroutine, which saves the lone request
// two switches between goroutines (half of its time), and leaves what has come
// meanwhile to one of the lane's own.
func (n *lane) lead() {
	b := n.l.batches.Get().(*batch)
	if !n.next(b) {
		n.l.batches.Put(b)
		n.l.wg.Done()
		return
	}
	n.call(b)
	b.reset()
	n.l.batches.Put(b)
	n.mu.Lock()
	n.running = len(n.queue) > 0
	more := n.running
	if !more {
		n.watch.Stop()
	}
	n.mu.Unlock()
	if more {
		go n.run()
	} else {
		n.l.wg.Done()
	}
}

// passedBy says whether requests go without this lane now.
func (n *lane) passedBy() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// run makes calls until nobody waits. It ends what submit began.
func (n *lane) run() {
	defer n.l.wg.Done()
	b := n.l.batches.Get().(*batch)
	defer n.l.batches.Put(b)
	for n.next(b) {
		n.call(b)
		b.reset()
		n.gather()
	}
}

// gather lets those just woken come back, which under load they do at once, and
// share the next call: it goes on while a turn of the scheduler brings more.
// With 64 callers a call then carries 54 of them, 40 after a single turn.
func (n *lane) gather() {
	came := n.queued()
	for range gatherTurns {
		runtime.Gosched()
		now := n.queued()
		if now <= came {
			return
		}
		came = now
	}
}

// gatherTurns bounds that: where the CPU is short a turn takes a millisecond.
const gatherTurns = 4

func (n *lane) queued() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.queue)
}

// next fills b with what waits; false, and the lane is idle, if nothing does.
func (n *lane) next(b *batch) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	used := 0
	for ; used < len(n.queue) && !b.full(); used++ {
		// Who gave up before being sent is not charged.
		if it := n.queue[used]; it.state.Load() != abandoned {
			b.add(it)
		}
	}
	rest := append(n.spare[:0], n.queue[used:]...)
	clear(n.queue)
	n.queue, n.spare = rest, n.queue[:0]
	n.running = len(b.items) > 0
	n.flight = b.items
	n.look(n.l.clock())
	return n.running
}

// call sends b, gives the answers out and minds the breaker.
func (n *lane) call(b *batch) {
	l := n.l
	ctx, cancel := context.WithTimeout(l.ctx, l.budget)
	sent := l.clock()
	reply, err := l.redis.run(ctx, b.encode())
	took := l.clock().Sub(sent)
	cancel()
	l.metrics.call(len(b.items), took, err)
	if err == nil {
		err = b.decode(reply)
	}
	if err != nil {
		// The breaker first: who is woken must not find it closed.
		n.failed(err)
		for _, it := range b.items {
			it.fail(err)
		}
		return
	}
	n.mu.Lock()
	n.failures, n.flight = 0, nil
	n.mu.Unlock()
	b.finish(l.local, sent, took)
}

// failed counts a failed call and opens the breaker after enough of them.
func (n *lane) failed(err error) {
	n.mu.Lock()
	n.flight = nil
	n.failures++
	if n.failures < n.l.failures || n.open || n.closed {
		n.mu.Unlock()
		return
	}
	n.open = true
	waiting := n.queue
	n.queue = nil
	n.l.wg.Add(1)
	go n.probe()
	n.mu.Unlock()
	n.l.tripped(n, err)
	for _, it := range waiting {
		it.fail(errOpen)
	}
}

// probe calls Redis, at first every probeMin and then less often, until it
// answers within the budget. No request waits for it.
func (n *lane) probe() {
	defer n.l.wg.Done()
	l := n.l
	wait := time.NewTimer(probeMin)
	defer wait.Stop()
	for pause := probeMin; ; {
		select {
		case <-l.ctx.Done():
			return
		case <-wait.C:
		}
		if n.answers() {
			n.mu.Lock()
			n.open, n.failures = false, 0
			n.mu.Unlock()
			l.restored(n)
			return
		}
		pause = min(2*pause, probeMax)
		wait.Reset(pause)
	}
}

const (
	probeMin = 50 * time.Millisecond
	probeMax = time.Second
	// connectTime is what a probe gives Redis to take a connection; TLS over a
	// distance needs more than a decision's budget.
	connectTime = time.Second
)

// answers makes a call that writes, so that a read-only replica fails it, to a
// bucket of the probe's own. The first one may have to connect; the second must
// keep to the budget.
func (n *lane) answers() bool {
	for _, d := range [2]time.Duration{max(connectTime, n.l.budget), n.l.budget} {
		b := newBatch()
		it := &item{kind: take, parts: []part{n.l.probePart(n.tag)}}
		b.add(it)
		ctx, cancel := context.WithTimeout(n.l.ctx, d)
		reply, err := n.l.redis.run(ctx, b.encode())
		cancel()
		if err != nil || b.decode(reply) != nil {
			return false
		}
	}
	return true
}

// close stops the lane: what waits is refused, nothing more is taken.
func (n *lane) close() {
	n.mu.Lock()
	n.closed = true
	waiting := n.queue
	n.queue = nil
	n.look(n.l.clock())
	n.mu.Unlock()
	for _, it := range waiting {
		it.fail(ErrClosed)
	}
}
