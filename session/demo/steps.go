package demo

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/neosc/gate/session"
)

// start makes what a grant needs, one step after another, and then has it begin.
// One step that fails for good fails the grant.
func (s *Service) start(ctx context.Context, r *row) error {
	for {
		at := next(r.Steps, session.PhaseStart)
		if at == nil {
			break
		}
		step := s.o.step(at.Name)
		if step == nil {
			return s.fails(ctx, r, fmt.Sprintf("step %s is not configured any more", at.Name))
		}
		err := s.try(ctx, r, at, step)
		switch {
		case err == nil:
		case ctx.Err() != nil || errors.Is(err, errLost) || errors.Is(err, session.ErrUnavailable):
			return err
		case at.State == session.StepFailed:
			return s.fails(ctx, r, fmt.Sprintf("step %s failed", at.Name))
		default:
			return err
		}
	}
	err := s.moves(ctx, r, func(ctx context.Context, now time.Time) []session.Event {
		return []session.Event{s.activate(ctx, r, now, session.Person{})}
	})
	if err != nil {
		return err
	}
	s.metrics.started.WithLabelValues(r.WorkspaceType).Inc()
	return s.tell(ctx, r)
}

// fails ends a grant that cannot begin.
func (s *Service) fails(ctx context.Context, r *row, why string) error {
	err := s.moves(ctx, r, func(ctx context.Context, now time.Time) []session.Event {
		r.Reason = why
		s.end(r, session.GrantFailed, now)
		return []session.Event{ownMove(ctx, session.ActionDemoFailed, &r.DemoGrant)}
	})
	if err == nil {
		s.metrics.ended.WithLabelValues(string(r.Status)).Inc()
		s.wake()
	}
	return err
}

// moves writes a move of a claimed grant down, with its events.
func (s *Service) moves(ctx context.Context, r *row, f func(ctx context.Context, now time.Time) []session.Event) error {
	before := *r
	err := s.st.tx(context.WithoutCancel(ctx), func(ctx context.Context, t *txn) error {
		events := f(ctx, t.now)
		if err := t.save(ctx, r, r.fence+1); err != nil {
			return err
		}
		return s.audit(ctx, events...)
	})
	if err != nil {
		*r = before
	}
	return err
}

// try makes one try of a step, whose outcome is on the grant.
func (s *Service) try(ctx context.Context, r *row, at *session.GrantStep, step *Step) error {
	at.Attempts++
	err := s.st.tx(ctx, func(ctx context.Context, t *txn) error {
		at.At = t.now // of its beginning: see unsettled
		r.dueAt = t.now.Add(s.o.Visibility)
		if at.Phase == session.PhaseStart {
			r.settleAt = t.now.Add(step.Timeout + slack)
		}
		return t.save(ctx, r, r.fence)
	})
	if err != nil {
		return err
	}
	g := r.DemoGrant
	if g.ExpiresAt.IsZero() {
		g.ExpiresAt = at.At.Add(g.MaxDuration) // as if it began now, for what is made to last no longer
	}
	failed := s.holding(ctx, r, func(ctx context.Context) error { return call(ctx, g, at.Phase, step) })
	if failed != nil && ctx.Err() != nil {
		at.Attempts-- // this process stops: that is nobody's failure
		return ctx.Err()
	}
	saved := s.st.tx(context.WithoutCancel(ctx), func(ctx context.Context, t *txn) error {
		at.State, at.Error = session.StepDone, ""
		if failed != nil {
			at.State, at.Error = session.StepWaiting, clip(failed.Error(), 300)
			if errors.Is(failed, session.ErrStepRefused) || at.Attempts > step.Retries {
				at.State = session.StepFailed
			}
		}
		if at.Phase == session.PhaseStart && (failed == nil || errors.Is(failed, session.ErrStepRefused)) {
			r.settleAt = time.Time{} // its end was seen
		}
		return t.save(ctx, r, r.fence)
	})
	if failed != nil {
		s.metrics.failures.WithLabelValues(at.Name, at.Phase).Inc()
		s.log.Warn("a step of a demo session failed", "demo", r.ID, "step", at.Name, "phase", at.Phase, "attempts", at.Attempts, "error", failed)
	}
	if saved != nil {
		return saved
	}
	return failed
}

// call runs a step, bounded in time. A panic is a failure of it.
func call(ctx context.Context, g session.DemoGrant, phase string, step *Step) (err error) {
	ctx, cancel := context.WithTimeout(ctx, step.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v at %s", p, debug.Stack())
		}
	}()
	g.Steps = slices.Clone(g.Steps)
	if phase == session.PhaseStart {
		return step.Start(ctx, g)
	}
	return step.End(ctx, g)
}

// clean takes away all that was made for a grant that has ended: first its claims,
// then what its steps made, each of them whatever becomes of the others. It is
// done again until nothing failed, and once more where a beginning was under way
// whose end nobody saw: that may have made something since.
func (s *Service) clean(ctx context.Context, r *row) error {
	if err := s.holding(ctx, r, func(ctx context.Context) error { return s.regrant(ctx, r) }); err != nil {
		return err
	}
	var failed error
	for i := range r.Steps {
		at := &r.Steps[i]
		if at.Phase != session.PhaseEnd || at.State == session.StepDone {
			continue
		}
		step := s.o.step(at.Name)
		if step == nil {
			at.State, at.Error = session.StepFailed, "is not configured any more"
			failed = errors.Join(failed, fmt.Errorf("step %s %s", at.Name, at.Error))
			continue
		}
		if err := s.try(ctx, r, at, step); err != nil {
			if ctx.Err() != nil || errors.Is(err, errLost) || errors.Is(err, session.ErrUnavailable) {
				return err
			}
			failed = errors.Join(failed, fmt.Errorf("step %s: %w", at.Name, err))
		}
	}
	if failed != nil {
		return failed
	}
	return s.cleaned(ctx, r)
}

// cleaned writes down that all is gone.
func (s *Service) cleaned(ctx context.Context, r *row) error {
	before, settled := *r, true
	err := s.st.tx(context.WithoutCancel(ctx), func(ctx context.Context, t *txn) error {
		if settled = t.now.After(r.settleAt) && !r.unsettled(); !settled {
			r.dueAt = r.settleAt.Add(time.Millisecond)
			for i := range r.Steps {
				if r.Steps[i].Phase == session.PhaseEnd {
					r.Steps[i].State = session.StepWaiting
				}
			}
			return t.save(ctx, r, r.fence)
		}
		r.CleanedAt, r.dueAt, r.tries = t.now, time.Time{}, 0
		if err := t.save(ctx, r, r.fence+1); err != nil {
			return err
		}
		e := ownMove(ctx, session.ActionDemoCleaned, &r.DemoGrant)
		delete(e.Details, "reason")
		return s.audit(ctx, e)
	})
	if err != nil {
		*r = before
		return err
	}
	if settled {
		s.metrics.cleaned.Observe(r.CleanedAt.Sub(r.EndedAt).Seconds())
	}
	return nil
}

// unsettled reports whether a step was ended before all beginnings had settled.
func (r *row) unsettled() bool {
	return !r.settleAt.IsZero() && slices.ContainsFunc(r.Steps, func(g session.GrantStep) bool {
		return g.Phase == session.PhaseEnd && !g.At.IsZero() && g.At.Before(r.settleAt)
	})
}
