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
// store would admit; slack is added only to what refusals promise. It covers
// our own admissions even if the store forgets. When there is no room the
// answer is not remembered.
func (l *Local) Learn(c *authz.Charge, taken int, debt, slack time.Duration, sent time.Time) {
	p := plan{n: 1}
	var err error
	if p.steps[0].limit, err = Check(c); err != nil {
		return
	}
	st, from := &p.steps[0], l.instant(sent)
	var ls locks
	charges := [1]authz.Charge{*c}
	l.lock(&p, charges[:], &ls)
	defer l.unlock(&ls)
	t := &l.tables[st.shard]
	debt = min(debt, st.limit.Fill())
	tat := from + int64(debt)
	slot := t.find(c.Name, c.Key, st.limit)
	if slot >= 0 {
		old := t.slots[slot].tat
		tat = max(tat, max(old, from)+int64(taken)*st.limit.interval)
		if tat > old {
			t.slots[slot].tat, t.slots[slot].slack = tat, int64(slack)
		}
		return
	}
	tat = max(tat, from+int64(taken)*st.limit.interval)
	if tat <= t.clock {
		return
	}
	if ok, _ := t.room(1); ok {
		slot = t.put(c.Name, c.Key, st.limit, tat)
		t.slots[slot].slack = int64(slack)
	}
}

// GiveBack undoes so much of what was learnt about c's bucket.
func (l *Local) GiveBack(c *authz.Charge, amount time.Duration) {
	p := plan{n: 1}
	var err error
	if p.steps[0].limit, err = Check(c); err != nil || amount <= 0 {
		return
	}
	var ls locks
	charges := [1]authz.Charge{*c}
	l.lock(&p, charges[:], &ls)
	defer l.unlock(&ls)
	t := &l.tables[p.steps[0].shard]
	if slot := t.find(c.Name, c.Key, p.steps[0].limit); slot >= 0 {
		t.slots[slot].tat -= int64(amount)
	}
}
