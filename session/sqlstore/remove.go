package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// sweepBatch is how many rows one statement of a sweep removes: some
	// milliseconds, after which others have their turn.
	sweepBatch = 500
	// endLife is how long the end of all of a user's sessions is remembered:
	// much longer than a Create can be under way.
	endLife = 24 * time.Hour
)

// Delete implements session.Store.
func (st *Store) Delete(ctx context.Context, k session.Key) error {
	ctx, done, err := st.turn(ctx, st.timeout)
	if err != nil {
		return err
	}
	defer done()
	return st.again(ctx, func() error {
		_, err := st.exec(ctx, `DELETE FROM sessions WHERE key = ?`, k[:])
		return err
	})
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// DeleteUser implements session.Store.
func (st *Store) DeleteUser(ctx context.Context, userID string) ([]session.Key, error) {
	ctx, done, err := st.turn(ctx, st.bulk)
	if err != nil {
		return nil, err
	}
	defer done()
	return st.deleteUser(ctx, st.db, userID)
}

func (st *Store) deleteUser(ctx context.Context, q querier, userID string) ([]session.Key, error) {
	rows, err := q.QueryContext(ctx, st.d.Bind(`DELETE FROM sessions WHERE user_id = ? RETURNING key`), term(userID))
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var keys []session.Key
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, st.unavailable(err)
		}
		if len(b) != len(session.Key{}) {
			return nil, st.unavailable(fmt.Errorf("a session key of %d bytes", len(b)))
		}
		keys = append(keys, session.Key(b))
	}
	if err := rows.Err(); err != nil {
		return nil, st.unavailable(err)
	}
	return keys, nil
}

// Sweep implements session.Store.
func (st *Store) Sweep(ctx context.Context, now time.Time) (int, error) {
	n, err := st.sweep(ctx, "sessions", "idle_expires_at", now)
	if err == nil {
		_, err = st.sweep(ctx, "notes", "expires_at", now)
	}
	return n, err
}

// sweep removes the rows of a table that ended at now or before.
func (st *Store) sweep(ctx context.Context, table, end string, now time.Time) (int, error) {
	query := fmt.Sprintf(`DELETE FROM %s WHERE key IN (SELECT key FROM %s WHERE %s <= ? ORDER BY %s LIMIT ?%s)`,
		table, table, end, end, st.d.skipLocked)
	total := 0
	for {
		n, err := st.write(ctx, query, now.UnixMicro(), sweepBatch)
		total += int(n)
		if err != nil || n < sweepBatch {
			return total, err
		}
	}
}
