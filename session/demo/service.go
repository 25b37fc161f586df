package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/neosc/gate/session"
)

// maxText bounds what people say, in characters, as its forms and the API do.
const maxText = 500

// Service is just-in-time access. It implements session.Demos; Run does what is
// due. Safe for concurrent use.
type Service struct {
	o       Options
	st      *Store
	log     *slog.Logger
	metrics *metrics
	wakes   chan struct{} // holds one token: look for what is due
	slots   chan struct{} // one for each grant that is worked on
}

var _ session.Demos = (*Service)(nil)

// New returns a Service, or says which option is wrong.
func New(o Options) (*Service, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("demo sessions: %w", err)
	}
	ms, err := newMetrics(o.Registerer, o.MetricPrefix)
	if err != nil {
		return nil, fmt.Errorf("demo sessions: %w", err)
	}
	ms.begin(&o)
	return &Service{o: o, st: o.Store, log: o.Logger, metrics: ms, wakes: make(chan struct{}, 1), slots: make(chan struct{}, o.Workers)}, nil
}

// Kinds implements session.Demos.
func (s *Service) Kinds() []session.WorkspaceKind {
	return append([]session.WorkspaceKind(nil), s.o.Kinds...)
}

// Grant implements session.Demos.
func (s *Service) Grant(ctx context.Context, id string) (session.DemoGrant, error) {
	r, err := s.st.grant(ctx, id)
	if err != nil {
		return session.DemoGrant{}, err
	}
	return r.DemoGrant, nil
}

// PageGrants implements session.Demos.
func (s *Service) PageGrants(ctx context.Context, q session.DemoQuery) (session.DemoPage, error) {
	return s.st.page(ctx, q)
}

// wake has Run look for what is due, without waiting.
func (s *Service) wake() {
	select {
	case s.wakes <- struct{}{}:
	default:
	}
}

// audit keeps events of moves that are about to be made: without them they are not.
func (s *Service) audit(ctx context.Context, events ...session.Event) error {
	if len(events) == 0 {
		return nil
	}
	err := s.o.Audit.Append(ctx, events...)
	if err == nil {
		return nil
	}
	if !errors.Is(err, session.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	return refusal{fmt.Errorf("audit trail: %w", err)}
}

// event is one of a grant. by is who did it where the request does not say; the
// zero Person is the gate itself.
func event(ctx context.Context, a session.Action, g *session.DemoGrant, by session.Person) session.Event {
	o := session.OriginOf(ctx)
	if o.Actor != (session.Person{}) {
		by = o.Actor
	}
	e := session.Event{
		Action: a, Outcome: session.OutcomeSuccess, Origin: o, Actor: by, User: session.Person{ID: g.UserID, Email: g.Email}, Organization: g.Organization,
		Details: map[string]string{"demo": g.ID, "kind": g.WorkspaceType},
	}
	if !g.ExpiresAt.IsZero() {
		e.Details["expires"] = g.ExpiresAt.Format(time.RFC3339Nano)
	}
	if g.Reason != "" {
		e.Details["reason"] = g.Reason
	}
	return e
}

// ownMove is the event of a move that the gate makes by itself, and once: a gate
// that is killed after it is kept and before the move is has another one make the
// move again, and the trail tells of it once. Beginnings are none such, for the
// second one ends later.
func ownMove(ctx context.Context, a session.Action, g *session.DemoGrant) session.Event {
	e := event(ctx, a, g, session.Person{})
	e.Once = "demo " + g.ID + " " + string(a)
	return e
}

// begin has a grant's steps begin, or the grant itself where there are none, and
// returns the events of that.
func (s *Service) begin(ctx context.Context, r *row, now time.Time, by session.Person) []session.Event {
	r.Status, r.dueAt, r.tries = session.GrantStarting, now, 0
	r.Steps = stepsOf(s.o.stepNames(), s.o.EndOrder)
	if len(s.o.Steps) > 0 {
		return nil
	}
	return []session.Event{s.activate(ctx, r, now, by)}
}

// activate has a grant begin, whose sessions are to be told right after.
func (s *Service) activate(ctx context.Context, r *row, now time.Time, by session.Person) session.Event {
	r.Status = session.GrantActive
	r.StartedAt = now.Truncate(time.Millisecond)
	r.ExpiresAt = r.StartedAt.Add(r.MaxDuration)
	s.untold(r, now)
	return event(ctx, session.ActionDemoStarted, &r.DemoGrant, by)
}

// untold has somebody tell a grant's sessions, even if this process dies now.
func (s *Service) untold(r *row, now time.Time) {
	r.told, r.settleAt, r.tries = false, time.Time{}, 0
	r.dueAt = now.Add(s.o.Visibility)
	if r.ExpiresAt.Before(r.dueAt) {
		r.dueAt = r.ExpiresAt
	}
}

// tell has the sessions of a grant's person carry it from now on. The grant is
// active either way; what fails here is done again by whoever finds it due.
func (s *Service) tell(ctx context.Context, r *row) error {
	if err := s.holding(ctx, r, func(ctx context.Context) error { return s.regrant(ctx, r) }); err != nil {
		return err
	}
	_, err := s.st.write(ctx, `UPDATE demo_grants SET told = 1, tries = 0, due_at = expires_at WHERE id = ? AND fence = ? AND status = 'active'`, r.ID, r.fence)
	return err
}

// tellNow is tell for a request that need not fail.
func (s *Service) tellNow(ctx context.Context, r *row) {
	if err := s.tell(ctx, r); err != nil {
		s.log.Warn("a demo session's claims are not in all sessions yet", "demo", r.ID, "user", r.UserID, "error", err)
	}
	s.wake()
}

// text checks what somebody said.
func text(what, s string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case utf8.RuneCountInString(s) > maxText:
		return "", fmt.Errorf("%w: the %s has more than %d characters", session.ErrBadDemo, what, maxText)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' && c != '\r' }):
		return "", fmt.Errorf("%w: the %s has characters that are no text", session.ErrBadDemo, what)
	}
	return s, nil
}
