package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// dueAgain is how long one local copy waits until it calls Options.Due again.
const dueAgain = 5 * time.Second

// ErrOvertaken: a refresh that began later has been written down already.
var ErrOvertaken = errors.New("a later refresh was first")

// Renewal is what came of a refresh.
type Renewal struct {
	// Fence is the refresh's number: of two, the one that began later has the
	// higher one. The first is 1.
	Fence uint64
	// Identity is who the provider says it is now, nil if it said nothing. Its
	// user id must be the session's.
	Identity *Identity
	// RefreshAt is when the next refresh is due; zero for never.
	RefreshAt time.Time
	// EndsBy, if set, is when the session is over at the latest.
	EndsBy time.Time
}

// Renew writes a refresh down: ErrOvertaken if the record shows that one or a
// later one, ErrNotFound if the session is over or ends meanwhile.
func (m *Manager) Renew(ctx context.Context, k Key, r Renewal) (*Session, error) {
	var before, after []string
	s, err := m.update(ctx, k, func(s *Session) error {
		before = s.Identity.Roles
		if r.Fence <= s.Fence {
			return ErrOvertaken
		}
		if r.Identity != nil {
			if r.Identity.UserID != s.Identity.UserID {
				return fmt.Errorf("renew session %s: it is another user's", k.Short())
			}
			s.Identity = *r.Identity
		}
		after = s.Identity.Roles
		s.Fence, s.RefreshAt = r.Fence, r.RefreshAt
		if !r.EndsBy.IsZero() {
			s.endBy(r.EndsBy)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.auditEnd(ctx, RoleEvents(ctx, s, before, after)...)
	return s, nil
}

// endBy moves the end forward to at, unless it is before.
func (s *Session) endBy(at time.Time) {
	if !at.Before(s.ExpiresAt) {
		return
	}
	s.ExpiresAt = at.UTC().Truncate(time.Millisecond)
	if s.IdleExpiresAt.After(s.ExpiresAt) {
		s.IdleExpiresAt = s.ExpiresAt
	}
}

// Current returns the store's record, whatever local copies say: ErrNotFound
// if the session is over.
func (m *Manager) Current(ctx context.Context, k Key) (*Session, error) {
	s, err := m.o.Store.Get(ctx, k)
	if err == nil && !s.LiveAt(m.o.Clock()) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}
