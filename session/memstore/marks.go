package memstore

import (
	"context"
	"time"

	"github.com/neosc/gate/session"
)

// keptMark is a mark and until when it is kept.
type keptMark struct{ at, expires time.Time }

// SetMark implements session.Marks.
func (st *Store) SetMark(ctx context.Context, k session.Key, at, expires time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.ready(ctx); err != nil {
		return err
	}
	m := st.marks[k]
	if at.After(m.at) {
		m.at = at.UTC()
	}
	if expires.After(m.expires) {
		m.expires = expires
	}
	st.marks[k] = m
	return nil
}

// GetMarks implements session.Marks.
func (st *Store) GetMarks(ctx context.Context, keys ...session.Key) ([]time.Time, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := st.ready(ctx); err != nil {
		return nil, err
	}
	out := make([]time.Time, len(keys))
	for i, k := range keys {
		out[i] = st.marks[k].at
	}
	return out, nil
}
