package limit

import (
	"time"

	"github.com/neosc/gate/authz"
)

// The methods here let a limiter that shares its buckets with other processes
// keep a Local as its memory: what it knows for sure refuses without asking,
// and takes over when the shared store is out of reach.

// Known judges charges by what is remembered and takes nothing: Allowed means
// only that nothing remembered refuses them. The error wraps ErrInvalid.
func (l *Local) Known(now time.Time, charges []authz.Charge) (authz.Spent, error) {
	var p plan
	if len(charges) == 0 {
		return authz.Spent{Allowed: true, Limiting: -1}, nil
	}
	if err := p.read(charges); err != nil {
		return authz.Spent{}, err
	}
	var ls locks
	instant := l.instant(now)
	l.lock(&p, charges, &ls)
	clock := l.look(&p, instant, charges, &ls)
	l.unlock(&ls)
	return p.judge(instant, clock), nil
}

// TakeOver spends charges as one of several replicas that cannot see each
// other: each charge counts replicas times (at most its burst), so that
// together they admit the rate once. A bucket whose burst is below replicas
// admits one request each time it is full. With replicas 1 it is Spend.
func (l *Local) TakeOver(now time.Time, charges []authz.Charge, replicas int) (authz.Spent, error) {
	p := plan{scale: int64(max(1, replicas))}
	s, err := l.spend(&p, l.instant(now), charges)
	if s.Limiting >= 0 {
		s.Remaining /= max(1, replicas)
	}
	l.metrics.count(s, err)
	return s, err
}

// Learn writes down an answer of the shared store about c's bucket: it took
// `taken` tokens for us, and then the bucket was debt away from being full.
// The question was sent at sent and judged at most slack later.
//
// The state remembered is the earliest that fits, so it never refuses what the
// store would admit; slack is added only to what refusals promise.
//
// fits is how many of the tokens taken were really there, as far as is
// remembered: all of them, unless the store has lost state or came back without
// what was admitted in its place. What does not fit must not be admitted.
//
// When there is no room for the bucket the answer is not remembered. c's strings
// are kept, not copied.
func (l *Local) Learn(c *authz.Charge, taken int, debt, slack time.Duration, sent time.Time) (fits int) {
	lim, err := Check(c)
	if err != nil {
		return taken
	}
	from := l.instant(sent)
	t := &l.tables[l.shard(c)]
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := t.find(c.Name, c.Key, lim)
	old := from
	if slot >= 0 {
		old = max(from, t.slots[slot].tat)
	}
	fits = min(taken, lim.Left(from+int64(slack), old))
	tat := max(from+int64(min(debt, lim.Fill())), old+int64(fits)*lim.interval)
	switch {
	case slot >= 0:
		if tat > t.slots[slot].tat {
			t.slots[slot].tat, t.slots[slot].slack = tat, int64(slack)
		}
	case tat > t.clock:
		if ok, _ := t.room(1); ok {
			slot = t.put(bucketID{c.Name, c.Key, lim}, tat)
			t.slots[slot].slack = int64(slack)
		}
	}
	return fits
}

// GiveBack undoes so much of what was learnt about c's bucket.
func (l *Local) GiveBack(c *authz.Charge, amount time.Duration) {
	lim, err := Check(c)
	if err != nil || amount <= 0 {
		return
	}
	t := &l.tables[l.shard(c)]
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot := t.find(c.Name, c.Key, lim); slot >= 0 {
		t.slots[slot].tat -= int64(amount)
	}
}
