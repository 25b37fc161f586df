package audit

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// listTimeout bounds one page.
const listTimeout = 5 * time.Second

// Entries implements session.AuditReader.
func (t *Trail) Entries(ctx context.Context, q session.AuditQuery) ([]session.AuditEntry, error) {
	query, args, err := selection(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	rows, err := t.o.DB.QueryContext(ctx, t.o.Dialect.Bind(query), args...)
	if err != nil {
		return nil, t.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var out []session.AuditEntry
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, t.unavailable(err)
		}
		e := session.AuditEntry{Number: r.number, Hash: hex.EncodeToString(r.hash[:])}
		if err := json.Unmarshal(r.event, &e.Event); err != nil {
			return nil, t.unavailable(fmt.Errorf("entry %d: %w", r.number, err))
		}
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, t.unavailable(err)
	}
	return out, nil
}

const columns = `number, at, action, user_id, user_email, actor_id, actor_email, event, hash`

// selection is the statement of a query. A user's entries are looked up by four
// indexes, each of which gives its newest, since OR over them would have the
// database read all that somebody ever did to sort it.
func selection(q session.AuditQuery) (string, []any, error) {
	limit := q.Limit
	switch {
	case limit == 0:
		limit = 100
	case limit < 0 || limit > 1000:
		return "", nil, fmt.Errorf("audit list: limit %d is not 1 to 1000", limit)
	}
	where, args := conditions(q)
	if q.User == "" {
		return `SELECT ` + columns + ` FROM audit_entries` + whole(where) + ` ORDER BY number DESC LIMIT ?`, append(args, limit), nil
	}
	var parts []string
	var all []any
	for _, c := range []string{"user_id", "actor_id", "user_email", "actor_email"} {
		who := q.User
		if strings.HasSuffix(c, "email") {
			who = strings.ToLower(who)
		}
		parts = append(parts, `SELECT * FROM (SELECT `+columns+` FROM audit_entries`+whole(append([]string{c + " = ?"}, where...))+` ORDER BY number DESC LIMIT ?) AS `+c)
		all = append(append(append(all, clip(who, maxText)), args...), limit)
	}
	return `SELECT ` + columns + ` FROM (` + strings.Join(parts, ` UNION `) + `) AS found ORDER BY number DESC LIMIT ?`, append(all, limit), nil
}

func whole(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(where, ` AND `)
}

func conditions(q session.AuditQuery) (where []string, args []any) {
	add := func(condition string, arg any) {
		where, args = append(where, condition), append(args, arg)
	}
	if q.Action != "" {
		add("action = ?", string(q.Action))
	}
	if !q.Since.IsZero() {
		add("at >= ?", q.Since.UnixMicro())
	}
	if !q.Until.IsZero() {
		add("at < ?", q.Until.UnixMicro())
	}
	if q.Before != 0 {
		add("number < ?", int64(min(q.Before, math.MaxInt64)))
	}
	return where, args
}

func scan(rows *sql.Rows) (row, error) {
	var r row
	var number int64
	var hash []byte
	if err := rows.Scan(&number, &r.at, &r.action, &r.userID, &r.userEmail, &r.actorID, &r.actorEmail, &r.event, &hash); err != nil {
		return row{}, err
	}
	if len(hash) != len(r.hash) || number < 1 {
		return row{}, fmt.Errorf("entry %d has a hash of %d bytes", number, len(hash))
	}
	r.number, r.hash = uint64(number), Hash(hash)
	return r, nil
}
