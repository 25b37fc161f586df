// Package sqlstore keeps sessions in an SQL database: SQLite for one gate,
// Postgres for gates that share them and tell each other what changed.
// Everything but keys, times and what lists ask for is in one JSON record, so
// a new field needs no migration.
package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/neosc/gate/session"
)

// Store implements session.Store, session.Notes and session.Marks.
type Store struct {
	db      *sql.DB
	d       Dialect
	owned   bool
	closed  atomic.Bool
	writing chan struct{} // nil unless the dialect has one writer
	// timeout bounds a call, and bulk one that goes through many rows; 0 leaves
	// that to the caller.
	timeout, bulk time.Duration
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
func (st *Store) unavailable(err error) error {
	return fmt.Errorf("%w: %w", session.ErrUnavailable, st.d.Tidy(err))
}

var errClosed = errors.New("it is closed")

// begin bounds a call by time.
func (st *Store) begin(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc, error) {
	if st.closed.Load() {
		return nil, nil, st.unavailable(errClosed)
	}
	if most == 0 {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	return ctx, cancel, nil
}

// again runs f, which does the same however often it runs, anew for as long as
// connections turn out to be lost: after a restart of the database each one in
// the pool is, and none of those is a reason to refuse anybody.
func (st *Store) again(ctx context.Context, f func() error) error {
	err := f()
	if st.d.lost == nil {
		return err
	}
	for n := st.db.Stats().MaxOpenConnections; n > 0 && ctx.Err() == nil && st.d.lost(err); n-- {
		err = f()
	}
	return err
}

// write runs one statement that changes rows and returns how many it changed.
func (st *Store) write(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, done, err := st.turn(ctx, st.timeout)
	if err != nil {
		return 0, err
	}
	defer done()
	return st.exec(ctx, query, args...)
}

func (st *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := st.db.ExecContext(ctx, st.d.Bind(query), args...)
	if err != nil {
		return 0, st.unavailable(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, st.unavailable(err)
	}
	return n, nil
}

// turn is begin for a call that writes: it waits until this goroutine may.
func (st *Store) turn(ctx context.Context, most time.Duration) (context.Context, func(), error) {
	ctx, cancel, err := st.begin(ctx, most)
	if err != nil || st.writing == nil {
		return ctx, cancel, err
	}
	select {
	case st.writing <- struct{}{}:
		return ctx, func() { <-st.writing; cancel() }, nil
	case <-ctx.Done():
		cancel()
		return nil, nil, st.unavailable(ctx.Err())
	}
}

// row is a session as the table has it.
func row(s *session.Session) (record []byte, created, expires, idle int64, err error) {
	record, err = session.EncodeRecord(s)
	created, expires, idle = s.CreatedAt.UnixMicro(), s.ExpiresAt.UnixMicro(), s.IdleExpiresAt.UnixMicro()
	return record, created, expires, min(idle, expires), err
}

// Create implements session.Store. On Postgres it also returns
// session.ErrConflict if DeleteUser ended the user's sessions after
// s.CreatedAt: a sign-in that was under way then does not survive it.
func (st *Store) Create(ctx context.Context, s *session.Session) error {
	record, created, expires, idle, err := row(s)
	if err != nil {
		return err
	}
	n, err := st.write(ctx, `INSERT INTO sessions
		(key, user_id, email, created_at, expires_at, idle_expires_at, version, record)
		VALUES (?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT (key) DO NOTHING`,
		s.Key[:], term(s.Identity.UserID), term(foldEmail(s.Identity.Email)), created, expires, idle, record)
	switch {
	case wasEnded(err):
		return fmt.Errorf("%w: the user's sessions were ended", session.ErrConflict)
	case err == nil && n == 0:
		return session.ErrExists
	}
	return err
}

// foldEmail makes addresses comparable whatever their case.
func foldEmail(email string) string { return strings.ToLower(email) }

const (
	// longestTerm bounds what is indexed: Postgres refuses index rows above
	// 2704 bytes.
	longestTerm = 512
	hashedTerm  = "sha256:"
)

// term is what lists look a user id or an email up by: itself, or its hash if
// it is too long for an index or no text that every database takes.
func term(s string) string {
	if len(s) <= longestTerm && utf8.ValidString(s) && !strings.Contains(s, "\x00") && !strings.HasPrefix(s, hashedTerm) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hashedTerm + hex.EncodeToString(sum[:])
}

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
	ctx, done, err := st.begin(ctx, st.timeout)
	if err != nil {
		return nil, err
	}
	defer done()
	var s *session.Session
	err = st.again(ctx, func() (err error) {
		s, err = scan(st.db.QueryRowContext(ctx, st.d.Bind(`SELECT `+columns+` FROM sessions WHERE key = ?`), k[:]).Scan)
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, session.ErrNotFound
	case err != nil:
		return nil, st.unavailable(err)
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
		term(s.Identity.UserID), term(foldEmail(s.Identity.Email)), created, expires, idle, expires, idle,
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
