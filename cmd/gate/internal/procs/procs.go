// Package procs sets GOMAXPROCS as the load asks: one thread runs Go code while
// one is enough, all that the machine or container gives run it otherwise.
//
// A check is read, decided and answered by three goroutines that wake each other.
// Where more threads than one may run Go code, each of these wakes rouses a
// sleeping thread to look for work that the waking one has done by then: a third
// of a check's CPU at 1 caller, a fifth at 16 (make bench ONLY=check/map, with
// GOMAXPROCS in the environment and without), and time besides. On one thread
// nothing is roused, but what holds that thread holds every check: so whatever
// computes for longer than a moment, or waits for a disk, takes all threads first
// (Busy), and so does a load that uses one up where the machine has more.
package procs

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// window is how often load is looked at: long enough for counters of the
	// kernel that have ticks of 10 ms.
	window = 100 * time.Millisecond
	// linger is how long all threads stay after the last that was busy: to change
	// their number stops every goroutine for some 50 µs, which fifty times a second
	// are a four-hundredth of it.
	linger = 20 * time.Millisecond
	// calm is how long all threads stay after a load that used one up.
	calm = time.Second
	// longest is how long a page counts as busy at most: one that is read slowly
	// does not compute, and what computes for longer is seen as load.
	longest = 2 * time.Second
	// usedUp of one thread's time asks for more, little of it for one.
	usedUp, little = 0.95, 0.7
	// full is what all threads take for what one does in all its time: they rouse
	// each other.
	full = 1.15
	// spare of one core's time, left over by everybody, is worth another thread.
	// On two cores 16 callers that wait for each answer leave 0.2 to 0.6, and get
	// their answers in 0.95 of the time from one thread.
	spare = 0.75
	// largeHeap has the collector at work for a second on one thread, which gets a
	// quarter of it, and the number cannot be changed meanwhile.
	largeHeap = 256 << 20
)

// Machine is what load is read from and what is set. Readings are sums since any
// beginning.
type Machine interface {
	// Used is the CPU time of this process.
	Used() time.Duration
	// Idle is the time in which cores had nothing to do, of all cores. It is not
	// known in every container.
	Idle() (idle time.Duration, known bool)
	// Live is how many bytes the last collection found in use.
	Live() uint64
	// Set has one thread or all run Go code. It waits for a collection to end.
	Set(all bool)
}

// Options make Procs. All but Registerer are needed.
type Options struct {
	Machine Machine
	// Now is the clock. After calls f once d has passed.
	Now   func() time.Time
	After func(d time.Duration, f func())
	// Registerer takes the metric; nil means none is kept.
	Registerer prometheus.Registerer
	// MetricPrefix begins its name.
	MetricPrefix string
}

// Procs keeps the number of threads. Safe for concurrent use. A nil *Procs leaves
// the number alone.
type Procs struct {
	o       Options
	changes *prometheus.CounterVec

	mu      sync.Mutex
	all     bool
	busy    int       // leases
	until   time.Time // all threads stay until then
	enough  bool      // one thread is, as far as the last look could tell
	waiting bool      // for until

	at         time.Time // of the last look
	used, idle time.Duration
}

// New starts with all threads, as the runtime does.
func New(o Options) (*Procs, error) {
	p := &Procs{o: o, all: true, changes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: o.MetricPrefix + "procs_changes_total",
		Help: "How often one thread became all that may run Go code or all became one, by why: busy (something computes or waits for a disk), load (one was used up), heap (a collection would hold it), quiet (one is enough). go_sched_gomaxprocs_threads has the number.",
	}, []string{"why"})}
	for _, why := range []string{"busy", "load", "heap", "quiet"} {
		p.changes.WithLabelValues(why)
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(p.changes); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Busy has all threads run until done is called, and a moment longer. Whoever is
// about to compute for more than a millisecond, or to wait for a disk, calls it
// before; done may be called more than once. It takes some 50 µs if one thread ran,
// longer if a collection is under way, and next to nothing otherwise.
//
// Where nobody can say when it is over, call done at once: the moment does for a
// write of a few pages.
func (p *Procs) Busy() (done func()) { return p.lease(linger) }

// Waits is Busy without the moment after: for whoever waits for a disk, does so
// once in a while, and knows when it is over. A sync of the decision log takes 5 ms
// of each second; with the moment, all threads ran for five times that.
func (p *Procs) Waits() (done func()) { return p.lease(0) }

func (p *Procs) lease(after time.Duration) (done func()) {
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	p.busy++
	p.set(true, "busy")
	p.mu.Unlock()
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.busy--
		if after == 0 {
			p.fewer()
			return
		}
		p.stay(after)
		p.later()
	})
}

// Handler serves h with all threads: pages and calls hash passwords, write to
// databases and read many rows.
func (p *Procs) Handler(h http.Handler) http.Handler {
	if p == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done := p.Busy()
		p.o.After(longest, done)
		defer done()
		h.ServeHTTP(w, r)
	})
}

// Run looks at the load until ctx ends, and leaves all threads.
func (p *Procs) Run(ctx context.Context) {
	if p == nil {
		return
	}
	t := time.NewTicker(window)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			p.Busy()
			return
		case <-t.C:
			p.Look()
		}
	}
}

// Look compares the load since the last look with what one thread can do.
func (p *Procs) Look() {
	now, used := p.o.Now(), p.o.Machine.Used()
	p.mu.Lock()
	defer p.mu.Unlock()
	took := now.Sub(p.at)
	share := of(used-p.used, took)
	first := p.at.IsZero()
	p.at, p.used = now, used
	room := p.room(took) // read at each look, so that it tells of this one
	switch {
	case first || took <= 0:
	case p.o.Machine.Live() > largeHeap:
		p.more("heap")
	case !p.all:
		if p.enough = share < usedUp || !room; !p.enough {
			p.more("load")
		}
	default:
		p.enough = share < little || share < full && !room
		p.fewer()
	}
}

// more has all threads run for a while, since one is not enough.
func (p *Procs) more(why string) {
	p.enough = false
	p.stay(calm)
	p.set(true, why)
}

// fewer has one thread run if it is enough and nobody needs more.
func (p *Procs) fewer() {
	if p.enough && p.busy == 0 && !p.o.Now().Before(p.until) {
		p.set(false, "quiet")
	}
}

// later has fewer called once the moment is over that all threads stay.
func (p *Procs) later() {
	if p.waiting || !p.all {
		return
	}
	p.waiting = true
	p.o.After(p.until.Sub(p.o.Now()), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting = false
		if p.busy == 0 && p.o.Now().Before(p.until) {
			p.later()
			return
		}
		p.fewer()
	})
}

// room says whether other cores had time to spare. Where that is not known, they
// had.
func (p *Procs) room(took time.Duration) bool {
	idle, known := p.o.Machine.Idle()
	left := of(idle-p.idle, took)
	p.idle = idle
	return !known || left >= spare
}

// stay keeps all threads for at least d from now.
func (p *Procs) stay(d time.Duration) {
	if t := p.o.Now().Add(d); t.After(p.until) {
		p.until = t
	}
}

func (p *Procs) set(all bool, why string) {
	if p.all == all {
		return
	}
	p.o.Machine.Set(all)
	p.all = all
	p.changes.WithLabelValues(why).Inc()
}

func of(part, whole time.Duration) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
