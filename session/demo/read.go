package demo

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// ActiveGrant implements session.Grants: of several, the one that ends last.
func (st *Store) ActiveGrant(ctx context.Context, userID string) (session.DemoGrant, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := scan(st.db.QueryRowContext(ctx, st.sql(`SELECT `+columns+` FROM demo_grants WHERE user_id = ? AND status = 'active' AND expires_at > {now}
		ORDER BY expires_at DESC, id LIMIT 1`), userID).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return session.DemoGrant{}, false, nil
	}
	if err != nil {
		return session.DemoGrant{}, false, st.unavailable(err)
	}
	return r.DemoGrant, true, nil
}

// KnownGrant implements session.Grants.
func (st *Store) KnownGrant(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var n int
	if err := st.db.QueryRowContext(ctx, st.sql(`SELECT count(*) FROM demo_grants WHERE id = ?`), id).Scan(&n); err != nil {
		return false, st.unavailable(err)
	}
	return n > 0, nil
}

// CountWorkspaces implements session.Workspaces: those of grants that are active
// or made ready.
func (st *Store) CountWorkspaces(ctx context.Context, organizations []string) (map[string]int, error) {
	if len(organizations) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	args := make([]any, 0, len(organizations))
	for _, o := range organizations {
		args = append(args, o)
	}
	rows, err := st.db.QueryContext(ctx, st.sql(`SELECT organization_id, count(*) FROM demo_grants
		WHERE `+isLive+` AND status <> 'pending' AND organization_id IN (`+marks(len(args))+`) GROUP BY organization_id`), args...)
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			return nil, st.unavailable(err)
		}
		out[id] = n
	}
	if err := rows.Err(); err != nil {
		return nil, st.unavailable(err)
	}
	return out, nil
}

// grant returns one: session.ErrNoDemo if there is none.
func (st *Store) grant(ctx context.Context, id string) (*row, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := scan(st.db.QueryRowContext(ctx, st.sql(`SELECT `+columns+` FROM demo_grants WHERE id = ?`), id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, session.ErrNoDemo
	}
	if err != nil {
		return nil, st.unavailable(err)
	}
	return r, nil
}

// page lists grants, the newest first.
func (st *Store) page(ctx context.Context, q session.DemoQuery) (session.DemoPage, error) {
	if q.Limit == 0 {
		q.Limit = 100
	}
	if q.Limit < 0 || q.Limit > 1000 {
		return session.DemoPage{}, fmt.Errorf("%w: a limit of %d is not from 1 to 1000", session.ErrBadDemo, q.Limit)
	}
	where, args := []string{"1 = 1"}, []any{}
	add := func(cond string, values ...any) { where, args = append(where, cond), append(args, values...) }
	if q.UserID != "" {
		add("user_id = ?", q.UserID)
	}
	if q.Status != "" {
		add("status = ?", string(q.Status))
	}
	if q.Live {
		add(isLive)
	}
	if q.After != "" {
		at, id, err := parseCursor(q.After)
		if err != nil {
			return session.DemoPage{}, fmt.Errorf("%w: it is not where a listing goes on: %q", session.ErrBadDemo, clip(q.After, 64))
		}
		add("(requested_at < ? OR (requested_at = ? AND id < ?))", at, at, id)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := scanAll(st.db.QueryContext(ctx, st.sql(`SELECT `+columns+` FROM demo_grants WHERE `+strings.Join(where, " AND ")+`
		ORDER BY requested_at DESC, id DESC LIMIT ?`), append(args, q.Limit+1)...))
	if err != nil {
		return session.DemoPage{}, st.unavailable(err)
	}
	out := session.DemoPage{Grants: []session.DemoGrant{}}
	for i, r := range found {
		if i == q.Limit {
			last := found[i-1]
			out.Next = cursor(column(last.RequestedAt), last.ID)
			break
		}
		out.Grants = append(out.Grants, r.DemoGrant)
	}
	return out, nil
}

func cursor(at int64, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(at, 10) + "." + id))
}

func parseCursor(s string) (at int64, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) > 200 {
		return 0, "", errors.New("not a cursor")
	}
	first, id, ok := strings.Cut(string(b), ".")
	if !ok {
		return 0, "", errors.New("not a cursor")
	}
	at, err = strconv.ParseInt(first, 10, 64)
	return at, id, err
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// counts returns how many grants of each state there are that somebody has to look
// at: those that have not ended, and those whose things are not all gone. An index
// holds all that it needs, for there may be very many.
func (st *Store) counts(ctx context.Context) (map[session.GrantStatus]int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := st.db.QueryContext(ctx, st.sql(`SELECT status, count(*) FROM demo_grants WHERE due_at IS NOT NULL GROUP BY status`))
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[session.GrantStatus]int{}
	for rows.Next() {
		var status session.GrantStatus
		var n int
		if err := rows.Scan(&status, &n); err != nil {
			return nil, st.unavailable(err)
		}
		out[status] = n
	}
	if err := rows.Err(); err != nil {
		return nil, st.unavailable(err)
	}
	return out, nil
}

// oldest returns how long ago the first of those grants ended of which not all is
// gone; 0 if there is none.
func (st *Store) oldest(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var ended sql.NullInt64
	var now int64
	err := st.db.QueryRowContext(ctx, st.sql(`SELECT min(ended_at), {now} FROM demo_grants WHERE due_at IS NOT NULL AND status IN ('expired', 'revoked', 'failed', 'refused')`)).Scan(&ended, &now)
	if err != nil {
		return 0, st.unavailable(err)
	}
	if !ended.Valid {
		return 0, nil
	}
	return max(0, time.Duration(now-ended.Int64)*time.Microsecond), nil
}
