package redislimit_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
	"github.com/neosc/gate/authz/limit/redislimit"
	"github.com/neosc/gate/test/redistest"
)

// TestFaultsUnderLoad: whatever happens to Redis, no decision waits longer than
// its budget, none is lost, and one replica admits no more than its bound.
func TestFaultsUnderLoad(t *testing.T) {
	t.Parallel()
	faults := map[string]func(*testing.T, *redistest.Server){
		"Stopped": func(t *testing.T, s *redistest.Server) { must(t, s.Stop()) },
		"Paused": func(t *testing.T, s *redistest.Server) {
			must(t, s.Pause())
			time.Sleep(400 * time.Millisecond) // the length of the fault
			must(t, s.Continue())
		},
		"Restarted": func(t *testing.T, s *redistest.Server) {
			must(t, s.Stop())
			must(t, s.Start())
		},
		"ScriptsFlushed": func(t *testing.T, s *redistest.Server) { must(t, client(t, s).ScriptFlush(t.Context()).Err()) },
		"DataFlushed":    func(t *testing.T, s *redistest.Server) { must(t, client(t, s).FlushAll(t.Context()).Err()) },
		"ReadOnly": func(t *testing.T, s *redistest.Server) {
			must(t, client(t, s).ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
			time.Sleep(300 * time.Millisecond) // the length of the fault
			must(t, client(t, s).ReplicaOf(t.Context(), "no", "one").Err())
		},
		"OutOfMemory": func(t *testing.T, s *redistest.Server) {
			must(t, client(t, s).ConfigSet(t.Context(), "maxmemory", "1").Err())
			time.Sleep(300 * time.Millisecond) // the length of the fault
			must(t, client(t, s).ConfigSet(t.Context(), "maxmemory", "0").Err())
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withinBudget(t, func() time.Duration { return underLoad(t, fault) })
		})
	}
}

func underLoad(t *testing.T, fault func(*testing.T, *redistest.Server)) (longest time.Duration) {
	srv := startRedis(t)
	l := newLimiter(t, on(srv))
	var a admissions
	stop := make(chan struct{})
	c := authz.Charge{Name: "user", Key: "a", Rate: 50, Burst: 10, Cost: 1}
	all := []*redislimit.Limiter{l, l, l, l}
	wg := a.load(all, c, 5*time.Millisecond, stop)
	time.Sleep(200 * time.Millisecond) // load before the fault
	fault(t, srv)
	time.Sleep(400 * time.Millisecond) // and after it
	eventually(t, "requests are admitted", func() bool { return a.admitted() >= 30 })
	close(stop)
	wg.Wait()
	a.check(t, c.Rate, float64(c.Burst), c.Rate*redislimit.DefaultBudget.Seconds())
	if len(a.errs) > 0 {
		t.Errorf("%d of %d decisions lost, the first: %v", len(a.errs), a.total, a.errs[0])
	}
	return a.longest
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for something that Redis or a probe brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

func TestBreakerOpensAndProbesItsWayBack(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	o := on(srv)
	var log syncBuffer
	reg := prometheus.NewRegistry()
	o.Log, o.Registerer = slog.New(slog.NewTextHandler(&log, nil)), reg
	l := newLimiter(t, o)
	must(t, srv.Pause())
	for i := range 3 {
		from := time.Now()
		if s := spend(t, l, user(fmt.Sprint(i))); !s.Allowed {
			t.Errorf("take-over: %+v", s)
		}
		if d := time.Since(from); d < redislimit.DefaultBudget { // and how much longer see TestFaultsUnderLoad
			t.Errorf("decision %d took %v, want the budget", i, d)
		}
	}
	eventually(t, "the breaker opens", func() bool { return errors.Is(l.Trouble(), redislimit.ErrUnavailable) })
	from := time.Now()
	for i := range 1000 {
		spend(t, l, user(fmt.Sprint("x", i)))
	}
	if d := time.Since(from); d > 1000*redislimit.DefaultBudget/4 {
		t.Errorf("1000 decisions with the breaker open took %v", d)
	}
	must(t, srv.Continue())
	eventually(t, "the breaker closes", func() bool { return l.Trouble() == nil })
	before, spent := calls(t, srv), 0
	eventually(t, "Redis is asked", func() bool {
		spend(t, l, user("back"))
		spent++
		return calls(t, srv) > before
	})
	if n := calls(t, srv) - before; n > spent {
		t.Errorf("%d calls for %d requests after the breaker closed", n, spent)
	}
	if text := log.String(); strings.Count(text, "passed by") != 1 || strings.Count(text, "answers again") != 1 {
		t.Errorf("log: %s", text)
	}
	families, err := reg.Gather()
	must(t, err)
	if len(families) != 6 {
		t.Errorf("%d metrics, want 6", len(families))
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestTakeOverIsWarm: an empty bucket stays empty when Redis goes away, and the
// take-over's admissions still count when it comes back without them.
func TestTakeOverIsWarm(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l := newLimiter(t, on(srv))
	c := authz.Charge{Name: "user", Key: "a", Rate: 0.01, Burst: 5, Cost: 1}
	for range 3 {
		spend(t, l, c)
	}
	must(t, srv.Stop())
	for i := range 4 {
		if s := spend(t, l, c); s.Allowed != (i < 2) {
			t.Errorf("take-over, request %d: %+v", i, s)
		}
	}
	trip(t, l)
	must(t, srv.Start())
	eventually(t, "Redis is back", func() bool { return l.Trouble() == nil })
	if s := spend(t, l, c); s.Allowed {
		t.Errorf("Redis forgot, the replica must not: %+v", s)
	}
}

// trip makes calls until the breaker is open.
func trip(t *testing.T, l *redislimit.Limiter) {
	t.Helper()
	for i := 0; l.Trouble() == nil; i++ {
		if i == 100 {
			t.Fatal("the breaker does not open")
		}
		_, _ = l.Spend(t.Context(), time.Time{}, []authz.Charge{user(fmt.Sprint("trip", i))})
	}
}

func TestOnError(t *testing.T) {
	t.Parallel()
	one := authz.Charge{Name: "n", Key: "k", Rate: 0.01, Burst: 1, Cost: 1}
	for _, choice := range []redislimit.OnError{redislimit.Local, redislimit.Allow, redislimit.Deny} {
		t.Run(string(choice), func(t *testing.T) {
			t.Parallel()
			srv := startRedis(t)
			o := on(srv)
			o.OnError = choice
			l := newLimiter(t, o)
			must(t, srv.Stop())
			for _, when := range []string{"failing", "open"} {
				one := one
				one.Key = when
				for i := range 2 {
					s, err := l.Spend(t.Context(), time.Time{}, []authz.Charge{one})
					want := map[redislimit.OnError]bool{redislimit.Local: i == 0, redislimit.Allow: true}[choice]
					if s.Allowed != want || (choice == redislimit.Deny) != errors.Is(err, redislimit.ErrUnavailable) {
						t.Errorf("%s, request %d: %+v, %v", when, i, s, err)
					}
				}
				g := limit.NewGuesses(l)
				for i := range 2 {
					ok, _, err := g.Take(t.Context(), time.Time{}, "guess", when, 0.01, 1)
					if ok != (choice != redislimit.Deny && i == 0) || (err != nil) != (choice == redislimit.Deny) {
						t.Errorf("%s, guess %d: %v, %v", when, i, ok, err)
					}
				}
				trip(t, l)
			}
		})
	}
}

// TestReplicasShareTheTakeOver: four replicas without Redis admit the rate once.
func TestReplicasShareTheTakeOver(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	o := on(srv)
	o.Replicas = 4
	total := 0
	var ls []*redislimit.Limiter
	for range 4 {
		ls = append(ls, newLimiter(t, o))
	}
	must(t, srv.Stop())
	c := authz.Charge{Name: "user", Key: "a", Rate: 0.01, Burst: 20, Cost: 1}
	for _, l := range ls {
		for range 20 {
			if spend(t, l, c).Allowed {
				total++
			}
		}
	}
	if total != 20 {
		t.Errorf("%d admitted, want the burst of 20 once", total)
	}
}
