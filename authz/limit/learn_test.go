package limit_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

// store stands for the shared limiter's store: GCRA with one state, in its own
// time, which is the test's.
type store struct {
	limit limit.Limit
	tat   int64
}

func (s *store) take(at time.Time, cost int) (ok bool, debt time.Duration) {
	now := int64(at.Sub(start))
	next, retry := s.limit.Take(now, s.tat, int64(cost))
	s.tat = next
	return retry == 0, time.Duration(max(0, next-now))
}

// exchange is one question to the store and its answer.
type exchange struct{ sent, judged, received time.Time }

func drawExchange(t *rapid.T, now time.Time, most time.Duration) exchange {
	there := time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, "there"))
	back := time.Duration(rapid.Int64Range(0, int64(most-there)).Draw(t, "back"))
	return exchange{now, now.Add(there), now.Add(there + back)}
}

// TestMemoryRefusesOnlyWhatTheStoreWould: several replicas share a store; what
// one of them remembers never refuses a request that the store would admit, and finds room for all that it does admit.
func TestMemoryRefusesOnlyWhatTheStoreWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCharge(t, "user")
		l, err := limit.NewLimit(c.Rate, c.Burst)
		if err != nil {
			t.Fatal(err)
		}
		shared := &store{limit: l}
		replicas := []*limit.Local{newMemory(t), newMemory(t)}
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 3*int64(l.Interval())).Draw(t, "gap")))
			r := replicas[rapid.IntRange(0, 1).Draw(t, "replica")]
			c.Cost = rapid.IntRange(0, min(3, c.Burst)).Draw(t, "cost")
			x := drawExchange(t, now, l.Interval())
			known, err := r.Known(now, []authz.Charge{c})
			if err != nil {
				t.Fatal(err)
			}
			if !known.Allowed {
				try := *shared
				if ok, _ := try.take(now, c.Cost); ok {
					t.Fatalf("the memory refuses what the store admits")
				}
				continue
			}
			ok, debt := shared.take(x.judged, c.Cost)
			taken := 0
			if ok {
				taken = c.Cost
			}
			fits := r.Learn(&c, taken, debt, x.received.Sub(x.sent), x.sent)
			if fits != taken {
				t.Fatalf("%d of %d tokens fit although the store has lost nothing", fits, taken)
			}
			now = x.received
		}
	})
}

// TestMemoryPromisesHold: with one replica, what the memory promises is kept.
func TestMemoryPromisesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCharge(t, "user")
		c.Cost = 1
		l, err := limit.NewLimit(c.Rate, c.Burst)
		if err != nil {
			t.Fatal(err)
		}
		shared, memory := &store{limit: l}, newMemory(t)
		now := start
		for range rapid.IntRange(1, 80).Draw(t, "requests") {
			known, err := memory.Known(now, []authz.Charge{c})
			if err != nil {
				t.Fatal(err)
			}
			if !known.Allowed {
				if ok, _ := shared.take(now.Add(known.RetryAfter), 1); !ok {
					t.Fatalf("refused after the %v that were promised", known.RetryAfter)
				}
				return
			}
			x := drawExchange(t, now, l.Interval()/4)
			ok, debt := shared.take(x.judged, 1)
			taken := 0
			if ok {
				taken = 1
			}
			memory.Learn(&c, taken, debt, x.received.Sub(x.sent), x.sent)
			now = x.received
		}
	})
}

// TestMemoryHoldsWhatTheStoreLost: a store that forgets, and that is out of
// reach now and then, does not make a replica exceed its bound.
func TestMemoryHoldsWhatTheStoreLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCharge(t, "user")
		c.Cost = 1
		l, err := limit.NewLimit(c.Rate, c.Burst)
		if err != nil {
			t.Fatal(err)
		}
		shared, memory := &store{limit: l}, newMemory(t)
		slowest := l.Interval()
		var log []time.Time
		now := start
		for range rapid.IntRange(1, 100).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(l.Interval())).Draw(t, "gap")))
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				shared.tat = 0
			case 1:
				if s, err := memory.TakeOver(now, []authz.Charge{c}, 1); err == nil && s.Allowed {
					log = append(log, now)
				}
			default:
				if known, err := memory.Known(now, []authz.Charge{c}); err != nil || !known.Allowed {
					continue
				}
				x := drawExchange(t, now, slowest)
				ok, debt := shared.take(x.judged, 1)
				if ok && memory.Learn(&c, 1, debt, x.received.Sub(x.sent), x.sent) == 1 {
					log = append(log, x.received)
				}
				now = x.received
			}
		}
		for i := range log {
			for j := i; j < len(log); j++ {
				// burst + what comes back in the window and one answer's time.
				span := log[j].Sub(log[i]) + slowest
				if most := int64(c.Burst) + int64(span/l.Interval()) + 1; int64(j-i+1) > most {
					t.Fatalf("%d admitted within %v, bound %d", j-i+1, log[j].Sub(log[i]), most)
				}
			}
		}
	})
}

func newMemory(t *rapid.T) *limit.Local {
	l, err := limit.NewLocal(limit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLearnIsBounded(t *testing.T) {
	l := newLocal(t, limit.Options{MaxKeys: 64})
	c := user("a")
	for i := range 5000 {
		c.Key = string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		if fits := l.Learn(&c, 1, time.Second, time.Millisecond, start); fits != 1 {
			t.Fatalf("%d fit, want 1: what cannot be remembered is not refused", fits)
		}
	}
	if l.Len() > 64 {
		t.Errorf("%d buckets remembered, want at most 64", l.Len())
	}
	c.Rate = -1
	l.GiveBack(&c, time.Second)
	if fits := l.Learn(&c, 1, time.Second, 0, start); fits != 1 {
		t.Errorf("invalid charge: %d fit", fits)
	}
}

func TestGiveBackMakesRoom(t *testing.T) {
	l := newLocal(t, limit.Options{})
	c := user("a")
	c.Burst, c.Cost = 2, 2
	l.Learn(&c, 2, 200*time.Millisecond, 0, start)
	if s, _ := l.Known(start, []authz.Charge{c}); s.Allowed {
		t.Error("an empty bucket is not remembered")
	}
	l.GiveBack(&c, 200*time.Millisecond)
	l.GiveBack(&c, -time.Hour)
	if s, _ := l.Known(start, []authz.Charge{c}); !s.Allowed {
		t.Errorf("what was given back is missing: %+v", s)
	}
}
