package memstore

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

// keepable refuses what no store keeps.
func keepable(n session.Note) error {
	if len(n.Data) > session.MaxNoteSize {
		return fmt.Errorf("a note of %d bytes, at most %d are kept", len(n.Data), session.MaxNoteSize)
	}
	return nil
}

// changeNote runs f under the lock with the note that lives at k, if one does.
func (st *Store) changeNote(ctx context.Context, k session.Key, now time.Time, f func(old session.Note, lives bool) error) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.ready(ctx); err != nil {
		return err
	}
	old, ok := st.notes[k]
	return f(old, ok && old.LiveAt(now))
}

func (st *Store) keepNote(k session.Key, n session.Note) {
	st.notes[k] = session.Note{Data: bytes.Clone(n.Data), Expires: n.Expires}
}

// PutNote implements session.Notes.
func (st *Store) PutNote(ctx context.Context, k session.Key, n session.Note, now time.Time) error {
	if err := keepable(n); err != nil {
		return err
	}
	return st.changeNote(ctx, k, now, func(_ session.Note, lives bool) error {
		if lives {
			return session.ErrExists
		}
		st.keepNote(k, n)
		return nil
	})
}

// SetNote implements session.Notes.
func (st *Store) SetNote(ctx context.Context, k session.Key, n session.Note, now time.Time) error {
	if err := keepable(n); err != nil {
		return err
	}
	return st.changeNote(ctx, k, now, func(session.Note, bool) error {
		st.keepNote(k, n)
		return nil
	})
}

// SwapNote implements session.Notes.
func (st *Store) SwapNote(ctx context.Context, k session.Key, old []byte, n session.Note, now time.Time) error {
	if err := keepable(n); err != nil {
		return err
	}
	return st.changeNote(ctx, k, now, func(was session.Note, lives bool) error {
		switch {
		case !lives:
			return session.ErrNotFound
		case !bytes.Equal(was.Data, old):
			return session.ErrConflict
		}
		st.keepNote(k, n)
		return nil
	})
}

// GetNote implements session.Notes.
func (st *Store) GetNote(ctx context.Context, k session.Key, now time.Time) (session.Note, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := st.ready(ctx); err != nil {
		return session.Note{}, err
	}
	n, ok := st.notes[k]
	if !ok || !n.LiveAt(now) {
		return session.Note{}, session.ErrNotFound
	}
	return session.Note{Data: bytes.Clone(n.Data), Expires: n.Expires}, nil
}

// TakeNote implements session.Notes.
func (st *Store) TakeNote(ctx context.Context, k session.Key, now time.Time) (session.Note, error) {
	var n session.Note
	err := st.changeNote(ctx, k, now, func(old session.Note, lives bool) error {
		if !lives {
			return session.ErrNotFound
		}
		delete(st.notes, k)
		n = old
		return nil
	})
	return n, err
}
