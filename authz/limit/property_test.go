package limit_test

import (
	"context"
	"fmt"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

// reference is a token bucket in exact fractions: as plain as can be.
type reference struct {
	level, burst *big.Rat
	interval     int64
	at           time.Time
}

func newReference(t *rapid.T, c authz.Charge, at time.Time) *reference {
	l, err := limit.NewLimit(c.Rate, c.Burst)
	if err != nil {
		t.Fatal(err)
	}
	burst := new(big.Rat).SetInt64(int64(c.Burst))
	return &reference{level: new(big.Rat).Set(burst), burst: burst, interval: int64(l.Interval()), at: at}
}

func (r *reference) fill(now time.Time) {
	r.level.Add(r.level, big.NewRat(int64(now.Sub(r.at)), r.interval))
	if r.level.Cmp(r.burst) > 0 {
		r.level.Set(r.burst)
	}
	r.at = now
}

// wait is how long until n tokens are there, rounded up to a nanosecond.
func (r *reference) wait(n int64) time.Duration {
	short := new(big.Rat).Sub(new(big.Rat).SetInt64(n), r.level)
	if short.Sign() <= 0 {
		return 0
	}
	short.Mul(short, new(big.Rat).SetInt64(r.interval))
	q, rem := new(big.Int).QuoRem(short.Num(), short.Denom(), new(big.Int))
	if rem.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return time.Duration(q.Int64())
}

func drawCharge(t *rapid.T, name string) authz.Charge {
	rate := rapid.OneOf(rapid.Float64Range(0.001, 1e6), rapid.Float64Range(0.1, 20),
		rapid.SampledFrom([]float64{1, 3, 10, 1.0 / 3, 7.5, 999_999, 1e6})).Draw(t, "rate")
	return authz.Charge{Name: name, Key: "k", Rate: rate, Burst: rapid.IntRange(1, 40).Draw(t, "burst")}
}

// TestAgainstReference drives arbitrary schedules of requests with several
// charges, and compares each answer with the reference.
func TestAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, err := limit.NewLocal(limit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		limits := make([]authz.Charge, rapid.IntRange(1, 3).Draw(t, "limits"))
		refs := make([]*reference, len(limits))
		now := start
		for i := range limits {
			limits[i] = drawCharge(t, fmt.Sprint("limit", i))
			refs[i] = newReference(t, limits[i], now)
		}
		var retry time.Duration
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(drawGap(t, retry, refs))
			cs, total := drawRequest(t, limits)
			want, wait := true, time.Duration(0)
			for i, r := range refs {
				r.fill(now)
				wait = max(wait, r.wait(total[i]))
			}
			want = wait == 0
			s, err := l.Spend(context.Background(), now, cs)
			if err != nil {
				t.Fatalf("%+v: %v", cs, err)
			}
			if s.Allowed != want || s.RetryAfter != wait {
				t.Fatalf("%+v at %v: allowed %v, again in %v; the reference says %v, %v", cs, now, s.Allowed, s.RetryAfter, want, wait)
			}
			if want {
				for i, r := range refs {
					r.level.Sub(r.level, new(big.Rat).SetInt64(total[i]))
				}
			}
			checkLeft(t, s, cs, limits, refs)
			retry = s.RetryAfter
		}
	})
}

// drawGap favours the instants at which something changes: when the last
// refusal ends, and a nanosecond before.
func drawGap(t *rapid.T, retry time.Duration, refs []*reference) time.Duration {
	if retry > 0 && rapid.Bool().Draw(t, "retry") {
		return retry - time.Duration(rapid.IntRange(0, 1).Draw(t, "early"))
	}
	interval := refs[0].interval
	return time.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, interval), rapid.Int64Range(0, 50*interval)).Draw(t, "gap"))
}

// drawRequest draws charges, some on the same bucket, and their sum by limit.
func drawRequest(t *rapid.T, limits []authz.Charge) ([]authz.Charge, []int64) {
	var cs []authz.Charge
	total := make([]int64, len(limits))
	for range rapid.IntRange(1, 4).Draw(t, "charges") {
		i := rapid.IntRange(0, len(limits)-1).Draw(t, "limit")
		c := limits[i]
		c.Cost = rapid.IntRange(0, min(3, c.Burst-int(total[i]))).Draw(t, "cost")
		total[i] += int64(c.Cost)
		cs = append(cs, c)
	}
	return cs, total
}

func checkLeft(t *rapid.T, s authz.Spent, cs, limits []authz.Charge, refs []*reference) {
	for i := range limits {
		if limits[i].Name != cs[s.Limiting].Name {
			continue
		}
		level := refs[i].level
		if whole := new(big.Int).Quo(level.Num(), level.Denom()).Int64(); whole != int64(s.Remaining) {
			t.Fatalf("%d tokens left, the reference says %d", s.Remaining, whole)
		}
		if reset := refs[i].wait(int64(limits[i].Burst)); reset != s.Reset {
			t.Fatalf("full again in %v, the reference says %v", s.Reset, reset)
		}
	}
}

// TestNoWindowAdmitsMore looks at every pair of admissions, with clocks that
// also go backwards.
func TestNoWindowAdmitsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, err := limit.NewLocal(limit.Options{MaxKeys: 64})
		if err != nil {
			t.Fatal(err)
		}
		c := drawCharge(t, "user")
		c.Cost = 1
		interval := int64(1e9 / c.Rate)
		type admission struct {
			at   time.Time
			cost int
		}
		var log []admission
		now := start
		for range rapid.IntRange(1, 120).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(-interval, 2*interval).Draw(t, "gap")))
			c.Cost = rapid.IntRange(0, min(3, c.Burst)).Draw(t, "cost")
			// Others come and go, so that buckets are dropped.
			o := c
			o.Key = rapid.StringN(1, 2, 2).Draw(t, "other")
			_, _ = l.Spend(context.Background(), now, []authz.Charge{o})
			if s, err := l.Spend(context.Background(), now, []authz.Charge{c}); err == nil && s.Allowed && o.Key != c.Key {
				log = append(log, admission{now, c.Cost})
			}
		}
		rate := new(big.Rat).SetFloat64(c.Rate)
		for i := range log {
			for j := range log {
				from, to := log[i].at, log[j].at
				if to.Before(from) {
					continue
				}
				sum := 0
				for _, a := range log {
					if !a.at.Before(from) && !a.at.After(to) {
						sum += a.cost
					}
				}
				bound := new(big.Rat).Mul(rate, big.NewRat(int64(to.Sub(from)), 1e9))
				bound.Add(bound, new(big.Rat).SetInt64(int64(c.Burst)))
				if new(big.Rat).SetInt64(int64(sum)).Cmp(bound) > 0 {
					t.Fatalf("%d admitted within %v, bound %s", sum, to.Sub(from), bound.FloatString(9))
				}
			}
		}
	})
}

// TestRateIsNeverExceeded: the rounded interval gives at most the rate that
// was asked for, and at least 99.9% of it.
func TestRateIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(1e-6, 1e6).Draw(t, "rate")
		l, err := limit.NewLimit(rate, 1)
		if err != nil {
			t.Fatal(err)
		}
		per := new(big.Rat).Mul(new(big.Rat).SetFloat64(rate), big.NewRat(int64(l.Interval()), 1e9))
		if per.Cmp(big.NewRat(1, 1)) < 0 || per.Cmp(big.NewRat(1001, 1000)) > 0 {
			t.Fatalf("rate %v: %s tokens asked for per interval, want 1 to 1.001", rate, per.FloatString(12))
		}
	})
}
