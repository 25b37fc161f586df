package redislimit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
	"github.com/neosc/gate/authz/limit/redislimit"
	"github.com/neosc/gate/authz/limit/redislimit/internal/redisserver"
)

// slack is what a loaded two-core machine may add to a decision that waited for
// its whole budget.
const slack = 80 * time.Millisecond

// TestFaultsUnderLoad: whatever happens to Redis, no decision waits longer than
// its budget, none is lost, and one replica admits no more than its bound.
func TestFaultsUnderLoad(t *testing.T) {
	t.Parallel()
	faults := map[string]func(*testing.T, *redisserver.Server){
		"Stopped": func(_ *testing.T, s *redisserver.Server) { s.Kill() },
		"Paused": func(t *testing.T, s *redisserver.Server) {
			must(t, s.Pause())
			time.Sleep(400 * time.Millisecond) // the length of the fault
			must(t, s.Resume())
		},
		"Restarted": func(t *testing.T, s *redisserver.Server) {
			s.Kill()
			must(t, s.Start())
		},
		"ScriptsFlushed": func(t *testing.T, s *redisserver.Server) { must(t, client(t, s).ScriptFlush(t.Context()).Err()) },
		"DataFlushed":    func(t *testing.T, s *redisserver.Server) { must(t, client(t, s).FlushAll(t.Context()).Err()) },
		"ReadOnly": func(t *testing.T, s *redisserver.Server) {
			must(t, client(t, s).ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
			time.Sleep(300 * time.Millisecond) // the length of the fault
			must(t, client(t, s).ReplicaOf(t.Context(), "no", "one").Err())
		},
		"OutOfMemory": func(t *testing.T, s *redisserver.Server) {
			must(t, client(t, s).ConfigSet(t.Context(), "maxmemory", "1").Err())
			time.Sleep(300 * time.Millisecond) // the length of the fault
			must(t, client(t, s).ConfigSet(t.Context(), "maxmemory", "0").Err())
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startRedis(t)
			l := newLimiter(t, on(srv))
			var a admissions
			stop := make(chan struct{})
			c := authz.Charge{Name: "user", Key: "a", Rate: 50, Burst: 10, Cost: 1}
			all := []*redislimit.Limiter{l, l, l, l}
			wg := a.load(all, c, 5*time.Millisecond, stop)
			time.Sleep(300 * time.Millisecond) // load before the fault
			fault(t, srv)
			time.Sleep(700 * time.Millisecond) // and after it
			close(stop)
			wg.Wait()
			a.check(t, c.Rate, float64(c.Burst), c.Rate*redislimit.DefaultBudget.Seconds())
			if a.longest > redislimit.DefaultBudget+slack {
				t.Errorf("a decision took %v", a.longest)
			}
			if len(a.errs) > 0 {
				t.Errorf("%d of %d decisions lost, the first: %v", len(a.errs), a.total, a.errs[0])
			}
			if len(a.log) < 30 {
				t.Errorf("only %d of %d admitted", len(a.log), a.total)
			}
		})
	}
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
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
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
		if d := time.Since(from); d < redislimit.DefaultBudget || d > redislimit.DefaultBudget+slack {
			t.Errorf("decision %d took %v, want the budget", i, d)
		}
	}
	eventually(t, "the breaker opens", func() bool { return errors.Is(l.Trouble(), redislimit.ErrUnavailable) })
	from := time.Now()
	for i := range 1000 {
		spend(t, l, user(fmt.Sprint("x", i)))
	}
	if d := time.Since(from); d > 500*time.Millisecond {
		t.Errorf("1000 decisions with the breaker open took %v", d)
	}
	must(t, srv.Resume())
	eventually(t, "the breaker closes", func() bool { return l.Trouble() == nil })
	before := calls(t, srv)
	spend(t, l, user("back"))
	if n := calls(t, srv) - before; n != 1 {
		t.Errorf("%d calls after the breaker closed, want 1", n)
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
	c := authz.Charge{Name: "user", Key: "a", Rate: 0.1, Burst: 5, Cost: 1}
	for range 3 {
		spend(t, l, c)
	}
	srv.Kill()
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
			srv.Kill()
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
	srv.Kill()
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

// TestSlowRedis: answers that come too late are not waited for, and their
// charges are spent once, in Redis and here.
func TestSlowRedis(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	p := newProxy(t, srv.Addr)
	o := redislimit.Options{URL: "unix://" + p.addr, Failures: 1000}
	l := newLimiter(t, o)
	p.delay(60 * time.Millisecond)
	c := authz.Charge{Name: "user", Key: "a", Rate: 0.01, Burst: 20, Cost: 1}
	for i := range 5 {
		from := time.Now()
		if s := spend(t, l, c); !s.Allowed {
			t.Errorf("request %d: %+v", i, s)
		}
		if d := time.Since(from); d > redislimit.DefaultBudget+slack {
			t.Errorf("request %d took %v", i, d)
		}
	}
	p.delay(0)
	other := newLimiter(t, on(srv))
	peek := c
	peek.Cost = 0
	time.Sleep(100 * time.Millisecond) // what is under way arrives
	if s := spend(t, other, peek); s.Remaining < 15 {
		t.Errorf("%d left in Redis after 5 requests that timed out: charged twice", s.Remaining)
	}
	admitted := 5
	for range 30 {
		if spend(t, l, c).Allowed {
			admitted++
		}
	}
	if admitted != 20 {
		t.Errorf("this replica admitted %d, want the burst of 20", admitted)
	}
}

// proxy stands between a limiter and its Redis and can be slow.
type proxy struct {
	addr string
	mu   sync.Mutex
	d    time.Duration
}

func newProxy(t *testing.T, to string) *proxy {
	dir, err := os.MkdirTemp("", "rl")
	must(t, err)
	p := &proxy{addr: filepath.Join(dir, "p")}
	ln, err := net.Listen("unix", p.addr)
	must(t, err)
	t.Cleanup(func() { _ = ln.Close(); _ = os.RemoveAll(dir) })
	go func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("unix", to)
			if err != nil {
				_ = a.Close()
				continue
			}
			go p.pass(b, a)
			go p.pass(a, b)
		}
	}()
	return p
}

func (p *proxy) delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.d = d
}

func (p *proxy) pass(to, from net.Conn) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		d := p.d
		p.mu.Unlock()
		time.Sleep(d)
		if _, err := to.Write(buf[:n]); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
}

func TestCallersMayGiveUp(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l := newLimiter(t, on(srv))
	must(t, srv.Pause())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Spend(ctx, time.Time{}, []authz.Charge{user("a")}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	must(t, srv.Resume())
}

// TestCloseLeavesNothing: goroutines and memory are flat after limiters that
// saw faults have been closed.
func TestCloseLeavesNothing(t *testing.T) {
	srv := startRedis(t)
	round := func() {
		l, err := redislimit.New(on(srv))
		must(t, err)
		var wg sync.WaitGroup
		for g := range 32 {
			wg.Go(func() {
				for i := range 40 {
					_, err := l.Spend(context.Background(), time.Time{}, []authz.Charge{user(fmt.Sprint(g, i))})
					if err != nil && !errors.Is(err, redislimit.ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		must(t, srv.Pause())
		trip(t, l)
		wg.Go(func() { _, _ = l.Spend(context.Background(), time.Time{}, []authz.Charge{user("late")}) })
		must(t, l.Close())
		wg.Wait()
		must(t, srv.Resume())
		if _, err := l.Spend(t.Context(), time.Time{}, []authz.Charge{user("a")}); !errors.Is(err, redislimit.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	round()
	goroutines, heap := runtime.NumGoroutine(), heapNow()
	for range 5 {
		round()
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines+1 })
	if h := heapNow(); h > heap+4<<20 {
		t.Errorf("heap grew from %d to %d", heap, h)
	}
}

func heapNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		o    redislimit.Options
		want string
	}{
		"NoURL":        {redislimit.Options{}, "URL is missing"},
		"BadOnError":   {redislimit.Options{URL: "redis://h:1", OnError: "panic"}, "none of local, allow, deny"},
		"BadMode":      {redislimit.Options{URL: "redis://h:1", Mode: "ring"}, "none of single, sentinel, cluster"},
		"LongBudget":   {redislimit.Options{URL: "redis://h:1", Budget: time.Minute}, "not in 1ms..1s"},
		"BadReplicas":  {redislimit.Options{URL: "redis://h:1", Replicas: -1}, "replicas"},
		"NoMasterName": {redislimit.Options{URL: "redis://h:1", Mode: redislimit.Sentinel}, "master_name"},
		"BadScheme":    {redislimit.Options{URL: "http://h:1"}, "scheme"},
		"HidesSecrets": {redislimit.Options{URL: "redis://u:hun%ter2@h:1"}, "percent-encoded"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l, err := redislimit.New(c.o)
			if err == nil {
				_ = l.Close()
				t.Fatal("taken")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "ter2") {
				t.Errorf("%v, want it to say %q", err, c.want)
			}
		})
	}
}
