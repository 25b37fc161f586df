package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// unwindTime bounds taking back a session whose beginning could not be kept.
const unwindTime = storeTimeout

// auditBegin keeps the beginning of a session that is stored already, and ends
// it if that fails: nobody holds its cookie yet. The other way round the trail
// would tell of sessions that never were. signIn is the action of the sign-in
// that is kept with it, "" for none.
func (m *Manager) auditBegin(ctx context.Context, s *Session, signIn Action) error {
	if m.o.Audit == nil {
		return nil
	}
	a := ActionSessionCreated
	if s.Kind != Browser {
		a = ActionTokenIssued
	}
	e := NewEvent(ctx, a, s)
	e.Details = map[string]string{"provider": s.Identity.Provider, "kind": string(s.Kind), "expires": s.ExpiresAt.Format("2006-01-02T15:04:05Z07:00")}
	events := []Event{e}
	if signIn != "" {
		events = append(events, SignInEvent(ctx, signIn, s))
	}
	err := m.o.Audit.Append(ctx, events...)
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err) // it is nobody's identity that is at fault
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unwindTime)
	defer cancel()
	return errors.Join(err, m.o.Store.Delete(ctx, s.Key))
}

// SignInEvent is the event of a sign-in that began a session.
func SignInEvent(ctx context.Context, a Action, s *Session) Event {
	e := NewEvent(ctx, a, s)
	e.Details = map[string]string{"provider": s.Identity.Provider, "roles": strings.Join(s.Identity.Roles, ","), "amr": strings.Join(s.Identity.AMR, ",")}
	return e
}

// auditWho returns the session of a key for the event of its end, nil if there
// is none: its end is told already then.
func (m *Manager) auditWho(ctx context.Context, k Key) *Session {
	if m.o.Audit == nil {
		return nil
	}
	s, err := m.o.Store.Get(ctx, k)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return &Session{Key: k}
	}
	return s
}

// eventsAtOnce is how many events of one end are kept together. Somebody may have
// thousands of sessions, and other sign-ins wait for the trail meanwhile.
const eventsAtOnce = 256

// auditEnd keeps events of what has happened already and must not be held up,
// such as the end of a session. What cannot be kept is in the log.
func (m *Manager) auditEnd(ctx context.Context, events ...Event) {
	if m.o.Audit == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	var err error
	for some := range slices.Chunk(events, eventsAtOnce) {
		if err == nil { // once it cannot be written, waiting for it again holds up
			err = m.auditSome(ctx, some)
		}
		if err == nil {
			continue
		}
		for _, e := range some {
			m.log.Error("an event is not in the audit trail", "action", e.Action, "user", e.User.ID, "actor", e.Actor.ID, "session", e.Session, "request_id", e.RequestID, "error", err)
		}
	}
}

func (m *Manager) auditSome(ctx context.Context, events []Event) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return m.o.Audit.Append(ctx, events...)
}

func (m *Manager) auditRevoked(ctx context.Context, was *Session) {
	if was != nil {
		m.auditEnd(ctx, NewEvent(ctx, revocation(was.Kind), was))
	}
}

func revocation(k Kind) Action {
	if k == Browser || k == "" {
		return ActionSessionRevoked
	}
	return ActionTokenRevoked
}

// auditWhose returns what is known of a user before all that they have ends, for
// the events of that: the newest sessions, as many as a page holds. An error
// holds nothing up; the events say less then.
func (m *Manager) auditWhose(ctx context.Context, userID string) []*Session {
	if m.o.Audit == nil {
		return nil
	}
	known, err := m.o.Store.List(ctx, Query{UserID: userID, Limit: 1000})
	if err != nil {
		return nil
	}
	return known
}

// auditUserRevoked tells of the end of all that a user had: of each session,
// and of access tokens if they were marked, of which nobody keeps a list.
func (m *Manager) auditUserRevoked(ctx context.Context, userID string, known []*Session, keys []Key, marked bool) {
	if m.o.Audit == nil {
		return
	}
	who := Identity{UserID: userID}
	was := make(map[Key]*Session, len(known))
	for _, s := range known {
		was[s.Key] = s
		if who.Email == "" {
			who.Email, who.Organization = s.Identity.Email, s.Identity.Organization
		}
	}
	events := make([]Event, 0, len(keys)+1)
	for _, k := range keys {
		s := was[k]
		if s == nil {
			s = &Session{Key: k, Identity: who}
		}
		events = append(events, NewEvent(ctx, revocation(s.Kind), s))
	}
	if marked && m.o.Marks != nil {
		e := NewEvent(ctx, ActionTokenRevoked, &Session{Identity: who})
		e.Details = map[string]string{"tokens": "all"}
		events = append(events, e)
	}
	m.auditEnd(ctx, events...)
}

// auditSwept is what a sweep calls with the sessions whose time was over.
func (m *Manager) auditSwept(ctx context.Context) func([]*Session) {
	if m.o.Audit == nil {
		return nil
	}
	return func(gone []*Session) {
		events := make([]Event, 0, len(gone))
		for _, s := range gone {
			e := NewEvent(ctx, ActionSessionExpired, s)
			e.Actor = Person{}
			events = append(events, e)
		}
		m.auditEnd(ctx, events...)
	}
}

// RoleEvents are the events of somebody's roles that were some and are others:
// none if nothing changed.
func RoleEvents(ctx context.Context, s *Session, before, after []string) []Event {
	var out []Event
	add := func(a Action, from, without []string) {
		var names []string
		for _, r := range from {
			if !slices.Contains(without, r) {
				names = append(names, r)
			}
		}
		if len(names) > 0 {
			e := NewEvent(ctx, a, s)
			e.Details = map[string]string{"roles": strings.Join(names, ",")}
			out = append(out, e)
		}
	}
	add(ActionRoleAssigned, after, before)
	add(ActionRoleRevoked, before, after)
	return out
}
