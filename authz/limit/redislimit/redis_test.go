package redislimit_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit/redislimit"
	"github.com/neosc/gate/authz/limit/redislimit/internal/redisserver"
)

func startRedis(t testing.TB, args ...string) *redisserver.Server {
	t.Helper()
	s, err := redisserver.Socket(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func client(t testing.TB, s *redisserver.Server) *redis.Client {
	t.Helper()
	network := "tcp"
	if s.Port == 0 {
		network = "unix"
	}
	c := redis.NewClient(&redis.Options{Network: network, Addr: s.Addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newLimiter(t testing.TB, o redislimit.Options) *redislimit.Limiter {
	t.Helper()
	l, err := redislimit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := l.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

func on(s *redisserver.Server) redislimit.Options {
	return redislimit.Options{URL: "unix://" + s.Addr}
}

func user(key string) authz.Charge {
	return authz.Charge{Name: "user", Key: key, Rate: 10, Burst: 20, Cost: 1}
}

func spend(t testing.TB, l authz.Limiter, cs ...authz.Charge) authz.Spent {
	t.Helper()
	s, err := l.Spend(t.Context(), time.Time{}, cs)
	if err != nil {
		t.Fatalf("Spend: %v", err)
	}
	return s
}

// admissions is what a test admitted, for the checker.
type admissions struct {
	mu  sync.Mutex
	log []admission
	// longest is how long the slowest decision took, over how many were slower
	// than slow.
	longest time.Duration
	total   int
	errs    []error
}

// admission happened between from and to.
type admission struct {
	from, to time.Time
	cost     int
}

// load asks for c every gap on each of the limiters until stop is closed.
func (a *admissions) load(ls []*redislimit.Limiter, c authz.Charge, gap time.Duration, stop <-chan struct{}) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, l := range ls {
		wg.Go(func() {
			tick := time.NewTicker(gap)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				a.one(l, c)
			}
		})
	}
	return &wg
}

func (a *admissions) one(l *redislimit.Limiter, c authz.Charge) {
	from := time.Now()
	s, err := l.Spend(context.Background(), from, []authz.Charge{c})
	to := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total++
	a.longest = max(a.longest, to.Sub(from))
	if err != nil {
		a.errs = append(a.errs, err)
	} else if s.Allowed {
		a.log = append(a.log, admission{from, to, c.Cost})
	}
}

// check verifies burst + rate·t + extra for every window, knowing of each
// admission only between which instants it happened: those that surely lie
// within a window must fit into its length.
func (a *admissions) check(t *testing.T, rate, burst, extra float64) {
	t.Helper()
	worst := math.Inf(-1)
	for _, first := range a.log {
		for _, last := range a.log {
			if last.to.Before(first.from) {
				continue
			}
			sum := 0
			for _, x := range a.log {
				if !x.from.Before(first.from) && !x.to.After(last.to) {
					sum += x.cost
				}
			}
			worst = max(worst, float64(sum)-(burst+rate*last.to.Sub(first.from).Seconds()+extra))
		}
	}
	if worst > 1e-6 {
		t.Errorf("a window admitted %.3f tokens above the bound of %v + %v/s + %v", worst, burst, rate, extra)
	}
}

func TestAnswersMatchTheLimit(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, on(startRedis(t)))
	slow := authz.Charge{Name: "user", Key: "a:b", Rate: 0.1, Burst: 20, Cost: 1} // 10 s a token
	for i := range 20 {
		s := spend(t, l, slow)
		if !s.Allowed || s.Remaining != 19-i || s.Limiting != 0 || s.RetryAfter != 0 {
			t.Fatalf("request %d: %+v", i, s)
		}
		if full := time.Duration(i+1) * 10 * time.Second; s.Reset > full || s.Reset < full-5*time.Second {
			t.Fatalf("request %d: full again in %v, want about %v", i, s.Reset, full)
		}
	}
	if s := spend(t, l, slow); s.Allowed || s.RetryAfter > 11*time.Second || s.RetryAfter < 5*time.Second {
		t.Errorf("request 21: %+v", s)
	}
	for _, other := range []authz.Charge{
		{Name: "user:a", Key: "b", Rate: 0.1, Burst: 20, Cost: 1},
		{Name: "user", Key: "a:b", Rate: 0.1, Burst: 19, Cost: 1},
		{Name: "user", Key: "a:b", Rate: 0.2, Burst: 20, Cost: 1},
		{Name: "use", Key: "r:a:b", Rate: 0.1, Burst: 20, Cost: 1},
	} {
		if s := spend(t, l, other); !s.Allowed || s.Remaining != other.Burst-1 {
			t.Errorf("%+v shares the bucket: %+v", other, s)
		}
	}
}

func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l, fresh := newLimiter(t, on(srv)), newLimiter(t, on(srv))
	a := authz.Charge{Name: "user", Key: "a", Rate: 0.01, Burst: 20, Cost: 1}
	o := authz.Charge{Name: "org", Key: "o", Rate: 0.01, Burst: 3, Cost: 1}
	for i := range 5 {
		s := spend(t, l, a, o)
		if s.Allowed != (i < 3) || s.Limiting != 1 {
			t.Fatalf("request %d: %+v", i, s)
		}
	}
	// A limiter without memory asks Redis.
	if s := spend(t, fresh, a, o); s.Allowed || s.Limiting != 1 || s.RetryAfter < 90*time.Second || s.RetryAfter > 100*time.Second {
		t.Errorf("%+v, want the organization to refuse for 100s", s)
	}
	if s := spend(t, fresh, a); !s.Allowed || s.Remaining != 16 {
		t.Errorf("%+v, want 16 left: refused requests charged nothing", s)
	}
	double := a
	double.Cost = 9
	if s := spend(t, fresh, double, double); s.Allowed || s.RetryAfter < 190*time.Second {
		t.Errorf("two charges on one bucket: %+v, want refused for 200s", s)
	}
	peek := a
	peek.Cost = 0
	if s := spend(t, fresh, peek); !s.Allowed || s.Remaining != 16 {
		t.Errorf("a look: %+v, want 16 left", s)
	}
}

// TestThreeLimitersShareOneRate: 100 requests a second over three limiters get
// 20 + 10 a second, not one more or less.
func TestThreeLimitersShareOneRate(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	ls := []*redislimit.Limiter{newLimiter(t, on(srv)), newLimiter(t, on(srv)), newLimiter(t, on(srv))}
	var a admissions
	stop := make(chan struct{})
	wg := a.load(ls, user("a"), 30*time.Millisecond, stop)
	time.Sleep(3 * time.Second) // the length of the measurement
	close(stop)
	wg.Wait()
	a.check(t, 10, 20, 0)
	if len(a.log) == 0 || len(a.errs) > 0 {
		t.Fatalf("%d admitted, errors %v", len(a.log), a.errs)
	}
	// The last token may have come after the last request.
	first, last := a.log[0].to, a.log[0].to
	for _, x := range a.log {
		first, last = minTime(first, x.from), maxTime(last, x.to)
	}
	span := last.Sub(first).Seconds()
	if want := 20 + int(10*span); len(a.log) < want-1 || len(a.log) > want {
		t.Errorf("%d admitted within %.3fs, want %d", len(a.log), span, want)
	}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func TestManyCallersShareCalls(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l := newLimiter(t, on(srv))
	c := authz.Charge{Name: "user", Key: "hot", Rate: 0.001, Burst: 500, Cost: 1}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	before := calls(t, srv)
	for g := range 64 {
		wg.Go(func() {
			for i := range 50 {
				cs := []authz.Charge{c}
				if (g+i)%3 == 0 {
					cs = append(cs, user(fmt.Sprint(g, i)))
				}
				s, err := l.Spend(context.Background(), time.Time{}, cs)
				if err != nil {
					t.Error(err)
				}
				if s.Allowed {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := admitted.Load(); n != 500 {
		t.Errorf("%d of 3200 admitted, want the burst of 500", n)
	}
	if n := calls(t, srv) - before; n > 400 {
		t.Errorf("%d calls for 3200 requests; at 64 callers they should share", n)
	}
}

// calls is how many script calls the server has seen.
func calls(t *testing.T, s *redisserver.Server) int {
	t.Helper()
	info, err := client(t, s).InfoMap(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range []string{"cmdstat_evalsha", "cmdstat_eval"} {
		var c int
		_, _ = fmt.Sscanf(info["Commandstats"][name], "calls=%d", &c)
		n += c
	}
	return n
}

func TestDenialsAreRemembered(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l := newLimiter(t, on(srv))
	c := authz.Charge{Name: "user", Key: "a", Rate: 5, Burst: 2, Cost: 1}
	spend(t, l, c)
	spend(t, l, c)
	before := calls(t, srv)
	s := spend(t, l, c)
	for range 100 {
		if s := spend(t, l, c); s.Allowed {
			t.Fatal("admitted")
		}
	}
	if n := calls(t, srv) - before; n != 0 {
		t.Errorf("%d calls for what was known, want none", n)
	}
	// What was promised holds, although it was not Redis that promised it.
	time.Sleep(s.RetryAfter)
	if s := spend(t, l, c); !s.Allowed {
		t.Errorf("after waiting as told: %+v", s)
	}
}

func TestKeysExpireAndCarryTags(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	l := newLimiter(t, on(srv))
	spend(t, l, user("alice"))
	c := client(t, srv)
	keys, err := c.Keys(t.Context(), "gate:limit:*user*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	var tag int
	if _, err := fmt.Sscanf(keys[0], "gate:limit:{%02d}100000000:20:4:user:alice", &tag); err != nil {
		t.Errorf("key %q: %v", keys[0], err)
	}
	if ttl := c.PTTL(t.Context(), keys[0]).Val(); ttl > 100*time.Millisecond {
		t.Errorf("expires in %v, its bucket is full in 100ms", ttl)
	}
}

func TestForeignValuesCountAsEmptyBuckets(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	c := client(t, srv)
	l := newLimiter(t, on(srv))
	one := authz.Charge{Name: "n", Key: "k", Rate: 0.1, Burst: 2, Cost: 1}
	spend(t, l, one)
	keys, _ := c.Keys(t.Context(), "gate:limit:*:n:k").Result()
	if len(keys) != 1 {
		t.Fatal(keys)
	}
	for name, v := range map[string]string{"Text": "not eight", "FarFuture": "\xff\xff\xff\xff\x00\x00\x00\x00"} {
		if err := c.Set(t.Context(), keys[0], v, 0).Err(); err != nil {
			t.Fatal(err)
		}
		fresh := newLimiter(t, on(srv))
		if s := spend(t, fresh, one); s.Allowed || s.RetryAfter > 10*time.Second {
			t.Errorf("%s: %+v, want refused for at most one token's time", name, s)
		}
		if ttl := c.PTTL(t.Context(), keys[0]).Val(); ttl <= 0 || ttl > 20*time.Second {
			t.Errorf("%s: expires in %v, want within the 20s of an empty bucket", name, ttl)
		}
	}
}
