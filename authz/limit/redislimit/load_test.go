package redislimit_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit/redislimit"
	"github.com/neosc/gate/test/redistest"
)

func startRedis(t testing.TB, args ...string) *redistest.Server {
	t.Helper()
	s, err := redistest.Socket(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func client(t testing.TB, s *redistest.Server) *redis.Client {
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
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

func on(s *redistest.Server) redislimit.Options {
	return redislimit.Options{URL: "unix://" + s.Addr}
}

// patient waits for Redis so long that a busy machine causes no take-over: for
// tests of what holds while Redis answers.
func patient(s *redistest.Server) redislimit.Options {
	o := on(s)
	o.Budget = time.Second
	return o
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
	mu      sync.Mutex
	log     []admission
	longest time.Duration // the slowest decision
	total   int
	errs    []error
}

// jitter measures how long goroutines that are due have to wait on this
// machine, for tests of what time a decision may take.
type jitter struct {
	stop chan struct{}
	done chan time.Duration
}

func startJitter() jitter {
	j := jitter{make(chan struct{}), make(chan time.Duration)}
	go func() {
		const beat = 2 * time.Millisecond
		tick := time.NewTicker(beat)
		defer tick.Stop()
		worst, last := time.Duration(0), time.Now()
		for {
			select {
			case <-tick.C:
				now := time.Now()
				worst, last = max(worst, now.Sub(last)-beat), now
			case <-j.stop:
				j.done <- worst
				return
			}
		}
	}()
	return j
}

// slack ends the measurement and returns what may be added to a budget.
func (j jitter) slack() time.Duration {
	close(j.stop)
	return 40*time.Millisecond + 3*<-j.done
}

// withinBudget runs f, which returns how long its slowest decision took, until
// that is the budget and what this machine adds by itself: five times at most. On
// a busy machine a goroutine stands still now and then for longer than another
// one shows, but not in each run.
func withinBudget(t *testing.T, f func() time.Duration) {
	t.Helper()
	for try := 1; ; try++ {
		delays := startJitter()
		longest := f()
		slack := delays.slack()
		if longest <= redislimit.DefaultBudget+slack {
			return
		}
		t.Logf("a decision took %v, the budget is %v and this machine's delays %v", longest, redislimit.DefaultBudget, slack)
		if try == 5 {
			t.Fatal("a decision took too long in each of five runs")
		}
	}
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

// admitted is how many were.
func (a *admissions) admitted() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.log)
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

// exactly loads three limiters for a while and verifies that together they admit
// what the limit does, no more and no less.
func exactly(t *testing.T, o redislimit.Options, load time.Duration) {
	t.Helper()
	for try := range 5 {
		ls := []*redislimit.Limiter{newLimiter(t, o), newLimiter(t, o), newLimiter(t, o)}
		var a admissions
		stop, c := make(chan struct{}), user(fmt.Sprint("shared", try))
		wg := a.load(ls, c, 30*time.Millisecond, stop)
		time.Sleep(load) // the length of the measurement
		close(stop)
		wg.Wait()
		refused := a.empty(t, o, c)
		if a.longest >= o.Budget { // the machine stood still, and limiters judged by themselves
			t.Logf("a decision took %v", a.longest)
			continue
		}
		a.check(t, float64(c.Rate), float64(c.Burst), 0)
		a.checkExactly(t, refused, c)
		return
	}
	t.Fatal("redis never answered in time")
}

// empty takes what is left in c's bucket and returns when it was refused. Each
// request comes by a limiter of its own: one that had a slow answer refuses by
// itself a little longer than Redis does.
func (a *admissions) empty(t *testing.T, o redislimit.Options, c authz.Charge) (refused admission) {
	t.Helper()
	for {
		n, l := len(a.log), newLimiter(t, o)
		refused.from = time.Now()
		a.one(l, c)
		refused.to = time.Now()
		if len(a.log) == n {
			return refused
		}
	}
}

// checkExactly verifies that of c's bucket, which had no time to fill before it
// refused, every token that came was admitted, and none that did not.
func (a *admissions) checkExactly(t *testing.T, refused admission, c authz.Charge) {
	t.Helper()
	if len(a.log) == 0 || len(a.errs) > 0 {
		t.Fatalf("%d admitted, errors %v", len(a.log), a.errs)
	}
	first := a.log[0]
	for _, x := range a.log {
		if x.from.Before(first.from) {
			first.from = x.from
		}
		if x.to.Before(first.to) {
			first.to = x.to
		}
	}
	// When exactly Redis judged is known to some 100 µs, which leaves one number.
	least := c.Burst + int(c.Rate*refused.from.Sub(first.to).Seconds())
	most := c.Burst + int(c.Rate*refused.to.Sub(first.from).Seconds())
	if n := len(a.log); n < least || n > most {
		t.Errorf("%d admitted, want %d (at most %d)", n, least, most)
	}
}

// calls is how many script calls the server has seen.
func calls(t *testing.T, s *redistest.Server) int {
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
