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
func (st *Store) Sweep(ctx context.Context, now time.Time, ended func([]*session.Session)) (int, error) {
	query := st.sweeping("sessions", "idle_expires_at")
	total, n, err := 0, sweepBatch, error(nil)
	for err == nil && n == sweepBatch {
		if ended == nil {
			n, err = st.sweep(ctx, query, now)
		} else {
			n, err = st.sweepTold(ctx, query, now, ended)
		}
		total += n
	}
	for n = sweepBatch; err == nil && n == sweepBatch; {
		n, err = st.sweep(ctx, st.sweeping("notes", "expires_at"), now)
	}
	for n = sweepBatch; err == nil && n == sweepBatch; {
		n, err = st.sweep(ctx, st.sweeping("session_marks", "expires_at"), now)
	}
	return total, err
}

// sweeping is the statement that removes some rows of a table that are over.
func (st *Store) sweeping(table, end string) string {
	return fmt.Sprintf(`DELETE FROM %s WHERE key IN (SELECT key FROM %s WHERE %s <= ? ORDER BY %s LIMIT ?%s)`,
		table, table, end, end, st.d.skipLocked)
}

func (st *Store) sweep(ctx context.Context, query string, now time.Time) (int, error) {
	n, err := st.write(ctx, query, now.UnixMicro(), sweepBatch)
	return int(n), err
}

// sweepTold is sweep that says which sessions went.
func (st *Store) sweepTold(ctx context.Context, query string, now time.Time, ended func([]*session.Session)) (int, error) {
	gone, n, err := st.takeOver(ctx, query, now)
	if len(gone) > 0 {
		ended(gone)
	}
	return n, err
}

func (st *Store) takeOver(ctx context.Context, query string, now time.Time) (gone []*session.Session, n int, err error) {
	ctx, done, err := st.turn(ctx, st.timeout)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	rows, err := st.db.QueryContext(ctx, st.d.Bind(query+` RETURNING `+columns), now.UnixMicro(), sweepBatch)
	if err != nil {
		return nil, 0, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	for ; rows.Next(); n++ {
		// A record that cannot be read goes all the same.
		if s, err := scan(rows.Scan); err == nil {
			gone = append(gone, s)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, st.unavailable(err)
	}
	return gone, n, nil
}
