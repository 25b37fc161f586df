package limit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
)

// ErrFull says that a limiter holds as many live buckets as it may.
var ErrFull = errors.New("the rate limiter is full")

// DefaultMaxKeys is how many live buckets a Local holds unless told: some 80 MB
// with names and keys of 40 bytes together. At 10/s and a burst of 20 a bucket
// lives for 2 s at most, so it takes 130,000 new keys a second to fill it.
const DefaultMaxKeys = 1 << 18

// shards is how many locks a Local has; a power of two.
const shards = 64

// Options are what a Local may be told.
type Options struct {
	// MaxKeys bounds the live buckets (those not full again), hence the memory;
	// 0 means DefaultMaxKeys. It is split over 64 shards by hash; each holds
	// at least one.
	MaxKeys int
	// Registerer, if not nil, gets the metrics, under the label limiter=Name
	// ("local" if empty).
	Registerer prometheus.Registerer
	Name       string
	// MetricPrefix begins the metrics' names; "" means "pomerium_".
	MetricPrefix string
}

// Local limits within one process. It implements authz.Limiter.
//
// The clock is the caller's now. If those times carry Go's monotonic reading,
// as time.Now's do, steps of the wall clock do not matter; if they do not and
// the clock is set back, the limiter stands still until it has caught up and
// admits nothing beyond what was left.
//
// Memory is bounded. A bucket that is full again is dropped; when there is no
// room for another live one, requests that would need it are refused with
// ErrFull and charge nothing: forgetting a live bucket instead would let a
// flood of made-up keys wash a real limit away. Buckets that are there go on
// working. Budgets that strangers can fill (per address, for guesses) should
// therefore have a Local of their own.
//
// It has no goroutine and needs no closing.
type Local struct {
	base    time.Time
	seed    maphash.Seed
	tables  [shards]table
	metrics *metrics
}

// NewLocal returns an empty limiter. An error comes from the registerer or from
// a negative MaxKeys.
func NewLocal(o Options) (*Local, error) {
	if o.MaxKeys < 0 {
		return nil, fmt.Errorf("limit: MaxKeys is %d, want 0 for the default or more", o.MaxKeys)
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	l := &Local{base: time.Now(), seed: maphash.MakeSeed()}
	for i := range l.tables {
		l.tables[i].index = make(map[bucketID]int32)
		l.tables[i].max = (o.MaxKeys + shards - 1) / shards
		l.tables[i].clock, l.tables[i].fullUntil = minClock, minClock
	}
	m, err := newMetrics(o, l.Len)
	if err != nil {
		return nil, err
	}
	l.metrics = m
	return l, nil
}

// Len is how many buckets are held, live ones and those not yet dropped.
func (l *Local) Len() int {
	n := 0
	for i := range l.tables {
		t := &l.tables[i]
		t.mu.Lock()
		n += len(t.index)
		t.mu.Unlock()
	}
	return n
}

// Spend implements authz.Limiter. Errors wrap ErrInvalid or ErrFull; nothing is
// charged then. ctx is not looked at: Spend does not block.
func (l *Local) Spend(_ context.Context, now time.Time, charges []authz.Charge) (authz.Spent, error) {
	var p plan
	s, err := l.spend(&p, l.instant(now), charges)
	l.metrics.count(s, err)
	return s, err
}

func (l *Local) spend(p *plan, now int64, charges []authz.Charge) (authz.Spent, error) {
	if len(charges) == 0 {
		return authz.Spent{Allowed: true, Limiting: -1}, nil
	}
	if err := p.read(charges); err != nil {
		return authz.Spent{}, err
	}
	var ls locks
	l.lock(p, charges, &ls)
	defer l.unlock(&ls)
	clock := l.look(p, now, charges, &ls)
	s := p.judge(now, clock)
	if !s.Allowed {
		return s, nil
	}
	if !l.room(p, charges, &ls) {
		return authz.Spent{}, ErrFull
	}
	l.take(p, clock, charges)
	return s, nil
}

// take writes the plan's charges down.
func (l *Local) take(p *plan, clock int64, charges []authz.Charge) {
	// Those that are there come first: put drops full buckets as it goes, and
	// might otherwise drop one of ours and take its slot.
	for _, present := range [2]bool{true, false} {
		for i := range p.n {
			st := &p.steps[i]
			if st.lead != i || st.cost == 0 || (st.slot >= 0) != present {
				continue
			}
			t := &l.tables[st.shard]
			next, _ := st.limit.Take(clock, st.tat, st.cost)
			if present {
				t.slots[st.slot].tat = next
			} else {
				t.put(bucketID{strings.Clone(charges[i].Name), strings.Clone(charges[i].Key), st.limit}, next)
			}
		}
	}
}

// locks are the shards that a request holds, ascending and each once: two
// requests that take several can then not wait for each other.
type locks struct {
	n  int
	at [MaxCharges]uint32
}

func (l *Local) lock(p *plan, charges []authz.Charge, ls *locks) {
	for i := range p.n {
		st := &p.steps[i]
		if st.lead != i {
			continue
		}
		st.shard = l.shard(&charges[i])
		ls.add(st.shard)
	}
	for _, i := range ls.at[:ls.n] {
		l.tables[i].mu.Lock()
	}
}

// shard is keyed with a seed of this process: nobody can aim at one shard. The
// buckets of one key lie in one: a request that has several takes one lock.
func (l *Local) shard(c *authz.Charge) uint32 {
	return uint32(maphash.String(l.seed, c.Key)) % shards
}

func (ls *locks) add(shard uint32) {
	i := ls.n
	for i > 0 && ls.at[i-1] > shard {
		i--
	}
	if i > 0 && ls.at[i-1] == shard {
		return
	}
	copy(ls.at[i+1:ls.n+1], ls.at[i:ls.n])
	ls.at[i] = shard
	ls.n++
}

func (l *Local) unlock(ls *locks) {
	for _, i := range ls.at[:ls.n] {
		l.tables[i].mu.Unlock()
	}
}

// look moves the clocks of the locked shards on to now, reads the states of
// the plan's buckets and returns the clock that holds for all of them.
func (l *Local) look(p *plan, now int64, charges []authz.Charge, ls *locks) int64 {
	clock := now
	for _, i := range ls.at[:ls.n] {
		clock = max(clock, l.tables[i].clock)
	}
	for _, i := range ls.at[:ls.n] {
		l.tables[i].clock = clock
	}
	l.find(p, clock, charges)
	return clock
}

// find reads the states of the plan's buckets.
func (l *Local) find(p *plan, clock int64, charges []authz.Charge) {
	for i := range p.n {
		st := &p.steps[i]
		if st.lead != i {
			continue
		}
		t := &l.tables[st.shard]
		st.tat, st.slack = clock, 0
		st.slot = t.find(charges[i].Name, charges[i].Key, st.limit)
		if st.slot >= 0 {
			s := &t.slots[st.slot]
			st.tat, st.slack = max(clock, s.tat), s.slack
		}
	}
}

// room says whether every new bucket of the plan has a place.
func (l *Local) room(p *plan, charges []authz.Charge, ls *locks) bool {
	// A sweep may drop buckets of this very plan, which then need a place too.
	// A second one finds nothing more to drop, so two rounds are enough.
	for range 2 {
		again := false
		for _, shard := range ls.at[:ls.n] {
			need := p.births(shard)
			if need == 0 {
				continue
			}
			ok, swept := l.tables[shard].room(need)
			if !ok {
				return false
			}
			again = again || swept
		}
		if !again {
			return true
		}
		l.find(p, l.tables[ls.at[0]].clock, charges)
	}
	return true
}

// births counts the buckets that the plan adds to a shard.
func (p *plan) births(shard uint32) int {
	n := 0
	for i := range p.n {
		if st := &p.steps[i]; st.lead == i && st.shard == shard && st.slot < 0 && st.cost > 0 {
			n++
		}
	}
	return n
}

// minClock and maxClock bound the clock so that no sum overflows.
const (
	maxClock = int64(1) << 61
	minClock = -maxClock
)

// instant is t on the limiter's own axis, in nanoseconds.
func (l *Local) instant(t time.Time) int64 {
	return min(maxClock, max(minClock, int64(t.Sub(l.base))))
}
