package redislimit

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/neosc/gate/authz"
)

var errTimeout = errors.New("no answer within the budget; the charge counts as spent")

// ask lets Redis judge. With an error Redis gave no answer; what was sent may
// have been spent.
func (l *Limiter) ask(ctx context.Context, now time.Time, charges []authz.Charge) (authz.Spent, error) {
	it := newItem(take)
	ps, err := l.names.parts(it.parts[:0], charges)
	it.parts = ps
	if err != nil {
		it.recycle()
		return authz.Spent{}, err
	}
	if len(l.lanes) == 1 || oneTag(ps) {
		s, _, err := l.send(ctx, it, now.Add(l.budget))
		return s, err
	}
	all := slices.Clone(ps)
	it.recycle()
	return l.askInTurn(ctx, all, now.Add(l.budget))
}

func oneTag(ps []part) bool {
	for i := range ps {
		if ps[i].tag != ps[0].tag {
			return false
		}
	}
	return true
}

// send submits an item and waits for its answer until deadline. The item is
// used up. at is Redis' time of the answer.
func (l *Limiter) send(ctx context.Context, it *item, deadline time.Time) (s authz.Spent, at [2]int64, err error) {
	it.deadline = deadline
	lane := l.lanes[0]
	if len(l.lanes) > 1 {
		lane = l.lanes[it.parts[0].tag]
	}
	lead, err := lane.submit(it)
	if err != nil {
		it.recycle()
		return s, at, err
	}
	if lead {
		lane.lead() // within the budget, and it settles the item
	}
	select {
	case <-it.done:
	case <-ctx.Done():
		if it.abandon() {
			return s, at, ctx.Err()
		}
		<-it.done
	}
	if it.state.Load() == abandoned { // the lane still has it
		return s, at, errTimeout
	}
	s, at, err = it.spent, [2]int64{it.sec, it.nano}, it.err
	it.recycle()
	return s, at, err
}

// turn is the part of a request that lies under one tag.
type turn struct {
	parts []part
	at    [2]int64  // Redis' time when it was taken
	sent  time.Time // ours, before
}

// askInTurn takes charges that lie under several tags, all within one budget.
// The tag of the first charge comes last: it is most often the one that
// refuses, and what came before must then be given back.
func (l *Limiter) askInTurn(ctx context.Context, ps []part, deadline time.Time) (authz.Spent, error) {
	turns := inTurns(ps)
	var best authz.Spent
	for i := range turns {
		t := &turns[i]
		t.sent = l.clock()
		s, at, err := l.send(ctx, itemOf(take, t.parts), deadline)
		if err != nil {
			return authz.Spent{}, err
		}
		t.at = at
		if !s.Allowed {
			l.giveBack(turns[:i])
			return l.lookOn(ctx, s, turns[i+1:], deadline), nil
		}
		if i == 0 || s.Remaining < best.Remaining {
			best = s
		}
	}
	return best, nil
}

// inTurns splits parts by tag, in reverse order of appearance.
func inTurns(ps []part) []turn {
	var turns []turn
	for _, p := range ps {
		i := slices.IndexFunc(turns, func(t turn) bool { return t.parts[0].tag == p.tag })
		if i < 0 {
			i, turns = len(turns), append(turns, turn{})
		}
		turns[i].parts = append(turns[i].parts, p)
	}
	slices.Reverse(turns)
	return turns
}

func itemOf(k kind, ps []part) *item {
	it := newItem(k)
	it.parts = append(it.parts[:0], ps...)
	return it
}

// giveBack returns what turns took. Nobody waits for it; if it fails, the
// charges stay spent.
func (l *Limiter) giveBack(turns []turn) {
	for _, t := range turns {
		it := &item{kind: giveBack, parts: t.parts, sec: t.at[0], nano: t.at[1]}
		lane := l.lanes[t.parts[0].tag]
		lead, err := lane.submit(it)
		if err != nil {
			continue
		}
		if lead {
			go lane.run()
		}
		since := l.clock().Sub(t.sent)
		for i := range t.parts {
			p := &t.parts[i]
			l.local.GiveBack(&p.charge, time.Duration(p.cost)*p.limit.Interval()-since)
		}
	}
}

// lookOn asks the tags that a refused request did not get to how long they
// would refuse it: what is promised must hold for all of its charges.
func (l *Limiter) lookOn(ctx context.Context, refused authz.Spent, turns []turn, deadline time.Time) authz.Spent {
	for _, t := range turns {
		s, _, err := l.send(ctx, itemOf(look, t.parts), deadline)
		if err == nil && s.RetryAfter > refused.RetryAfter {
			s.Allowed = false
			refused = s
		}
	}
	return refused
}
