package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// searchTime is how long a search looks through entries where nothing is said: a
	// page is to be there within 50 ms, and what is begun is brought to its end.
	searchTime = 25 * time.Millisecond
	// searchFirst is how many numbers are looked through at first, and searchGrows
	// how many times as many next when that took less than a quarter of the time.
	searchFirst = 1024
	searchGrows = 4
)

// search looks for q.Text in entries, the newest first, range of numbers by range,
// until it has a page or its time is over.
func (t *Trail) search(ctx context.Context, q session.AuditQuery, from, to uint64) ([]session.AuditEntry, error) {
	if len(q.Text) > maxText {
		return nil, fmt.Errorf("audit list: a text of %d bytes, at most %d", len(q.Text), maxText)
	}
	if q.Limit == 0 {
		q.Limit = 100
	}
	end, err := t.end(ctx, q, to)
	if err != nil {
		return nil, err
	}
	var out []session.AuditEntry
	began, width, text := time.Now(), uint64(searchFirst), strings.ToLower(q.Text)
	for end > max(from, 1) {
		at, start := time.Now(), max(from, 1)
		if end-start > width {
			start = end - width
		}
		rows, err := t.selected(ctx, q, start, end)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			e, err := r.entry()
			if err != nil {
				return nil, t.unavailable(err)
			}
			if !says(e, text) {
				continue
			}
			if out = append(out, e); len(out) == q.Limit {
				return out, nil
			}
		}
		if end = start; len(rows) == q.Limit { // there may be more than fitted
			end = rows[len(rows)-1].number
		}
		now := time.Now()
		if end > max(from, 1) && now.Sub(began) > t.o.SearchTime {
			return out, &session.AuditPaused{Before: end}
		}
		if now.Sub(at) < t.o.SearchTime/4 {
			width *= searchGrows
		}
	}
	return out, nil
}

// end is the number after the last that is to be looked at.
func (t *Trail) end(ctx context.Context, q session.AuditQuery, to uint64) (uint64, error) {
	if q.Before != 0 {
		to = min(to, q.Before)
	}
	if to < math.MaxInt64 {
		return to, nil
	}
	head, err := scanHead(t.o.DB.QueryRowContext(ctx, `SELECT number, hash FROM audit_head WHERE one = 1`))
	if err != nil {
		return 0, t.unavailable(err)
	}
	return head.Number + 1, nil
}

// likeText is the pattern of a text as it is within JSON.
func likeText(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil { // it is a string
		return "%"
	}
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(string(quoted[1:len(quoted)-1])) + "%"
}

// says reports whether a value of an entry has a text, of which the letters are
// small. The database has looked for it in the names of values as well.
func says(e session.AuditEntry, text string) bool {
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	for _, s := range []string{
		string(e.Action), e.User.ID, e.User.Email, e.Event.Actor.ID, e.Event.Actor.Email, e.Organization, e.Session,
		e.ClientIP, e.UserAgent, e.RequestID, string(e.Outcome),
	} {
		if has(s) {
			return true
		}
	}
	for name, value := range e.Details {
		if has(value) || has(name) {
			return true
		}
	}
	return false
}
