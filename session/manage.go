package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Revoke implements Issuer: from its return on, this process serves no copy of
// the session, and other processes none within their feed's promise.
func (m *Manager) Revoke(ctx context.Context, k Key) error {
	was := m.auditWho(ctx, k)
	if err := m.end(ctx, k); err != nil {
		return err
	}
	m.countSoon()
	m.auditRevoked(ctx, was)
	return nil
}

// end is Revoke that tells the trail nothing.
func (m *Manager) end(ctx context.Context, k Key) error {
	err := m.o.Store.Delete(ctx, k)
	// Also after an error, which does not say that nothing was deleted.
	m.forget(k)
	if err != nil {
		return fmt.Errorf("revoke session %s: %w", k.Short(), err)
	}
	m.metrics.revoked.Inc()
	return nil
}

// EndBy implements Issuer.
func (m *Manager) EndBy(ctx context.Context, k Key, at time.Time) error {
	_, err := m.update(ctx, k, func(s *Session) error {
		s.endBy(at)
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// RevokeUser ends all sessions of a user id and returns how many there were.
// Access tokens that the user was given before end as well, by Options.Marks on
// all replicas; they are not counted.
func (m *Manager) RevokeUser(ctx context.Context, userID string) (int, error) {
	if userID == "" {
		return 0, errors.New("revoke sessions of a user: no user id")
	}
	if d, ok := m.o.Bearer.(UserDenier); ok {
		d.DenyUser(userID, m.o.Clock())
		m.watchers.tell(Change{UserID: userID})
	}
	marked := m.setMark(ctx, UserMark(userID), m.o.Clock())
	known := m.auditWhose(ctx, userID)
	keys, err := m.o.Store.DeleteUser(ctx, userID)
	for _, k := range keys {
		m.forget(k)
	}
	m.auditUserRevoked(ctx, userID, known, keys, marked == nil)
	if err = errors.Join(err, marked); err != nil {
		// Which ones went is not known, so no copy may be served.
		m.forgetAll()
		return 0, fmt.Errorf("revoke sessions of a user: %w", err)
	}
	m.metrics.revoked.Add(float64(len(keys)))
	m.countSoon()
	return len(keys), nil
}

// List returns records as Store.List does.
func (m *Manager) List(ctx context.Context, q Query) ([]*Session, error) {
	return m.o.Store.List(ctx, q)
}

// Find returns the record of a session that is live now: ErrNotFound if there
// is none.
func (m *Manager) Find(ctx context.Context, k Key) (*Session, error) {
	s, err := m.o.Store.Get(ctx, k)
	if err == nil && !s.LiveAt(m.o.Clock()) {
		return nil, ErrNotFound
	}
	return s, err
}

// updateTries bounds how often a change is tried again after another writer
// was first.
const updateTries = 8

// Update changes the identity of a live session: change is called with a copy
// that it may alter, possibly several times, and an error of it ends the
// update. Key, times, kind and version are not its to change. ErrNotFound if
// the session is over or ends meanwhile: an update never revives one.
func (m *Manager) Update(ctx context.Context, k Key, change func(*Identity) error) (*Session, error) {
	return m.update(ctx, k, func(s *Session) error { return change(&s.Identity) })
}

func (m *Manager) update(ctx context.Context, k Key, change func(*Session) error) (*Session, error) {
	for range updateTries {
		s, err := m.updateOnce(ctx, k, change)
		if !errors.Is(err, ErrConflict) {
			return s, err
		}
	}
	return nil, fmt.Errorf("update session %s: %w, %d times", k.Short(), ErrConflict, updateTries)
}

func (m *Manager) updateOnce(ctx context.Context, k Key, change func(*Session) error) (*Session, error) {
	old, err := m.o.Store.Get(ctx, k)
	if err != nil {
		return nil, err
	}
	if !old.LiveAt(m.o.Clock()) {
		return nil, ErrNotFound
	}
	s := old.Clone()
	if m.o.Grants != nil { // change sees, and changes, what the person is without a grant
		s.Identity.Ungrant()
	}
	if err := change(s); err != nil {
		return nil, err
	}
	if err := m.regrant(ctx, &s.Identity); err != nil {
		return nil, err
	}
	if s, err = m.clean(s); err != nil {
		return nil, fmt.Errorf("update session %s: %w", k.Short(), err)
	}
	s.Version, err = m.o.Store.Update(ctx, s)
	m.forget(k)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// UpdateUser changes the identity of every live session of a user id, as
// Update does, and returns how many it changed. Sessions that end meanwhile
// are passed over.
func (m *Manager) UpdateUser(ctx context.Context, userID string, change func(*Identity) error) (int, error) {
	if userID == "" {
		return 0, errors.New("update sessions of a user: no user id")
	}
	seen := make(map[Key]bool)
	q := Query{UserID: userID, Now: m.o.Clock(), Limit: 1000}
	n := 0
	for {
		page, err := m.o.Store.List(ctx, q)
		if err != nil {
			return n, err
		}
		fresh := false
		for _, s := range page {
			if seen[s.Key] {
				continue
			}
			seen[s.Key], fresh = true, true
			_, err := m.Update(ctx, s.Key, change)
			switch {
			case err == nil:
				n++
			case !errors.Is(err, ErrNotFound):
				return n, err
			}
		}
		if !fresh || len(page) < q.Limit {
			return n, nil
		}
		// A millisecond on, so that sessions begun at the same instant as the
		// page's last are not passed over: seen knows those that come again.
		q.Before = page[len(page)-1].CreatedAt.Add(time.Millisecond)
	}
}
