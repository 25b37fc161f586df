package session

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Change is what a Manager tells its watchers: which sessions are to be looked
// at again. The zero Change means any may have changed.
type Change struct {
	// Key is a record that was changed, ended or found to be gone.
	Key Key
	// UserID is a user whose access tokens were taken back; of records that went
	// with them each is told by its Key as well.
	UserID string
}

// watchers are those who want to be told of changes.
type watchers struct {
	mu   sync.RWMutex
	all  map[int]func(Change)
	next int
}

// Watch registers f, called with each change of a session that this process
// makes or hears of, after local copies of it were dropped: what Live says from
// then on is the new state. f must not block and may be called from many
// goroutines at once; stop must not be called from it.
func (m *Manager) Watch(f func(Change)) (stop func()) {
	w := &m.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[int]func(Change))
	}
	id := w.next
	w.next++
	w.all[id] = f
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, id)
	}
}

func (w *watchers) tell(c Change) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, f := range w.all {
		f(c)
	}
}

// forget drops the local copy of k and tells those who watch.
func (m *Manager) forget(k Key) {
	m.live.forget(k)
	m.watchers.tell(Change{Key: k})
}

// forgetAll does it for every session.
func (m *Manager) forgetAll() {
	m.live.forgetAll()
	m.watchers.tell(Change{})
}

// Live returns a session that is live at now and until when it is, unless it is
// used before: ErrInvalid if it is over, an error that wraps ErrUnavailable if
// that cannot be told. It does not count as a use.
func (m *Manager) Live(ctx context.Context, k Key, now time.Time) (*Session, time.Time, error) {
	ns := now.UnixNano()
	c, err := m.find(ctx, k, ns, m.fresh(ns))
	if err != nil {
		return nil, time.Time{}, err
	}
	s := m.session(c)
	if s == nil {
		return nil, time.Time{}, fmt.Errorf("%w: the local copy is damaged", ErrUnavailable)
	}
	return s, time.Unix(0, min(c.expires, c.idle.Load())), nil
}

// FreshUntil is that of the store's feed, and whether there is one: without, the
// store is this process's own and every change is known.
func (m *Manager) FreshUntil() (until time.Time, shared bool) {
	if m.feed == nil {
		return time.Time{}, false
	}
	return m.feed.FreshUntil(), true
}
