package limit_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

var start = time.Date(2026, 3, 5, 10, 0, 0, 0, time.UTC)

func newLocal(t testing.TB, o limit.Options) *limit.Local {
	t.Helper()
	l, err := limit.NewLocal(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func spend(t testing.TB, l authz.Limiter, now time.Time, cs ...authz.Charge) authz.Spent {
	t.Helper()
	s, err := l.Spend(t.Context(), now, cs)
	if err != nil {
		t.Fatalf("Spend: %v", err)
	}
	return s
}

func user(key string) authz.Charge {
	return authz.Charge{Name: "user", Key: key, Rate: 10, Burst: 20, Cost: 1}
}

func TestSpendTellsWhatIsLeft(t *testing.T) {
	l := newLocal(t, limit.Options{})
	if s := spend(t, l, start); s != (authz.Spent{Allowed: true, Limiting: -1}) {
		t.Errorf("without charges: %+v", s)
	}
	for i := range 20 {
		want := authz.Spent{Allowed: true, Remaining: 19 - i, Reset: time.Duration(i+1) * 100 * time.Millisecond}
		if s := spend(t, l, start, user("a")); s != want {
			t.Fatalf("request %d: %+v, want %+v", i, s, want)
		}
	}
	want := authz.Spent{RetryAfter: 70 * time.Millisecond, Reset: 1970 * time.Millisecond}
	if s := spend(t, l, start.Add(30*time.Millisecond), user("a")); s != want {
		t.Errorf("request 21: %+v, want %+v", s, want)
	}
	if s := spend(t, l, start, user("b")); !s.Allowed {
		t.Errorf("another key shares the bucket: %+v", s)
	}
	other := user("a")
	other.Rate = 5
	if s := spend(t, l, start, other); !s.Allowed || s.Remaining != 19 {
		t.Errorf("another limit of the same name shares the bucket: %+v", s)
	}
}

func TestLimitingChargeIsNamed(t *testing.T) {
	l := newLocal(t, limit.Options{})
	a := authz.Charge{Name: "user", Key: "a", Rate: 10, Burst: 20, Cost: 1}
	b := authz.Charge{Name: "org", Key: "o", Rate: 1, Burst: 3, Cost: 1}
	c := authz.Charge{Name: "route", Key: "r", Rate: 0.1, Burst: 3, Cost: 2}
	if s := spend(t, l, start, a, b, c); !s.Allowed || s.Limiting != 2 || s.Remaining != 1 {
		t.Errorf("allowed: %+v, want route with 1 left", s)
	}
	if s := spend(t, l, start, a, b, c); s.Allowed || s.Limiting != 2 || s.Remaining != 1 || s.RetryAfter != 10*time.Second {
		t.Errorf("refused: %+v, want route with 1 left, again in 10s", s)
	}
	if s := spend(t, l, start, a, b); !s.Allowed || s.Limiting != 1 || s.Remaining != 1 {
		t.Errorf("the refused request was charged: %+v, want org with 1 left", s)
	}
}

func TestChargesOnOneBucketCountTogether(t *testing.T) {
	l := newLocal(t, limit.Options{})
	a := user("a")
	a.Cost = 12
	if _, err := l.Spend(t.Context(), start, []authz.Charge{a, a}); !errors.Is(err, limit.ErrInvalid) {
		t.Errorf("two charges beyond the burst: %v, want ErrInvalid", err)
	}
	a.Cost = 6
	if s := spend(t, l, start, a, user("b"), a); !s.Allowed || s.Limiting != 0 || s.Remaining != 8 {
		t.Errorf("%+v, want 8 left", s)
	}
	if s := spend(t, l, start, a, user("b"), a); s.Allowed || s.RetryAfter != 400*time.Millisecond {
		t.Errorf("%+v, want refused for 400ms", s)
	}
	if s := spend(t, l, start, user("b")); s.Remaining != 18 {
		t.Errorf("the other bucket has %d left, want 18", s.Remaining)
	}
}

func TestCostZeroOnlyLooks(t *testing.T) {
	l := newLocal(t, limit.Options{})
	peek := user("a")
	peek.Cost = 0
	if s := spend(t, l, start, peek); !s.Allowed || s.Remaining != 20 || s.Reset != 0 || l.Len() != 0 {
		t.Errorf("full bucket: %+v, %d buckets", s, l.Len())
	}
	all := user("a")
	all.Cost = 20
	spend(t, l, start, all)
	for range 3 {
		if s := spend(t, l, start, peek); !s.Allowed || s.Remaining != 0 || s.Reset != 2*time.Second {
			t.Errorf("empty bucket: %+v", s)
		}
	}
}

func TestInvalidChargesAreRefused(t *testing.T) {
	good := user("a")
	cases := map[string]func(*authz.Charge){
		"NaN":           func(c *authz.Charge) { c.Rate = math.NaN() },
		"Infinite":      func(c *authz.Charge) { c.Rate = math.Inf(1) },
		"ZeroRate":      func(c *authz.Charge) { c.Rate = 0 },
		"NegativeRate":  func(c *authz.Charge) { c.Rate = -1 },
		"TinyRate":      func(c *authz.Charge) { c.Rate = math.SmallestNonzeroFloat64 },
		"FillsTooLong":  func(c *authz.Charge) { c.Rate = 1e-6 },
		"HugeRate":      func(c *authz.Charge) { c.Rate = 1e6 + 1 },
		"ZeroBurst":     func(c *authz.Charge) { c.Burst = 0; c.Cost = 0 },
		"NegativeBurst": func(c *authz.Charge) { c.Burst = -3 },
		"HugeBurst":     func(c *authz.Charge) { c.Burst = 1e6 + 1 },
		"NegativeCost":  func(c *authz.Charge) { c.Cost = -1 },
		"CostOverBurst": func(c *authz.Charge) { c.Cost = 21 },
		"LongKey":       func(c *authz.Charge) { c.Key = strings.Repeat("k", 257) },
		"LongName":      func(c *authz.Charge) { c.Name = strings.Repeat("n", 257) },
		"NoName":        func(c *authz.Charge) { c.Name = "" },
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLocal(t, limit.Options{})
			bad := good
			spoil(&bad)
			s, err := l.Spend(t.Context(), start, []authz.Charge{good, bad})
			if !errors.Is(err, limit.ErrInvalid) || s.Allowed {
				t.Errorf("%+v, %v, want ErrInvalid", s, err)
			}
			if l.Len() != 0 {
				t.Error("something was charged")
			}
		})
	}
	many := make([]authz.Charge, limit.MaxCharges+1)
	for i := range many {
		many[i] = user(fmt.Sprint(i))
	}
	l := newLocal(t, limit.Options{})
	if _, err := l.Spend(t.Context(), start, many); !errors.Is(err, limit.ErrInvalid) {
		t.Errorf("%d charges: %v, want ErrInvalid", len(many), err)
	}
	if s := spend(t, l, start, many[1:]...); !s.Allowed {
		t.Errorf("%d charges: %+v", limit.MaxCharges, s)
	}
}

func TestErrorsDoNotTellKeys(t *testing.T) {
	c := user("alice@example.com")
	c.Burst = 0
	_, err := newLocal(t, limit.Options{}).Spend(t.Context(), start, []authz.Charge{c})
	if err == nil || strings.Contains(err.Error(), "alice") || !strings.Contains(err.Error(), `"user"`) {
		t.Errorf("%v, want the limit's name and not the key", err)
	}
}

func TestFullTableFailsSafe(t *testing.T) {
	l := newLocal(t, limit.Options{MaxKeys: 64})
	admitted, refused := 0, 0
	for i := range 1000 {
		s, err := l.Spend(t.Context(), start, []authz.Charge{user(fmt.Sprint(i))})
		switch {
		case errors.Is(err, limit.ErrFull) && !s.Allowed:
			refused++
		case err == nil && s.Allowed:
			admitted++
		default:
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if admitted > 64 || admitted < 32 || l.Len() != admitted {
		t.Errorf("%d of 1000 admitted, %d held, want at most 64", admitted, l.Len())
	}
	if s := spend(t, l, start, user("0")); !s.Allowed || s.Remaining != 18 {
		t.Errorf("a bucket that is there: %+v, want it to go on", s)
	}
	// Not before the first is full again, but then at once.
	if _, err := l.Spend(t.Context(), start.Add(100*time.Millisecond-1), []authz.Charge{user("x999")}); !errors.Is(err, limit.ErrFull) {
		t.Errorf("1 ns early: %v, want ErrFull", err)
	}
	if s := spend(t, l, start.Add(300*time.Millisecond), user("x999")); !s.Allowed {
		t.Errorf("after all are full: %+v", s)
	}
}

func TestFullTableChargesNothing(t *testing.T) {
	l := newLocal(t, limit.Options{MaxKeys: 64})
	for i := range 1000 {
		_, _ = l.Spend(t.Context(), start, []authz.Charge{user(fmt.Sprint(i))})
	}
	present := user("0")
	_, err := l.Spend(t.Context(), start, []authz.Charge{present, user("new"), user("newer")})
	if !errors.Is(err, limit.ErrFull) {
		t.Fatalf("%v, want ErrFull", err)
	}
	present.Cost = 0
	if s := spend(t, l, start, present); s.Remaining != 19 {
		t.Errorf("%d left, want 19", s.Remaining)
	}
}

func TestFullBucketsAreDropped(t *testing.T) {
	l := newLocal(t, limit.Options{MaxKeys: 1 << 16})
	now := start
	for i := range 100_000 { // 10,000 new keys a second that live for 100 ms
		now = now.Add(100 * time.Microsecond)
		spend(t, l, now, user(fmt.Sprint(i)))
	}
	if n := l.Len(); n > 4000 {
		t.Errorf("%d buckets held, some 1000 are live", n)
	}
}

func TestSweepDoesNotLoseTheRequestsOwnBuckets(t *testing.T) {
	// One shard is full of buckets that can be dropped, among them one that the
	// request charges together with new ones.
	for round := range 200 {
		l := newLocal(t, limit.Options{MaxKeys: 64 * 3})
		for i := range 400 {
			_, _ = l.Spend(t.Context(), start, []authz.Charge{user(fmt.Sprint(i))})
		}
		later := start.Add(time.Second)
		cs := []authz.Charge{user(fmt.Sprint(round))}
		for i := range 8 {
			cs = append(cs, user(fmt.Sprint("new", round, i)))
		}
		if _, err := l.Spend(t.Context(), later, cs); err != nil {
			continue // nine on one shard of three
		}
		for _, c := range cs {
			c.Cost = 0
			if s := spend(t, l, later, c); s.Remaining != 19 {
				t.Fatalf("round %d: bucket %s has %d left, want 19", round, c.Key, s.Remaining)
			}
		}
	}
}

func TestClockGoingBackAdmitsNoMore(t *testing.T) {
	l := newLocal(t, limit.Options{})
	all := user("a")
	all.Cost = 20
	spend(t, l, start, all)
	for _, back := range []time.Duration{time.Nanosecond, time.Minute, 24 * time.Hour} {
		if s := spend(t, l, start.Add(-back), user("a")); s.Allowed || s.RetryAfter != 100*time.Millisecond+back {
			t.Errorf("%v back: %+v", back, s)
		}
	}
	// The bucket is full again and dropped, then the clock is set back: the hour
	// that has passed counts once.
	later := start.Add(time.Hour)
	for i := range 2000 {
		spend(t, l, later.Add(time.Duration(i)*time.Second), user(fmt.Sprint(i)))
	}
	if n := l.Len(); n > 200 {
		t.Fatalf("%d buckets held, want the idle ones dropped", n)
	}
	for i, want := range []bool{true, false, false} {
		if s := spend(t, l, start.Add(time.Duration(i)*time.Second), all); s.Allowed != want {
			t.Errorf("burst %d after the clock was set back: allowed %v, want %v", i, s.Allowed, want)
		}
	}
}

func TestAbsurdClocksDoNotOverflow(t *testing.T) {
	for _, now := range []time.Time{{}, time.Unix(1<<40, 0), time.Unix(-1<<40, 0)} {
		l := newLocal(t, limit.Options{})
		c := authz.Charge{Name: "n", Rate: 1e6 / (89 * 86400), Burst: 1e6, Cost: 1e6}
		if s := spend(t, l, now, c); !s.Allowed || s.Reset <= 0 {
			t.Errorf("%v: %+v", now, s)
		}
		if s := spend(t, l, now, c); s.Allowed || s.RetryAfter <= 0 {
			t.Errorf("%v: %+v", now, s)
		}
	}
}

func TestManyAtOnceAdmitExactlyTheBurst(t *testing.T) {
	l := newLocal(t, limit.Options{})
	var admitted [4]atomic.Int64
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 500 {
				// Pairs in both orders: locks that were not taken in one order
				// would hang here.
				a, b := (g+i)%4, (g+3*i+1)%4
				s, err := l.Spend(context.Background(), start, []authz.Charge{user(fmt.Sprint(a)), user(fmt.Sprint(b))})
				if err != nil {
					t.Error(err)
					return
				}
				if s.Allowed {
					admitted[a].Add(1)
					admitted[b].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range admitted {
		c := user(fmt.Sprint(i))
		c.Cost = 0
		s := spend(t, l, start, c)
		if n := admitted[i].Load(); n+int64(s.Remaining) != 20 {
			t.Errorf("bucket %d: %d admitted and %d left, want 20 together", i, n, s.Remaining)
		}
	}
}

func TestSpendDoesNotAllocate(t *testing.T) {
	l := newLocal(t, limit.Options{Registerer: prometheus.NewRegistry()})
	cs := []authz.Charge{user("a"), {Name: "org", Key: "o", Rate: 1000, Burst: 5000, Cost: 1}}
	now := start
	n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		_, _ = l.Spend(context.Background(), now, cs)
	})
	if n != 0 {
		t.Errorf("%v allocations per Spend, want 0", n)
	}
}

func BenchmarkSpend(b *testing.B) {
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("Charges%d", n), func(b *testing.B) {
			l := newLocal(b, limit.Options{})
			users := make([][]authz.Charge, 1000)
			for i := range users {
				for j := range n {
					users[i] = append(users[i], authz.Charge{Name: fmt.Sprint("limit", j), Key: fmt.Sprint("user-", i), Rate: 10, Burst: 20, Cost: 1})
				}
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					_, _ = l.Spend(context.Background(), time.Now(), users[i%len(users)])
				}
			})
		})
	}
}
