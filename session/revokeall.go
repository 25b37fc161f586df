package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// setMark sets a mark where access tokens are verified by marks.
func (m *Manager) setMark(ctx context.Context, k Key, at time.Time) error {
	if m.o.Marks == nil {
		return nil
	}
	return m.o.Marks.Set(ctx, k, at)
}

// stillWanted takes a session back that was stored after everybody's were ended,
// but began before. The store is asked, since a copy may not know yet: whoever
// sets the mark lists sessions after it, and so sees this one or is seen here.
func (m *Manager) stillWanted(ctx context.Context, s *Session) error {
	if m.o.Marks == nil {
		return nil
	}
	at, err := m.o.Marks.ask(ctx, m.everyone)
	if err == nil && at <= s.CreatedAt.UnixNano() {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: all sessions were ended", ErrConflict)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unwindTime)
	defer cancel()
	return errors.Join(err, m.o.Store.Delete(ctx, s.Key))
}

// endedWithAll returns ErrInvalid for a session that began before everybody's
// were ended: deleting 100,000 records takes longer than the second in which they
// are to be over. A change of the mark drops the copies and outdates the reads
// that did not see it.
func (m *Manager) endedWithAll(ctx context.Context, s *Session) error {
	if m.o.Marks == nil {
		return nil
	}
	at, err := m.o.Marks.Latest(ctx, m.o.Clock(), m.everyone...)
	if err == nil && at > s.CreatedAt.UnixNano() {
		err = ErrInvalid
	}
	return err
}

// RevokeToken ends what the key of a session names: one with a record, as
// Revoke does, or the access token of a provider, of which there is none.
func (m *Manager) RevokeToken(ctx context.Context, k Key) error {
	_, err := m.o.Store.Get(ctx, k)
	switch {
	case err == nil || m.o.Marks == nil:
		return m.Revoke(ctx, k)
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("revoke %s: %w", k.Short(), err)
	}
	if err := m.setMark(ctx, TokenMark(k), never); err != nil {
		return fmt.Errorf("revoke %s: %w", k.Short(), err)
	}
	m.forget(k)
	m.metrics.revoked.Inc()
	m.auditEnd(ctx, NewEvent(ctx, ActionTokenRevoked, &Session{Key: k, Kind: Bearer}))
	return nil
}

// RevokeAll ends every session that began before now, and every access token
// that was issued before, and returns how many sessions there were. On an error
// some may go on; it may be called again.
func (m *Manager) RevokeAll(ctx context.Context) (int, error) {
	at := m.o.Clock()
	// From here on none of them is let in, on any replica once it has heard.
	if err := m.setMark(ctx, EveryoneMark(), at); err != nil {
		return 0, fmt.Errorf("revoke all sessions: %w", err)
	}
	e := NewEvent(ctx, ActionSessionRevoked, nil)
	e.Details = map[string]string{"sessions": "all"}
	m.auditEnd(ctx, e)
	n := 0
	// A millisecond on: sessions that begin in this one may be older.
	q := Query{Before: at.Add(time.Millisecond), Limit: 1000}
	var last []Key
	for {
		page, err := m.o.Store.List(ctx, q)
		if err != nil {
			return n, fmt.Errorf("revoke all sessions: %w", err)
		}
		keys := make([]Key, 0, len(page))
		for _, s := range page {
			keys = append(keys, s.Key)
		}
		if len(keys) == 0 {
			return n, nil
		}
		if slices.Equal(keys, last) {
			return n, fmt.Errorf("revoke all sessions: %w: what was deleted is listed again", ErrConflict)
		}
		last = keys
		ended, err := m.endAll(ctx, page)
		if n += ended; err != nil {
			return n, err
		}
	}
}

// endAll ends some sessions, sixteen at once, since each may wait for a disk or
// a replica, and tells the trail of them together. It returns how many ended.
func (m *Manager) endAll(ctx context.Context, page []*Session) (int, error) {
	errs := make([]error, len(page))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(16, len(page)) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(page)); i = next.Add(1) - 1 {
				errs[i] = m.end(ctx, page[i].Key)
			}
		})
	}
	all.Wait()
	m.countSoon()
	events := make([]Event, 0, len(page))
	for i, s := range page {
		if errs[i] == nil {
			events = append(events, NewEvent(ctx, revocation(s.Kind), s))
		}
	}
	m.auditEnd(ctx, events...)
	for _, err := range errs {
		if err != nil {
			return len(events), err
		}
	}
	return len(events), nil
}
