package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit/redislimit"
)

// TestSlowRedis: answers that come too late are not waited for, and their
// charges are spent once, in Redis and here.
func TestSlowRedis(t *testing.T) {
	t.Parallel()
	withinBudget(t, func() time.Duration { return slowly(t) })
}

func slowly(t *testing.T) (longest time.Duration) {
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
		longest = max(longest, time.Since(from))
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
	return longest
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
	must(t, srv.Continue())
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
		must(t, srv.Continue())
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
