package audit_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
)

// patience is how long a test waits for what comes by itself.
const patience = 30 * time.Second

// crowded has a trail of 5,000 entries: by four people, of two actions, every
// seventh done by ana to another. It returns once what they are found by is there, but
// for the newest.
func crowded(t *testing.T, p place, tr *audit.Trail) (all []session.Event) {
	t.Helper()
	for n := range 5000 {
		e := event([]string{"ana", "ben", "cleo", "dora"}[n%4], n)
		if n%3 == 0 {
			e.Action = session.ActionLogout
		}
		if n%7 == 0 {
			e.Actor = session.Person{ID: "ana", Email: "ana@example.com"}
		}
		all = append(all, e)
	}
	for n := 0; n < len(all); n += 250 {
		appendAll(t, tr, all[n:n+250]...)
	}
	for began, found := time.Now(), 0; found <= len(all)/4; time.Sleep(5 * time.Millisecond) {
		if err := p.db.QueryRow(`SELECT found FROM audit_head`).Scan(&found); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > patience {
			t.Fatalf("%d of %d entries have what they are found by", found, len(all))
		}
	}
	return all
}

// pages are all entries that a query selects, of a few pages each.
func pages(t *testing.T, tr *audit.Trail, q session.AuditQuery) (all []session.AuditEntry, paused int) {
	t.Helper()
	q.Limit = 700
	for {
		page, err := tr.Entries(t.Context(), q)
		all = append(all, page...)
		pause := new(session.AuditPaused)
		switch {
		case errors.As(err, &pause):
			paused++
			q.Before = pause.Before
		case err != nil:
			t.Fatal(err)
		case len(page) < q.Limit:
			return all, paused
		default:
			q.Before = page[len(page)-1].Number
		}
	}
}

func TestEntriesAreFoundWhetherTheyAreNewOrOld(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		tr := p.open(t, nil)
		events := crowded(t, p, tr)
		for name, q := range map[string]session.AuditQuery{
			"Id":        {User: "ana"},
			"Email":     {User: "BEN@example.com"},
			"Action":    {Action: session.ActionLogout},
			"Both":      {User: "cleo", Action: session.ActionLogin},
			"Time":      {User: "ana", Since: noon.Add(1000 * time.Second), Until: noon.Add(4500 * time.Second)},
			"Nobody":    {User: "nobody"},
			"NoAction":  {Action: "absent"},
			"TextOfAna": {User: "ana", Text: "49"},
		} {
			found, _ := pages(t, tr, q)
			want := 0
			for n := len(events) - 1; n >= 0; n-- {
				if !selects(q, events[n]) {
					continue
				}
				if want < len(found) && found[want].Number != uint64(n+1) {
					t.Errorf("%s: entry %d is number %d, want %d", name, want, found[want].Number, n+1)
					break
				}
				want++
			}
			if len(found) != want {
				t.Errorf("%s: %d entries, want %d", name, len(found), want)
			}
		}
	})
}

// selects says what a query is to select, in another way.
func selects(q session.AuditQuery, e session.Event) bool {
	who := q.User == "" || q.User == e.User.ID || q.User == e.Actor.ID || q.User == "BEN@example.com" && e.User.ID == "ben"
	text := strings.Contains(e.Details["n"], q.Text)
	return who && text && (q.Action == "" || q.Action == e.Action) && (q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until))
}

func TestASearchFindsTextInValuesAndNotInTheirNames(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		tr := p.open(t, nil)
		e := event("ana", 1)
		e.UserAgent, e.ClientIP = `Agent "7" <100%_!> \o/ é`, "203.0.113.9"
		e.Details = map[string]string{"reason": "Lost-Key"}
		appendAll(t, tr, event("ben", 0), e, event("ben", 2))
		for text, want := range map[string]int{
			`agent "7" <100%_!> \o/`: 1, "100_": 0, "1%9": 0, "203.0.113": 1, "LOST-key": 1, "é": 1, "example.com": 3,
			"client_ip": 0, "user_agent": 0, "success": 3, "a": 3, "none of these": 0, "\x00": 0, "\xff": 0, `\`: 1, `"`: 1,
		} {
			if found, err := tr.Entries(t.Context(), session.AuditQuery{Text: text}); err != nil || len(found) != want {
				t.Errorf("%q: %d entries, %v, want %d", text, len(found), err, want)
			}
		}
	})
}

func TestASearchThatTakesItsTimeSaysWhereItGoesOn(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	tr, err := audit.New(t.Context(), audit.Options{DB: p.db, Dialect: p.d, SearchTime: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	crowded(t, p, tr)
	for text, want := range map[string]int{"4999": 1, "nobody": 0} {
		found, paused := pages(t, tr, session.AuditQuery{Text: text})
		if len(found) != want || paused < 3 {
			t.Errorf("%q: %d entries with %d pauses, want %d with some", text, len(found), paused, want)
		}
	}
}
