package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// place is a database for a trail.
type place struct {
	db *sql.DB
	d  audit.Dialect
	// tamper undoes what keeps the trail append-only, as its owner can.
	tamper []string
	shared bool // several gates may write to it
}

func onSQLite(t testing.TB) place {
	t.Helper()
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "audit.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return place{db, sqlstore.SQLite(), []string{`DROP TRIGGER audit_no_update`, `DROP TRIGGER audit_no_delete`}, false}
}

func onPostgres(t testing.TB) place {
	t.Helper()
	s, err := pgtest.New("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	st, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresOptions{URL: s.URL, Timeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return place{st.DB(), sqlstore.Postgres(), []string{`DROP TRIGGER audit_append_only ON audit_entries`, `DROP TRIGGER audit_no_delete ON audit_entries`}, true}
}

func (p place) open(t testing.TB, reg prometheus.Registerer) *audit.Trail {
	t.Helper()
	tr, err := audit.New(t.Context(), audit.Options{DB: p.db, Dialect: p.d, Clock: func() time.Time { return noon }, Logger: slog.New(slog.DiscardHandler), Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func event(user string, n int) session.Event {
	return session.Event{
		Time: noon.Add(time.Duration(n) * time.Second), Action: session.ActionLogin, Outcome: session.OutcomeSuccess,
		Actor: session.Person{ID: user, Email: user + "@Example.com"}, User: session.Person{ID: user, Email: user + "@Example.com"},
		Details: map[string]string{"n": fmt.Sprint(n)},
	}
}

func appendAll(t testing.TB, tr *audit.Trail, events ...session.Event) {
	t.Helper()
	if err := tr.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

func verify(t testing.TB, p place, known audit.Head) (audit.Head, error) {
	t.Helper()
	span, err := audit.Verify(context.Background(), p.db, p.d, audit.Expected{Known: []audit.Head{known}})
	return span.End, err
}

// everywhere runs a test on both databases.
func everywhere(t *testing.T, test func(*testing.T, place)) {
	for name, open := range map[string]func(testing.TB) place{"SQLite": onSQLite, "Postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func TestManyWritersMakeOneChain(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		trails := []*audit.Trail{p.open(t, nil)}
		if p.shared {
			trails = append(trails, p.open(t, nil), p.open(t, nil))
		}
		const writers, each = 8, 25
		var all sync.WaitGroup
		for _, tr := range trails {
			for w := range writers {
				all.Go(func() {
					for i := range each {
						if err := tr.Append(context.Background(), event(fmt.Sprint("user", w), i), event("other", i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		all.Wait()
		head, err := verify(t, p, audit.Head{})
		if want := uint64(len(trails) * writers * each * 2); err != nil || head.Number != want {
			t.Fatalf("verified %d entries, error %v, want %d", head.Number, err, want)
		}
		again, err := audit.ParseHead(head.String())
		if err != nil || again != head {
			t.Errorf("%s is read as %v, %v", head, again, err)
		}
		// What one call appends stands together.
		page, err := trails[0].Entries(t.Context(), session.AuditQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(page); i += 2 {
			if page[i].User.ID != "other" || page[i].Details["n"] != page[i+1].Details["n"] {
				t.Fatalf("entries %d and %d are not of one call", page[i].Number, page[i+1].Number)
			}
		}
	})
}

func TestAnAcknowledgedEntryOutlivesTheTrail(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	first := p.open(t, nil)
	appendAll(t, first, event("ana", 1))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Append(t.Context(), event("ana", 2)); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("append after close: %v", err)
	}
	appendAll(t, p.open(t, nil), event("ana", 3))
	if head, err := verify(t, p, audit.Head{}); err != nil || head.Number != 2 {
		t.Errorf("%v, %v, want 2 entries", head, err)
	}
}

func TestEntriesAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		tr := p.open(t, nil)
		for i := range 30 {
			appendAll(t, tr, event([]string{"ana", "bob"}[i%2], i))
		}
		byAdmin := session.Event{
			Time: noon.Add(time.Hour), Action: session.ActionRoleAssigned, Outcome: session.OutcomeSuccess,
			Actor: session.Person{ID: "root"}, User: session.Person{ID: "bob", Email: "bob@example.com"},
		}
		appendAll(t, tr, byAdmin)
		for name, tt := range map[string]struct {
			q    session.AuditQuery
			want int
		}{
			"Everything":  {session.AuditQuery{}, 31},
			"User":        {session.AuditQuery{User: "ana"}, 15},
			"Email":       {session.AuditQuery{User: "ANA@example.com"}, 15},
			"Concerned":   {session.AuditQuery{User: "bob"}, 16},
			"Actor":       {session.AuditQuery{User: "root"}, 1},
			"Action":      {session.AuditQuery{Action: session.ActionRoleAssigned}, 1},
			"Both":        {session.AuditQuery{User: "ana", Action: session.ActionRoleAssigned}, 0},
			"Since":       {session.AuditQuery{Since: noon.Add(29 * time.Second)}, 2},
			"Until":       {session.AuditQuery{Until: noon.Add(2 * time.Second)}, 2},
			"NoPattern":   {session.AuditQuery{User: "%"}, 0},
			"LimitOfUser": {session.AuditQuery{User: "bob", Limit: 3}, 3},
		} {
			got, err := tr.Entries(t.Context(), tt.q)
			if err != nil || len(got) != tt.want {
				t.Errorf("%s: %d entries, error %v, want %d", name, len(got), err, tt.want)
			}
		}
		var numbers []uint64
		q := session.AuditQuery{User: "bob", Limit: 5}
		for {
			page, err := tr.Entries(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				numbers = append(numbers, e.Number)
			}
			if len(page) < q.Limit {
				break
			}
			q.Before = page[len(page)-1].Number
		}
		if len(numbers) != 16 || numbers[0] != 31 || numbers[15] != 2 {
			t.Errorf("pages gave %v", numbers)
		}
		if _, err := tr.Entries(t.Context(), session.AuditQuery{Limit: 1001}); err == nil {
			t.Error("a limit of 1001 was taken")
		}
	})
}

func TestOddTextIsKeptWithinBounds(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		tr := p.open(t, nil)
		e := event("a\x00b", 1)
		e.UserAgent = strings.Repeat("ü", 500) + "\x1b[2J"
		e.User.Email = "x\xff@example.com"
		for i := range 40 {
			e.Details[fmt.Sprint("k", i)] = strings.Repeat("v", 300)
		}
		appendAll(t, tr, e)
		got, err := tr.Entries(t.Context(), session.AuditQuery{})
		if err != nil || len(got) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		if g := got[0]; g.User.ID != "a\uFFFDb" || len(g.UserAgent) > 260 || len(g.Details) != 16 || strings.ContainsAny(g.UserAgent, "\x1b\x00") {
			t.Errorf("kept %+v", g)
		}
		if _, err := verify(t, p, audit.Head{}); err != nil {
			t.Error(err)
		}
	})
}

func TestAppendFailsWhenNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	reg := prometheus.NewRegistry()
	tr := p.open(t, reg)
	appendAll(t, tr, event("ana", 1))
	do := func(query string) {
		t.Helper()
		if _, err := p.db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	do(`ALTER TABLE audit_entries RENAME TO elsewhere`)
	if err := tr.Append(t.Context(), event("ana", 2)); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if _, err := tr.Entries(t.Context(), session.AuditQuery{}); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("list: %v", err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]float64{}
	for _, f := range families {
		seen[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	if seen["pomerium_audit_failures_total"] != 1 || seen["pomerium_audit_events_total"] != 1 {
		t.Errorf("counted %v", seen)
	}
	if err := tr.Append(t.Context(), session.Event{Action: "x"}); err == nil {
		t.Error("an event without an outcome was taken")
	}
	// Of what failed nothing is there, and what comes after it goes on.
	do(`ALTER TABLE elsewhere RENAME TO audit_entries`)
	appendAll(t, tr, event("ana", 3))
	if head, err := verify(t, p, audit.Head{}); err != nil || head.Number != 2 {
		t.Errorf("%v, %v, want 2 entries", head, err)
	}
}
