package demo

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/neosc/gate/session"
)

// job is a grant that this process has claimed.
type job struct {
	*row
	// late is how long after its end it was claimed for the first time, and at this
	// process's clock at that; zero for others.
	late time.Duration
	at   time.Time
}

// Run does what is due until ctx ends, and returns when none of it is under way
// here any more.
func (s *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { s.keepHouse(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wakes:
		case <-timer.C:
		}
		pause, err := s.round(ctx, &all)
		if err != nil && ctx.Err() == nil {
			s.metrics.trouble.Inc()
			s.log.Warn("due work on demo sessions could not be claimed", "error", err)
			pause = min(s.o.Poll, 250*time.Millisecond)
		}
		timer.Reset(pause)
	}
}

// round claims what is due, as much as can be worked on here, begins the work
// and returns after how long something more may be due.
func (s *Service) round(ctx context.Context, all *sync.WaitGroup) (time.Duration, error) {
	for {
		wait, err := s.st.nextDue(ctx, s.o.Poll)
		if err != nil || wait > 0 {
			return wait, err
		}
		free := s.take()
		if free == 0 {
			return s.o.Poll, nil // whoever ends its work wakes us
		}
		jobs, err := s.claim(ctx, free)
		for range free - len(jobs) {
			<-s.slots
		}
		for _, j := range jobs {
			all.Go(func() {
				defer func() { <-s.slots; s.wake() }()
				s.work(ctx, j)
			})
		}
		if err != nil {
			return 0, err
		}
		if len(jobs) == 0 {
			return 5 * time.Millisecond, nil // others are at it
		}
	}
}

// take takes all free slots.
func (s *Service) take() (n int) {
	for {
		select {
		case s.slots <- struct{}{}:
			n++
		default:
			return n
		}
	}
}

// nextDue returns how long it is until something is due, by the store's clock,
// and no more than a bound.
func (st *Store) nextDue(ctx context.Context, most time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var due *int64
	var now int64
	if err := st.db.QueryRowContext(ctx, st.sql(`SELECT min(due_at), {now} FROM demo_grants WHERE due_at IS NOT NULL`)).Scan(&due, &now); err != nil {
		return 0, st.unavailable(err)
	}
	if due == nil {
		return most, nil
	}
	return max(0, min(most, time.Duration(*due-now)*time.Microsecond)), nil
}

// claim takes at most n grants that are due, for this process alone. Those whose
// time is over end in the same go. Where their events cannot be kept, they wait,
// and others do not.
func (s *Service) claim(ctx context.Context, n int) ([]job, error) {
	over, overErr := s.claimSome(ctx, n, `((status = 'active' AND expires_at <= {now}) OR status = 'pending')`)
	if len(over) >= n {
		return over, overErr
	}
	rest, err := s.claimSome(ctx, n-len(over), `status <> 'pending' AND NOT (status = 'active' AND expires_at <= {now})`)
	return append(over, rest...), errors.Join(overErr, err)
}

func (s *Service) claimSome(ctx context.Context, n int, which string) ([]job, error) {
	var jobs []job
	ended := map[string]int{}
	err := s.st.tx(ctx, func(ctx context.Context, t *txn) error {
		found, err := scanAll(t.QueryContext(ctx, s.st.sql(`SELECT `+columns+` FROM demo_grants WHERE due_at <= {now} AND `+which+` ORDER BY due_at LIMIT ?`+s.st.skipLocked), n))
		if err != nil {
			return err
		}
		var events []session.Event
		for _, r := range found {
			j := job{row: r}
			if e := s.overdue(ctx, r, t.now); e != nil {
				events = append(events, *e)
				ended[string(r.Status)]++
			}
			if r.Status.Ended() && !r.cleaning() {
				j.late, j.at = t.now.Sub(r.EndedAt), t.at
			}
			if r.CleanedAt.IsZero() {
				r.dueAt = t.now.Add(s.o.Visibility)
				jobs = append(jobs, j)
			}
			if err := t.save(ctx, r, r.fence+1); err != nil {
				return err
			}
		}
		return s.audit(ctx, events...)
	})
	if err != nil {
		return nil, err
	}
	for cause, n := range ended {
		s.metrics.ended.WithLabelValues(cause).Add(float64(n))
	}
	return jobs, nil
}

// cleaning reports whether somebody has begun to take away what was made.
func (r *row) cleaning() bool {
	return r.tries > 0 || slices.ContainsFunc(r.Steps, func(g session.GrantStep) bool { return g.Phase == session.PhaseEnd && g.Attempts > 0 })
}

// overdue ends a grant whose time is over, or a request that nobody decided on in
// time, and returns the event of that; nil for others.
func (s *Service) overdue(ctx context.Context, r *row, now time.Time) *session.Event {
	var e session.Event
	switch {
	case r.Status == session.GrantPending:
		r.Reason = "nobody decided in time"
		s.end(r, session.GrantRefused, now)
		e = ownMove(ctx, session.ActionDemoRefused, &r.DemoGrant)
	case r.Status == session.GrantActive && !now.Before(r.ExpiresAt):
		s.end(r, session.GrantExpired, r.ExpiresAt)
		e = ownMove(ctx, session.ActionDemoExpired, &r.DemoGrant)
	default:
		return nil
	}
	return &e
}

// work does what is to be done with a grant next. What fails is done again.
func (s *Service) work(ctx context.Context, j job) {
	var err error
	switch r := j.row; {
	case r.Status == session.GrantStarting:
		err = s.start(ctx, r)
	case r.Status == session.GrantActive:
		err = s.tell(ctx, r)
	default:
		if !j.at.IsZero() {
			s.metrics.lag.Observe((j.late + time.Since(j.at)).Seconds())
		}
		err = s.clean(ctx, r)
	}
	if err == nil || errors.Is(err, errLost) {
		return
	}
	if err := s.again(context.WithoutCancel(ctx), j.row, session.StepAfter(err), ctx.Err() != nil); err != nil && !errors.Is(err, errLost) {
		s.metrics.trouble.Inc()
		s.log.Warn("a demo session's work is done again only when its claim is over", "demo", j.ID, "error", err)
	}
	if ctx.Err() == nil {
		s.log.Warn("work on a demo session failed and is done again", "demo", j.ID, "status", j.Status, "tries", j.tries, "error", err)
	}
}

// again gives a grant back, for later, and no sooner than a step asked for; or for
// at once, by another process, when this one stops.
func (s *Service) again(ctx context.Context, r *row, least time.Duration, stopping bool) error {
	return s.st.tx(ctx, func(ctx context.Context, t *txn) error {
		if r.dueAt = t.now; !stopping {
			r.tries++
			r.dueAt = t.now.Add(max(least, s.backoff(r)))
		}
		if r.Status == session.GrantActive && r.ExpiresAt.Before(r.dueAt) {
			r.dueAt = r.ExpiresAt
		}
		return t.save(ctx, r, r.fence)
	})
}

// backoff is the pause before the next try.
func (s *Service) backoff(r *row) time.Duration {
	pause := 250 * time.Millisecond
	phase := session.PhaseEnd
	if r.Status == session.GrantStarting {
		phase = session.PhaseStart
	}
	if at := next(r.Steps, phase); at != nil {
		if step := s.o.step(at.Name); step != nil {
			pause = step.Backoff
		}
	}
	return min(maxBackoff, pause<<min(max(0, r.tries-1), 16))
}
