package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

// noteData returns what is kept of a note; never NULL.
func noteData(n session.Note) ([]byte, error) {
	if len(n.Data) > session.MaxNoteSize {
		return nil, fmt.Errorf("a note of %d bytes, at most %d are kept", len(n.Data), session.MaxNoteSize)
	}
	if n.Data == nil {
		return []byte{}, nil
	}
	return n.Data, nil
}

// PutNote implements session.Notes.
func (st *Store) PutNote(ctx context.Context, k session.Key, n session.Note, now time.Time) error {
	data, err := noteData(n)
	if err != nil {
		return err
	}
	changed, err := st.write(ctx, `INSERT INTO notes (key, expires_at, data) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, data = excluded.data
		WHERE notes.expires_at <= ?`, k[:], n.Expires.UnixMicro(), data, now.UnixMicro())
	if err == nil && changed == 0 {
		return session.ErrExists
	}
	return err
}

// SetNote implements session.Notes.
func (st *Store) SetNote(ctx context.Context, k session.Key, n session.Note, _ time.Time) error {
	data, err := noteData(n)
	if err != nil {
		return err
	}
	_, err = st.write(ctx, `INSERT INTO notes (key, expires_at, data) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, data = excluded.data`,
		k[:], n.Expires.UnixMicro(), data)
	return err
}

// SwapNote implements session.Notes.
func (st *Store) SwapNote(ctx context.Context, k session.Key, old []byte, n session.Note, now time.Time) error {
	data, err := noteData(n)
	if err != nil {
		return err
	}
	if old == nil {
		old = []byte{}
	}
	changed, err := st.write(ctx, `UPDATE notes SET expires_at = ?, data = ? WHERE key = ? AND data = ? AND expires_at > ?`,
		n.Expires.UnixMicro(), data, k[:], old, now.UnixMicro())
	if err != nil {
		return err
	}
	if changed == 0 {
		if _, err := st.GetNote(ctx, k, now); err != nil {
			return err
		}
		return session.ErrConflict
	}
	return nil
}

// GetNote implements session.Notes.
func (st *Store) GetNote(ctx context.Context, k session.Key, now time.Time) (session.Note, error) {
	ctx, done, err := st.begin(ctx, st.timeout)
	if err != nil {
		return session.Note{}, err
	}
	defer done()
	var n session.Note
	err = st.again(ctx, func() (err error) {
		n, err = scanNote(st.db.QueryRowContext(ctx, st.d.Bind(`SELECT expires_at, data FROM notes WHERE key = ? AND expires_at > ?`), k[:], now.UnixMicro()))
		return err
	})
	return n, st.noteErr(err)
}

// TakeNote implements session.Notes.
func (st *Store) TakeNote(ctx context.Context, k session.Key, now time.Time) (session.Note, error) {
	ctx, done, err := st.turn(ctx, st.timeout)
	if err != nil {
		return session.Note{}, err
	}
	defer done()
	n, err := scanNote(st.db.QueryRowContext(ctx, st.d.Bind(`DELETE FROM notes WHERE key = ? AND expires_at > ? RETURNING expires_at, data`), k[:], now.UnixMicro()))
	return n, st.noteErr(err)
}

func scanNote(row *sql.Row) (session.Note, error) {
	var (
		expires int64
		data    []byte
	)
	if err := row.Scan(&expires, &data); err != nil {
		return session.Note{}, err
	}
	return session.Note{Data: data, Expires: time.UnixMicro(expires).UTC()}, nil
}

func (st *Store) noteErr(err error) error {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return session.ErrNotFound
	case err != nil:
		return st.unavailable(err)
	}
	return nil
}
