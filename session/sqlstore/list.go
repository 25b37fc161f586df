package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// DeleteUser implements session.Store.
func (st *Store) DeleteUser(ctx context.Context, userID string) ([]session.Key, error) {
	done, err := st.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	rows, err := st.db.QueryContext(ctx, st.d.bind(`DELETE FROM sessions WHERE user_id = ? RETURNING key`), userID)
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var keys []session.Key
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, unavailable(err)
		}
		if len(b) != len(session.Key{}) {
			return nil, unavailable(fmt.Errorf("a session key of %d bytes", len(b)))
		}
		keys = append(keys, session.Key(b))
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(err)
	}
	return keys, nil
}

// List implements session.Store.
func (st *Store) List(ctx context.Context, q session.Query) ([]*session.Session, error) {
	limit, err := q.Rows()
	if err != nil {
		return nil, err
	}
	if st.closed.Load() {
		return nil, unavailable(errClosed)
	}
	where, args := conditions(q)
	rows, err := st.db.QueryContext(ctx, st.d.bind(`SELECT `+columns+` FROM sessions`+where+
		` ORDER BY created_at DESC LIMIT ?`), append(args, limit)...)
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var out []*session.Session
	for rows.Next() {
		s, err := scan(rows.Scan)
		if err != nil {
			return nil, unavailable(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(err)
	}
	return out, nil
}

func conditions(q session.Query) (where string, args []any) {
	var parts []string
	add := func(condition string, arg any) {
		parts = append(parts, condition)
		args = append(args, arg)
	}
	if q.UserID != "" {
		add("user_id = ?", q.UserID)
	}
	if q.Email != "" {
		add("email = ?", foldEmail(q.Email))
	}
	if !q.Now.IsZero() {
		add("idle_expires_at > ?", q.Now.UnixMicro())
	}
	if !q.Before.IsZero() {
		add("created_at < ?", q.Before.UnixMicro())
	}
	if len(parts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(parts, " AND "), args
}

// CountLive implements session.Store.
func (st *Store) CountLive(ctx context.Context, now time.Time) (int, error) {
	if st.closed.Load() {
		return 0, unavailable(errClosed)
	}
	var n int
	err := st.db.QueryRowContext(ctx, st.d.bind(`SELECT count(*) FROM sessions WHERE idle_expires_at > ?`), now.UnixMicro()).Scan(&n)
	if err != nil {
		return 0, unavailable(err)
	}
	return n, nil
}
