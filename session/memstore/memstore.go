// Package memstore keeps sessions in this process's memory: for tests and for
// a gate whose sessions may end with it.
package memstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neosc/gate/session"
)

// Store implements session.Store, session.Notes and session.Marks. The zero value is not usable: see New.
type Store struct {
	mu     sync.RWMutex
	byKey  map[session.Key]*session.Session // records are replaced, never changed
	byUser map[string]map[session.Key]struct{}
	notes  map[session.Key]session.Note
	marks  map[session.Key]keptMark
	closed bool
}

// New returns an empty Store.
func New() *Store {
	return &Store{
		byKey:  make(map[session.Key]*session.Session),
		byUser: make(map[string]map[session.Key]struct{}),
		notes:  make(map[session.Key]session.Note),
		marks:  make(map[session.Key]keptMark),
	}
}

// ready refuses work on a closed store and for a caller that has gone away.
// The lock is held.
func (st *Store) ready(ctx context.Context) error {
	if st.closed {
		return fmt.Errorf("%w: it is closed", session.ErrUnavailable)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	return nil
}

// Create implements session.Store.
func (st *Store) Create(ctx context.Context, s *session.Session) error {
	c, err := stored(s, 1)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.ready(ctx); err != nil {
		return err
	}
	if st.byKey[s.Key] != nil {
		return session.ErrExists
	}
	st.insert(c)
	return nil
}

// stored returns the record that is kept for s.
func stored(s *session.Session, version uint64) (*session.Session, error) {
	c, err := session.Canonical(s)
	if err != nil {
		return nil, err
	}
	c.Version = version
	if c.IdleExpiresAt.After(c.ExpiresAt) {
		c.IdleExpiresAt = c.ExpiresAt
	}
	return c, nil
}

func (st *Store) insert(s *session.Session) {
	st.byKey[s.Key] = s
	keys := st.byUser[s.Identity.UserID]
	if keys == nil {
		keys = make(map[session.Key]struct{})
		st.byUser[s.Identity.UserID] = keys
	}
	keys[s.Key] = struct{}{}
}

func (st *Store) remove(s *session.Session) {
	delete(st.byKey, s.Key)
	keys := st.byUser[s.Identity.UserID]
	delete(keys, s.Key)
	if len(keys) == 0 {
		delete(st.byUser, s.Identity.UserID)
	}
}

// Get implements session.Store.
func (st *Store) Get(ctx context.Context, k session.Key) (*session.Session, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := st.ready(ctx); err != nil {
		return nil, err
	}
	s := st.byKey[k]
	if s == nil {
		return nil, session.ErrNotFound
	}
	return s, nil
}

// Update implements session.Store.
func (st *Store) Update(ctx context.Context, s *session.Session) (uint64, error) {
	c, err := stored(s, s.Version+1)
	if err != nil {
		return 0, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.ready(ctx); err != nil {
		return 0, err
	}
	old := st.byKey[s.Key]
	switch {
	case old == nil:
		return 0, session.ErrNotFound
	case old.Version != s.Version:
		return 0, session.ErrConflict
	}
	if old.IdleExpiresAt.After(c.IdleExpiresAt) && !old.IdleExpiresAt.After(c.ExpiresAt) {
		c.IdleExpiresAt = old.IdleExpiresAt // touched since s was read
	}
	st.remove(old)
	st.insert(c)
	return c.Version, nil
}

// Touch implements session.Store.
func (st *Store) Touch(ctx context.Context, k session.Key, t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.ready(ctx); err != nil {
		return err
	}
	old := st.byKey[k]
	if old == nil {
		return session.ErrNotFound
	}
	if t.After(old.ExpiresAt) {
		t = old.ExpiresAt
	}
	if t.After(old.IdleExpiresAt) {
		c := *old
		c.IdleExpiresAt = t.UTC()
		st.byKey[k] = &c
	}
	return nil
}

// Delete implements session.Store.
func (st *Store) Delete(ctx context.Context, k session.Key) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.ready(ctx); err != nil {
		return err
	}
	if s := st.byKey[k]; s != nil {
		st.remove(s)
	}
	return nil
}

// DeleteUser implements session.Store.
func (st *Store) DeleteUser(ctx context.Context, userID string) ([]session.Key, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.ready(ctx); err != nil {
		return nil, err
	}
	var keys []session.Key
	for k := range st.byUser[userID] {
		keys = append(keys, k)
		delete(st.byKey, k)
	}
	delete(st.byUser, userID)
	return keys, nil
}

// List implements session.Store.
func (st *Store) List(ctx context.Context, q session.Query) ([]*session.Session, error) {
	limit, err := q.Rows()
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := st.ready(ctx); err != nil {
		return nil, err
	}
	var out []*session.Session
	for _, s := range st.byKey {
		if matches(s, q) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *session.Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return slices.Clip(out[:min(len(out), limit)]), nil
}

func matches(s *session.Session, q session.Query) bool {
	return (q.UserID == "" || q.UserID == s.Identity.UserID) &&
		(q.Email == "" || strings.EqualFold(q.Email, s.Identity.Email)) &&
		(q.Now.IsZero() || s.LiveAt(q.Now)) &&
		(q.Before.IsZero() || s.CreatedAt.Before(q.Before))
}

// CountLive implements session.Store.
func (st *Store) CountLive(ctx context.Context, now time.Time) (int, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := st.ready(ctx); err != nil {
		return 0, err
	}
	n := 0
	for _, s := range st.byKey {
		if s.LiveAt(now) {
			n++
		}
	}
	return n, nil
}

// Sweep implements session.Store.
func (st *Store) Sweep(ctx context.Context, now time.Time, ended func([]*session.Session)) (int, error) {
	gone, err := st.sweep(ctx, now)
	if len(gone) > 0 && ended != nil {
		ended(gone) // not under the lock: it may ask the store
	}
	return len(gone), err
}

func (st *Store) sweep(ctx context.Context, now time.Time) (gone []*session.Session, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.ready(ctx); err != nil {
		return nil, err
	}
	for _, s := range st.byKey {
		if !s.LiveAt(now) {
			st.remove(s)
			gone = append(gone, s)
		}
	}
	for k, note := range st.notes {
		if !note.LiveAt(now) {
			delete(st.notes, k)
		}
	}
	for k, m := range st.marks {
		if !now.Before(m.expires) {
			delete(st.marks, k)
		}
	}
	return gone, nil
}

// Close implements session.Store.
func (st *Store) Close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	st.byKey, st.byUser, st.notes, st.marks = nil, nil, nil, nil
	return nil
}
