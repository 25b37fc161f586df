package audit

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// listTimeout bounds one page.
const listTimeout = 5 * time.Second

// Entries implements session.AuditReader.
func (t *Trail) Entries(ctx context.Context, q session.AuditQuery) ([]session.AuditEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	from, to, err := t.between(ctx, q)
	if err != nil {
		return nil, t.unavailable(err)
	}
	if q.Text != "" {
		return t.search(ctx, q, from, to)
	}
	rows, err := t.selected(ctx, q, from, to)
	if err != nil {
		return nil, err
	}
	var out []session.AuditEntry
	for _, r := range rows {
		e, err := r.entry()
		if err != nil {
			return nil, t.unavailable(err)
		}
		out = append(out, e)
	}
	return out, nil
}

// entry is a row as it is shown.
func (r row) entry() (session.AuditEntry, error) {
	e := session.AuditEntry{Number: r.number, Hash: hex.EncodeToString(r.hash[:])}
	if err := json.Unmarshal(r.event, &e.Event); err != nil {
		return e, fmt.Errorf("entry %d: %w", r.number, err)
	}
	return e, nil
}

// selected returns what a query selects of a range of numbers: what is not in the tail
// yet, what is, and what was added before.
func (t *Trail) selected(ctx context.Context, q session.AuditQuery, from, to uint64) (out []row, err error) {
	switch {
	case q.Limit == 0:
		q.Limit = 100
	case q.Limit < 0 || q.Limit > 1000:
		return nil, fmt.Errorf("audit list: limit %d is not 1 to 1000", q.Limit)
	}
	if q.Before != 0 {
		to = min(to, q.Before)
	}
	ask := func(statement func(session.AuditQuery, uint64, uint64) (string, []any), from, to uint64) error {
		if from >= to || q.Limit <= 0 {
			return nil
		}
		query, args := statement(q, from, to)
		rows, err := t.ask(ctx, query, args)
		out, q.Limit = append(out, rows...), q.Limit-len(rows)
		return err
	}
	for q.Limit > 0 {
		numbers, after, last := t.tail.match(q, from, to)
		if after == last {
			break
		}
		if err := ask(t.selection, last+1, to); err != nil {
			return nil, err
		}
		to = after + 1
		if len(numbers) == 0 {
			break
		}
		these := func(q session.AuditQuery, _, _ uint64) (string, []any) { return t.selectionOf(q, numbers) }
		if err := ask(these, to, last+1); err != nil {
			return nil, err
		}
	}
	if err := ask(t.selection, from, to); err != nil {
		return nil, err
	}
	return out, nil
}

// ask returns the rows of a statement.
func (t *Trail) ask(ctx context.Context, query string, args []any) (out []row, err error) {
	rows, err := t.o.DB.QueryContext(ctx, t.o.Dialect.Bind(query), args...)
	if err != nil {
		return nil, t.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, t.unavailable(err)
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, t.unavailable(err)
	}
	return out, nil
}

const columns = `number, at, action, user_id, user_email, actor_id, actor_email, event, hash`

// newestFirst ends each statement.
const newestFirst = ` ORDER BY number DESC LIMIT ?`

// selection is the statement of a query: entries of somebody, or of an action, by
// audit_finds, and those that are not in it yet by looking through them. With several
// parts each gives its newest, since OR over them would have the database read all that
// somebody ever did to sort it.
func (t *Trail) selection(q session.AuditQuery, from, to uint64) (string, []any) {
	where, args := t.conditions(q, from, to)
	if q.User == "" && q.Action == "" {
		return `SELECT ` + columns + ` FROM audit_entries` + whole(where) + newestFirst, append(args, q.Limit)
	}
	who, email, somebody, whose := ofUser(q)
	keys := []string{"a" + string(q.Action)}
	if q.User != "" {
		keys = []string{"u" + who, "e" + email}
	}
	// One bound from below: with two, the database may begin at the lower one.
	largest := `MAX`
	if !t.o.Dialect.InProcess() {
		largest = `GREATEST`
	}
	recent, recentArgs := t.conditions(q, 0, to)
	recent = append(append([]string{`number > (SELECT ` + largest + `(found, ?) FROM audit_head WHERE one = 1)`}, somebody...), recent...)
	recentArgs = append(append([]any{int64(max(from, 1) - 1)}, whose...), recentArgs...)
	part := `SELECT * FROM (SELECT ` + columns + ` FROM `
	parts := []string{part + `audit_entries` + whole(recent) + newestFirst + `) AS recent`}
	all := append(recentArgs, q.Limit)
	for i, key := range keys {
		parts = append(parts, part+`audit_finds JOIN audit_entries USING (number)`+whole(append([]string{`who = ?`}, where...))+newestFirst+`) AS found`+strconv.Itoa(i))
		all = append(append(append(all, key), args...), q.Limit)
	}
	return `SELECT ` + columns + ` FROM (` + strings.Join(parts, ` UNION `) + `) AS found` + newestFirst, append(all, q.Limit)
}

// selectionOf is the statement of a query among entries of these numbers.
func (t *Trail) selectionOf(q session.AuditQuery, numbers []uint64) (string, []any) {
	list := make([]byte, 0, 10*len(numbers)+16)
	list = append(list, `number IN (`...)
	for i, n := range numbers {
		if i > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendUint(list, n, 10)
	}
	where, args := t.conditions(q, 0, math.MaxInt64)
	_, _, somebody, whose := ofUser(q)
	where = append(append([]string{string(append(list, ')'))}, somebody...), where...)
	return `SELECT ` + columns + ` FROM audit_entries` + whole(where) + newestFirst, append(append(whose, args...), q.Limit)
}

// ofUser returns q.User as an id and as an email, and what is true of an entry of
// somebody of whom that is either.
func ofUser(q session.AuditQuery) (who, email string, where []string, args []any) {
	if q.User == "" {
		return "", "", nil, nil
	}
	who, email = clip(q.User, maxText), clip(strings.ToLower(q.User), maxText)
	return who, email, []string{`(user_id = ? OR actor_id = ? OR user_email = ? OR actor_email = ?)`}, []any{who, who, email, email}
}

// skew is how far an entry's time may be from when it was added: gates that share
// a trail have clocks of their own, and decisions wait in a queue.
const skew = 5 * time.Minute

// between returns the numbers that entries from q.Since to q.Until have: from
// the first to before the second. Else the database would read all entries that
// are newer, or sort all that are in the time. One whose time is two skews off was
// added a skew off at least, and so before all that are sought, or after them.
func (t *Trail) between(ctx context.Context, q session.AuditQuery) (from, to uint64, err error) {
	from, to = 0, math.MaxInt64
	if !q.Since.IsZero() {
		if from, err = bisect(ctx, t.o.DB, t.o.Dialect, q.Since.Add(-2*skew)); err != nil {
			return 0, 0, err
		}
	}
	if !q.Until.IsZero() {
		to, err = bisect(ctx, t.o.DB, t.o.Dialect, q.Until.Add(2*skew))
	}
	return from, to, err
}

// bisect returns a number where entries begin to be of an instant or later, the
// one after the last if none is. As times are in order but for skew, all that
// were added a skew before the instant are before it, and all that were added a
// skew after it are not.
func bisect(ctx context.Context, db *sql.DB, d Dialect, at time.Time) (uint64, error) {
	var first, last sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT (SELECT MIN(number) FROM audit_entries), (SELECT MAX(number) FROM audit_entries)`).Scan(&first, &last); err != nil {
		return 0, err
	}
	if !last.Valid {
		return 0, nil
	}
	// Some 20 steps for a million entries. Numbers may be missing where somebody
	// has tampered.
	low, high := first.Int64, last.Int64+1
	for low < high {
		middle := low + (high-low)/2
		var number, its int64
		err := db.QueryRowContext(ctx, d.Bind(`SELECT number, at FROM audit_entries WHERE number >= ? ORDER BY number LIMIT 1`), middle).Scan(&number, &its)
		switch {
		case errors.Is(err, sql.ErrNoRows), err == nil && its >= at.UnixMicro():
			high = middle
		case err != nil:
			return 0, err
		default:
			low = number + 1
		}
	}
	return uint64(low), nil
}

func whole(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(where, ` AND `)
}

func (t *Trail) conditions(q session.AuditQuery, from, to uint64) (where []string, args []any) {
	add := func(condition string, arg any) {
		where, args = append(where, condition), append(args, arg)
	}
	if q.Action != "" {
		add("action = ?", string(q.Action))
	}
	if q.Text != "" {
		text := "CAST(event AS TEXT) LIKE ?"
		if !t.o.Dialect.InProcess() {
			text = "convert_from(event, 'UTF8') ILIKE ?"
		}
		add(text+` ESCAPE '!'`, likeText(q.Text))
	}
	if !q.Since.IsZero() {
		add("at >= ?", q.Since.UnixMicro())
	}
	if !q.Until.IsZero() {
		add("at < ?", q.Until.UnixMicro())
	}
	if from > 0 {
		add("number >= ?", int64(from))
	}
	if q.Before != 0 {
		to = min(to, q.Before)
	}
	if to < math.MaxInt64 {
		add("number < ?", int64(to))
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
