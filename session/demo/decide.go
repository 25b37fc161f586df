package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

// change makes a move that f describes, which several may try at once: one does.
// f may be called more than once, and an error of it ends that.
func (s *Service) change(ctx context.Context, id string, f func(ctx context.Context, r *row, now time.Time) ([]session.Event, error)) (*row, error) {
	if len(id) > 128 {
		return nil, session.ErrNoDemo
	}
	for range 8 {
		var r *row
		err := s.st.tx(ctx, func(ctx context.Context, t *txn) (err error) {
			if r, err = t.read(ctx, id); err != nil {
				return err
			}
			events, err := f(ctx, r, t.now)
			if err != nil {
				return refusal{err}
			}
			if err := t.save(ctx, r, r.fence+1); err != nil {
				return err
			}
			return s.audit(ctx, events...)
		})
		if errors.Is(err, errSame) {
			return r, errSame
		}
		if !errors.Is(err, errLost) {
			return r, err
		}
	}
	return nil, fmt.Errorf("demo session %s: %w: it is moved all the time", id, session.ErrUnavailable)
}

// errSame: the grant is already where a move leads.
var errSame = errors.New("nothing to do")

// Decide implements session.Demos.
func (s *Service) Decide(ctx context.Context, id string, agree bool, by session.Person, reason string) (session.DemoGrant, error) {
	reason, err := text("reason", reason)
	if err != nil {
		return session.DemoGrant{}, err
	}
	r, err := s.change(ctx, id, func(ctx context.Context, r *row, now time.Time) ([]session.Event, error) {
		m := refuse
		if agree {
			m = approve
		}
		if _, err := after(r.Status, m); err != nil {
			return nil, err
		}
		if reason == "" {
			return nil, fmt.Errorf("%w: a reason is needed", session.ErrBadDemo)
		}
		r.Reason, r.DecidedBy = reason, cmp.Or(by.Email, by.ID)
		if !agree {
			s.end(r, session.GrantRefused, now)
			return []session.Event{event(ctx, session.ActionDemoRefused, &r.DemoGrant, by)}, nil
		}
		events := []session.Event{event(ctx, session.ActionDemoApproved, &r.DemoGrant, by)}
		return append(events, s.begin(ctx, r, now, by)...), nil
	})
	if err != nil {
		return session.DemoGrant{}, err
	}
	if agree {
		s.created(ctx, r)
	} else {
		s.metrics.ended.WithLabelValues(string(r.Status)).Inc()
	}
	return r.DemoGrant, nil
}

// end moves a grant to a final state. What was made for it is taken away from now
// on; nothing was where it never began.
func (s *Service) end(r *row, to session.GrantStatus, now time.Time) {
	began := r.Status != session.GrantPending
	r.Status, r.EndedAt, r.tries = to, now, 0
	if r.dueAt = now; !began {
		r.dueAt, r.CleanedAt = time.Time{}, now
	}
}

// End implements session.Demos.
func (s *Service) End(ctx context.Context, id string, by session.Person, reason string) (session.DemoGrant, error) {
	reason, err := text("reason", reason)
	if err != nil {
		return session.DemoGrant{}, err
	}
	r, err := s.change(ctx, id, func(ctx context.Context, r *row, now time.Time) ([]session.Event, error) {
		if r.Status.Ended() {
			return nil, errSame
		}
		if _, err := after(r.Status, revoke); err != nil {
			return nil, err
		}
		r.Reason = reason
		s.end(r, session.GrantRevoked, now)
		return []session.Event{event(ctx, session.ActionDemoRevoked, &r.DemoGrant, by)}, nil
	})
	if errors.Is(err, errSame) {
		return r.DemoGrant, nil
	}
	if err != nil {
		return session.DemoGrant{}, err
	}
	s.metrics.ended.WithLabelValues(string(r.Status)).Inc()
	s.wake()
	if !r.StartedAt.IsZero() {
		// It is done again by whoever takes the rest away; here it is done at once.
		if _, err := s.o.Sessions.Regrant(ctx, r.UserID); err != nil {
			return session.DemoGrant{}, fmt.Errorf("the demo session has ended, and its claims will go from all sessions: %w", err)
		}
	}
	return r.DemoGrant, nil
}

// Extend implements session.Demos.
func (s *Service) Extend(ctx context.Context, id string, by time.Duration, who session.Person, reason string) (session.DemoGrant, error) {
	reason, err := text("reason", reason)
	if err != nil {
		return session.DemoGrant{}, err
	}
	by = by.Truncate(time.Millisecond)
	r, err := s.change(ctx, id, func(ctx context.Context, r *row, now time.Time) ([]session.Event, error) {
		if _, err := after(r.Status, extend); err != nil {
			return nil, err
		}
		if !now.Before(r.ExpiresAt) {
			return nil, session.ErrDemoState
		}
		k, ok := s.o.kind(r.WorkspaceType)
		if !ok {
			return nil, fmt.Errorf("%w: its kind of workspace is not there any more", session.ErrBadDemo)
		}
		most := k.MaxDuration + s.o.Extension
		if by <= 0 || r.MaxDuration+by > most {
			return nil, fmt.Errorf("%w: it can last %s in all and lasts %s; %s more is not possible", session.ErrBadDemo, most, r.MaxDuration, by)
		}
		r.MaxDuration += by
		r.ExpiresAt = r.ExpiresAt.Add(by)
		s.untold(r, now)
		e := event(ctx, session.ActionDemoExtended, &r.DemoGrant, who)
		e.Details["by"] = by.String()
		if delete(e.Details, "reason"); reason != "" {
			e.Details["reason"] = reason
		}
		return []session.Event{e}, nil
	})
	if err != nil {
		return session.DemoGrant{}, err
	}
	s.tellNow(ctx, r)
	return r.DemoGrant, nil
}
