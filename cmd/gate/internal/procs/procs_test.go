package procs

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// told is a machine with readings as told, and a clock.
type told struct {
	mu     sync.Mutex
	now    time.Time
	used   time.Duration
	idle   time.Duration
	hidden bool // idle time is not known
	live   uint64
	sets   []bool
	due    []due
}

// due is what is called at an instant.
type due struct {
	at time.Time
	f  func()
}

func (m *told) After(d time.Duration, f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.due = append(m.due, due{m.now.Add(d), f})
}

// wait lets d go by, and calls what is due meanwhile in its order.
func (m *told) wait(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for end := m.now.Add(d); ; {
		slices.SortStableFunc(m.due, func(a, b due) int { return a.at.Compare(b.at) })
		if len(m.due) == 0 || m.due[0].at.After(end) {
			m.now = end
			return
		}
		next := m.due[0]
		m.due, m.now = m.due[1:], next.at
		m.mu.Unlock()
		next.f()
		m.mu.Lock()
	}
}

func (m *told) Used() time.Duration         { return m.used }
func (m *told) Idle() (time.Duration, bool) { return m.idle, !m.hidden }
func (m *told) Live() uint64                { return m.live }
func (m *told) Now() time.Time              { m.mu.Lock(); defer m.mu.Unlock(); return m.now }
func (m *told) Set(all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sets = append(m.sets, all)
}

// pass lets d go by, of which the process used and everybody left shares, and
// looks.
func (m *told) pass(p *Procs, d time.Duration, used, left float64) {
	m.wait(d)
	m.used += time.Duration(used * float64(d))
	m.idle += time.Duration(left * float64(d))
	p.Look()
}

func begin(t *testing.T) (*Procs, *told) {
	t.Helper()
	m := &told{now: time.Unix(1_800_000_000, 0)}
	p, err := New(Options{Machine: m, Now: m.Now, After: m.After, Registerer: prometheus.NewRegistry(), MetricPrefix: "x_"})
	if err != nil {
		t.Fatal(err)
	}
	p.Look()
	return p, m
}

func (m *told) want(t *testing.T, sets ...bool) {
	t.Helper()
	if !slices.Equal(m.sets, sets) {
		t.Fatalf("set to all threads: %v, want %v", m.sets, sets)
	}
}

func TestTheFirstLookKnowsNothingYet(t *testing.T) {
	t.Parallel()
	_, m := begin(t)
	m.want(t)
}

func TestOneThreadWhileLittleIsAsked(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.3, 1.5)
	m.pass(p, window, 0.9, 1.0) // not used up
	m.want(t, false)
}

func TestWhatLoadSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		one        bool // before
		used, left float64
		hidden     bool
		live       uint64
		want       bool // all threads
	}{
		"one is used up and others have time":              {one: true, used: 0.98, left: 2, want: true},
		"one is used up and nobody has time":               {one: true, used: 0.98, left: 0.4, want: false},
		"one is used up and nobody knows of time":          {one: true, used: 0.98, hidden: true, want: true},
		"one is not used up":                               {one: true, used: 0.9, left: 3, want: false},
		"one would do":                                     {used: 0.5, left: 3, want: false},
		"all are used by more than one could do":           {used: 1.6, left: 0, want: true},
		"all are used by what one could do, others wait":   {used: 1.1, left: 0.3, want: false},
		"all are used by what one could do, there is time": {used: 1.0, left: 2, want: true},
		"all are used a bit and time is not known":         {used: 1.0, hidden: true, want: true},
		"a large heap takes all":                           {one: true, used: 0.1, left: 3, live: largeHeap + 1, want: true},
		"a large heap keeps all":                           {used: 0.1, left: 3, live: largeHeap + 1, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, m := begin(t)
			if c.one {
				m.pass(p, window, 0.1, 1.5)
			}
			m.hidden, m.live = c.hidden, c.live
			m.pass(p, window, c.used, c.left)
			if p.all != c.want {
				t.Errorf("all threads: %v", p.all)
			}
			if n := len(m.sets); n > 0 && m.sets[n-1] != p.all {
				t.Errorf("the runtime was told %v", m.sets)
			}
		})
	}
}

func TestALoadThatGoesAwayKeepsAllForAWhile(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.1, 1.5)
	m.pass(p, window, 1, 1.5)
	m.pass(p, window, 0.1, 1.5)
	m.want(t, false, true)
	m.pass(p, calm, 0.1, 1.5)
	m.want(t, false, true, false)
}

func TestWhoeverIsBusyHasAllThreadsUntilAMomentAfter(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.1, 1.5)
	done, other := p.Busy(), p.Busy()
	m.want(t, false, true)
	done()
	done() // counts once
	for range 20 {
		m.pass(p, calm, 0.1, 1.5)
	}
	m.want(t, false, true) // the other
	other()
	m.wait(linger - 1)
	m.want(t, false, true)
	m.wait(1)
	m.want(t, false, true, false)
}

func TestWhoeverWaitsHasAllThreadsForNoLonger(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.1, 1.5)
	done := p.Waits()
	m.want(t, false, true)
	done()
	m.want(t, false, true, false)
	done = p.Waits()
	p.Busy()() // another's moment stays
	done()
	m.want(t, false, true, false, true)
	m.wait(linger)
	m.want(t, false, true, false, true, false)
	done = p.Waits()
	m.pass(p, window, 1.9, 0.1) // a load that asks for more stays too
	done()
	m.want(t, false, true, false, true, false, true)
}

func TestTheMomentBeginsAnewWithEachThatIsBusy(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.1, 1.5)
	for range 10 {
		p.Busy()()
		m.wait(linger * 2 / 3)
	}
	m.want(t, false, true)
	m.wait(linger)
	m.want(t, false, true, false)
	if len(m.due) != 0 {
		t.Errorf("%d calls are due yet", len(m.due))
	}
}

func TestAMomentDoesNotEndWhatTheLoadAsksFor(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.1, 1.5)
	m.pass(p, window, 1, 1.5)
	p.Busy()()
	m.pass(p, calm/2, 1.3, 1)
	m.want(t, false, true)
	m.pass(p, calm, 1.3, 1)
	m.want(t, false, true)
}

func TestAPageHasAllThreads(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.1, 1.5)
	p.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		m.want(t, false, true)
		m.pass(p, calm, 0.1, 1.5)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	m.want(t, false, true)
	m.wait(linger)
	m.want(t, false, true, false)
}

func TestAPageThatIsReadSlowlyKeepsAllThreadsForAWhileOnly(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.1, 1.5)
	p.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		m.pass(p, longest-1, 0.1, 1.5)
		m.want(t, false, true)
		m.pass(p, linger+1, 0.1, 1.5)
		m.want(t, false, true, false)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	m.want(t, false, true, false)
	if p.busy != 0 {
		t.Errorf("%d are busy", p.busy)
	}
}

func TestTheEndLeavesAllThreads(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	m.pass(p, window, 0.1, 1.5)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Run(ctx)
	m.want(t, false, true)
}

func TestWithoutAChoiceNothingIsDone(t *testing.T) {
	t.Parallel()
	var p *Procs
	p.Busy()()
	p.Waits()()
	p.Run(context.Background())
	h := http.NewServeMux()
	if p.Handler(h) != http.Handler(h) {
		t.Error("the handler is another one")
	}
}

func TestManyAtOnceAreCounted(t *testing.T) {
	t.Parallel()
	p, m := begin(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				p.Busy()()
				p.mu.Lock()
				p.set(false, "quiet")
				p.mu.Unlock()
			}
		})
	}
	wg.Wait()
	if p.busy != 0 {
		t.Errorf("%d are busy yet", p.busy)
	}
	for i := 1; i < len(m.sets); i++ {
		if m.sets[i] == m.sets[i-1] {
			t.Fatal("the runtime was told twice")
		}
	}
}
