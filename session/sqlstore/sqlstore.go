// Package sqlstore keeps sessions in an SQL database: SQLite for one gate, and
// whatever else gets a Dialect. Everything but keys, times and what lists ask
// for is in one JSON record, so a new field needs no migration.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/session"
)

// Store implements session.Store and session.Notes.
type Store struct {
	db      *sql.DB
	d       Dialect
	owned   bool
	closed  atomic.Bool
	writing chan struct{} // nil unless the dialect has one writer
}

// New returns a Store on an open database, whose schema it brings up to date.
// Close leaves the database open.
func New(ctx context.Context, db *sql.DB, d Dialect) (*Store, error) {
	if err := d.migrate(ctx, db); err != nil {
		return nil, fmt.Errorf("session store: %w", err)
	}
	st := &Store{db: db, d: d}
	if d.oneWriter {
		st.writing = make(chan struct{}, 1)
	}
	return st, nil
}

// Open returns a Store on a SQLite file of its own, as OpenSQLite opens it.
// Close closes it.
func Open(ctx context.Context, path string) (*Store, error) {
	db, err := OpenSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	st, err := New(ctx, db, SQLite())
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	st.owned = true
	return st, nil
}

// Close implements session.Store.
func (st *Store) Close() error {
	if st.closed.Swap(true) || !st.owned {
		return nil
	}
	return st.db.Close()
}

// unavailable says that the database could not be asked, and why.
func unavailable(err error) error { return fmt.Errorf("%w: %w", session.ErrUnavailable, err) }

var errClosed = errors.New("it is closed")

// write runs one statement that changes rows and returns how many it changed.
func (st *Store) write(ctx context.Context, query string, args ...any) (int64, error) {
	done, err := st.turn(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	res, err := st.db.ExecContext(ctx, st.d.bind(query), args...)
	if err != nil {
		return 0, unavailable(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, unavailable(err)
	}
	return n, nil
}

// turn waits until this goroutine may write.
func (st *Store) turn(ctx context.Context) (done func(), err error) {
	if st.closed.Load() {
		return nil, unavailable(errClosed)
	}
	if st.writing == nil {
		return func() {}, nil
	}
	select {
	case st.writing <- struct{}{}:
		return func() { <-st.writing }, nil
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
}

// row is a session as the table has it.
func row(s *session.Session) (record []byte, created, expires, idle int64, err error) {
	record, err = session.EncodeRecord(s)
	created, expires, idle = s.CreatedAt.UnixMicro(), s.ExpiresAt.UnixMicro(), s.IdleExpiresAt.UnixMicro()
	return record, created, expires, min(idle, expires), err
}

// Create implements session.Store.
func (st *Store) Create(ctx context.Context, s *session.Session) error {
	record, created, expires, idle, err := row(s)
	if err != nil {
		return err
	}
	n, err := st.write(ctx, `INSERT INTO sessions
		(key, user_id, email, created_at, expires_at, idle_expires_at, version, record)
		VALUES (?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT (key) DO NOTHING`,
		s.Key[:], s.Identity.UserID, foldEmail(s.Identity.Email), created, expires, idle, record)
	if err == nil && n == 0 {
		return session.ErrExists
	}
	return err
}

// foldEmail makes addresses comparable whatever their case.
func foldEmail(email string) string { return strings.ToLower(email) }

const columns = `key, version, created_at, expires_at, idle_expires_at, record`

func scan(scan func(...any) error) (*session.Session, error) {
	var (
		key, record            []byte
		version                int64
		created, expires, idle int64
	)
	if err := scan(&key, &version, &created, &expires, &idle, &record); err != nil {
		return nil, err
	}
	if len(key) != len(session.Key{}) {
		return nil, fmt.Errorf("a session key of %d bytes", len(key))
	}
	s, err := session.DecodeRecord(session.Key(key), record)
	if err != nil {
		return nil, err
	}
	s.Version = uint64(version)
	s.CreatedAt = time.UnixMicro(created).UTC()
	s.ExpiresAt = time.UnixMicro(expires).UTC()
	s.IdleExpiresAt = time.UnixMicro(idle).UTC()
	return s, nil
}

// Get implements session.Store.
func (st *Store) Get(ctx context.Context, k session.Key) (*session.Session, error) {
	if st.closed.Load() {
		return nil, unavailable(errClosed)
	}
	s, err := scan(st.db.QueryRowContext(ctx, st.d.bind(`SELECT `+columns+` FROM sessions WHERE key = ?`), k[:]).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, session.ErrNotFound
	case err != nil:
		return nil, unavailable(err)
	}
	return s, nil
}

// Update implements session.Store.
func (st *Store) Update(ctx context.Context, s *session.Session) (uint64, error) {
	record, created, expires, idle, err := row(s)
	if err != nil {
		return 0, err
	}
	// A touch since s was read is not undone.
	n, err := st.write(ctx, `UPDATE sessions SET user_id = ?, email = ?, created_at = ?, expires_at = ?,
		idle_expires_at = CASE WHEN idle_expires_at > ? AND idle_expires_at <= ? THEN idle_expires_at ELSE ? END,
		version = version + 1, record = ?
		WHERE key = ? AND version = ?`,
		s.Identity.UserID, foldEmail(s.Identity.Email), created, expires, idle, expires, idle,
		record, s.Key[:], int64(s.Version))
	if err != nil {
		return 0, err
	}
	if n == 0 {
		if _, err := st.Get(ctx, s.Key); err != nil {
			return 0, err
		}
		return 0, session.ErrConflict
	}
	return s.Version + 1, nil
}

// Touch implements session.Store.
func (st *Store) Touch(ctx context.Context, k session.Key, t time.Time) error {
	at := t.UnixMicro()
	n, err := st.write(ctx, `UPDATE sessions SET idle_expires_at =
		CASE WHEN ? > expires_at THEN expires_at WHEN ? > idle_expires_at THEN ? ELSE idle_expires_at END
		WHERE key = ?`, at, at, at, k[:])
	if err == nil && n == 0 {
		return session.ErrNotFound
	}
	return err
}

// Delete implements session.Store.
func (st *Store) Delete(ctx context.Context, k session.Key) error {
	_, err := st.write(ctx, `DELETE FROM sessions WHERE key = ?`, k[:])
	return err
}

// Sweep implements session.Store.
func (st *Store) Sweep(ctx context.Context, now time.Time) (int, error) {
	n, err := st.write(ctx, `DELETE FROM sessions WHERE idle_expires_at <= ?`, now.UnixMicro())
	if err == nil {
		err = st.sweepNotes(ctx, now)
	}
	return int(n), err
}
