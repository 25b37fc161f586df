package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// List implements session.Store.
func (st *Store) List(ctx context.Context, q session.Query) ([]*session.Session, error) {
	limit, err := q.Rows()
	if err != nil {
		return nil, err
	}
	ctx, done, err := st.begin(ctx, st.bulk)
	if err != nil {
		return nil, err
	}
	defer done()
	where, args := conditions(q)
	query := st.d.Bind(`SELECT ` + columns + ` FROM sessions` + where + ` ORDER BY created_at DESC LIMIT ?`)
	var out []*session.Session
	err = st.again(ctx, func() (err error) {
		out, err = st.list(ctx, query, append(args, limit))
		return err
	})
	if err != nil {
		return nil, st.unavailable(err)
	}
	return out, nil
}

func (st *Store) list(ctx context.Context, query string, args []any) ([]*session.Session, error) {
	rows, err := st.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []*session.Session
	for rows.Next() {
		s, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

func conditions(q session.Query) (where string, args []any) {
	var parts []string
	add := func(condition string, arg any) {
		parts = append(parts, condition)
		args = append(args, arg)
	}
	if q.UserID != "" {
		add("user_id = ?", term(q.UserID))
	}
	if q.Email != "" {
		add("email = ?", term(foldEmail(q.Email)))
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
	ctx, done, err := st.begin(ctx, st.bulk)
	if err != nil {
		return 0, err
	}
	defer done()
	var n int
	err = st.again(ctx, func() error {
		return st.db.QueryRowContext(ctx, st.d.Bind(`SELECT count(*) FROM sessions WHERE idle_expires_at > ?`), now.UnixMicro()).Scan(&n)
	})
	if err != nil {
		return 0, st.unavailable(err)
	}
	return n, nil
}
