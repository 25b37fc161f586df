package audit

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
)

// Whatever a tail was told of and has forgotten, it leaves out nothing of what it says
// that it knows, and says of nothing that it knows it.
func TestATailTellsOfAllThatItKnows(t *testing.T) {
	t.Parallel()
	names := rapid.SampledFrom([]string{"", "ana", "ben", "cleo"})
	rapid.Check(t, func(t *rapid.T) {
		tail := &tail{seed: maphash.MakeSeed()}
		var all []row // by number, from 1
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0: // another gate adds some
				for range rapid.IntRange(1, 3).Draw(t, "others") {
					all = append(all, row{number: uint64(len(all) + 1), userID: names.Draw(t, "user"), action: "login"})
				}
			case 1:
				tail.forget(rapid.Uint64Range(0, uint64(len(all))).Draw(t, "forget"))
			default:
				var rows []row
				for range rapid.IntRange(0, 700).Draw(t, "rows") {
					rows = append(rows, row{
						number: uint64(len(all) + len(rows) + 1), userID: names.Draw(t, "user"), actorID: names.Draw(t, "actor"),
						userEmail: names.Draw(t, "email"), action: []string{"login", "logout"}[len(rows)%2],
					})
				}
				tail.add(rows)
				all = append(all, rows...)
			}
		}
		q := session.AuditQuery{User: names.Draw(t, "of"), Action: session.Action(rapid.SampledFrom([]string{"", "login", "absent"}).Draw(t, "action"))}
		from, to := rapid.Uint64Range(0, uint64(len(all)+2)).Draw(t, "from"), rapid.Uint64Range(0, uint64(len(all)+2)).Draw(t, "to")
		for {
			numbers, after, last := tail.match(q, from, to)
			if after == last {
				break
			}
			if after > last || last >= to || after+1 < from || last > uint64(len(all)) || len(numbers) > tailAtOnce {
				t.Fatalf("from %d to %d of %d: after %d to %d, %d numbers", from, to, len(all), after, last, len(numbers))
			}
			for n := last; n > after; n-- {
				r := all[n-1]
				its := (q.User == "" || r.userID == q.User || r.actorID == q.User || r.userEmail == q.User) && (q.Action == "" || r.action == string(q.Action))
				if told := len(numbers) > 0 && numbers[0] == n; told {
					numbers = numbers[1:]
				} else if its {
					t.Fatalf("%d is left out of what is after %d up to %d", n, after, last)
				}
			}
			if len(numbers) > 0 {
				t.Fatalf("%d is not in its place", numbers[0])
			}
			to = after + 1
		}
	})
}

// Two gates write to one file, what entries are found by is added to any number, and gates
// start again: each finds what it is asked for.
func TestEntriesAreFoundWhereverTheyAreKnown(t *testing.T) {
	t.Parallel()
	db, err := sqlstore.OpenDeferred(t.Context(), filepath.Join(t.TempDir(), "audit.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	open := func() *Trail {
		tr, err := New(t.Context(), Options{DB: db.DB, Dialect: sqlstore.SQLite(), SearchTime: time.Minute, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tr.Close() })
		return tr
	}
	gates := []*Trail{open(), open()}
	random := rand.New(rand.NewPCG(1, 2))
	var all []session.Event
	for round := range 30 {
		g := random.IntN(len(gates))
		switch n := len(all); {
		case round%10 == 9:
			if err := gates[g].Close(); err != nil {
				t.Fatal(err)
			}
			gates[g] = open()
		case round%5 == 4 && n > 0:
			findUpTo(t, gates[g], random.IntN(n))
		default:
			var events []session.Event
			for range 1 + random.IntN(20) {
				events = append(events, anyEvent(random, n+len(events)))
			}
			if err := gates[g].Append(t.Context(), events...); err != nil {
				t.Fatal(err)
			}
			all = append(all, events...)
		}
		for range 3 {
			for _, gate := range gates {
				asks(t, gate, random, all)
			}
		}
	}
}

// Who was told that an entry is kept finds it, whoever else writes.
func TestAnAcknowledgedEntryIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	db, err := sqlstore.OpenDeferred(t.Context(), filepath.Join(t.TempDir(), "audit.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tr, err := New(t.Context(), Options{DB: db.DB, Dialect: sqlstore.SQLite(), Sync: db.Sync, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	var reads sync.Mutex // a page has 5 s, and not all of them at once
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() {
			who := session.Person{ID: fmt.Sprint("writer-", w)}
			for n := range 6 {
				e := session.Event{Action: session.ActionLogin, Outcome: session.OutcomeSuccess, User: who, Actor: who}
				if err := tr.Append(t.Context(), e); err != nil {
					t.Error(err)
				}
				reads.Lock()
				found, err := tr.Entries(t.Context(), session.AuditQuery{User: who.ID, Action: session.ActionLogin})
				reads.Unlock()
				if err != nil || len(found) != n+1 {
					t.Errorf("%d entries, %v, want %d", len(found), err, n+1)
				}
			}
		})
	}
	all.Wait()
}

func anyEvent(random *rand.Rand, n int) session.Event {
	who := func() session.Person {
		name := []string{"ana", "ben", "cleo", "dora"}[random.IntN(4)]
		return []session.Person{{ID: name, Email: name + "@example.com"}, {ID: name}, {Email: name + "@example.com"}, {ID: "other", Email: name + "@example.com"}}[random.IntN(4)]
	}
	return session.Event{
		Time: time.Unix(1_772_700_000+int64(n), 0).UTC(), Action: []session.Action{session.ActionLogin, session.ActionLogout, session.ActionTokenIssued}[random.IntN(3)],
		Outcome: session.OutcomeSuccess, User: who(), Actor: who(), Details: map[string]string{"n": fmt.Sprint("number ", n)},
	}
}

// findUpTo adds what entries are found by, unless that is added already.
func findUpTo(t *testing.T, tr *Trail, to int) {
	t.Helper()
	tr.turn.Lock()
	defer tr.turn.Unlock()
	var found int
	if err := tr.o.DB.QueryRow(`SELECT found FROM audit_head`).Scan(&found); err != nil {
		t.Fatal(err)
	}
	if to <= found {
		return
	}
	if _, err := tr.o.DB.Exec(addFinds, found, to, found, to, found, to, found, to, found, to); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.o.DB.Exec(`UPDATE audit_head SET found = ?`, to); err != nil {
		t.Fatal(err)
	}
	tr.found = uint64(to)
	tr.tail.forget(tr.found)
}

// asks asks for something and compares all pages with what there is.
func asks(t *testing.T, tr *Trail, random *rand.Rand, all []session.Event) {
	t.Helper()
	q := session.AuditQuery{
		User:   []string{"", "ana", "BEN@example.com", "other", "nobody"}[random.IntN(5)],
		Action: []session.Action{"", session.ActionLogin, session.ActionTokenIssued, "absent"}[random.IntN(4)],
		Text:   []string{"", "", "", "7"}[random.IntN(4)],
		Limit:  []int{1000, 1000, 37}[random.IntN(3)],
	}
	if at := random.IntN(len(all) + 1); random.IntN(3) == 0 {
		q.Since = time.Unix(1_772_700_000+int64(at), 0)
	} else if random.IntN(3) == 0 {
		q.Until = time.Unix(1_772_700_000+int64(at), 0)
	}
	var want []uint64
	for n, e := range all {
		is := func(p session.Person) bool { return p.ID == q.User || p.Email == strings.ToLower(q.User) }
		if (q.User == "" || is(e.User) || is(e.Actor)) && (q.Action == "" || e.Action == q.Action) && (q.Text == "" || strings.Contains(e.Details["n"], q.Text)) &&
			(q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until)) {
			want = append(want, uint64(n+1))
		}
	}
	slices.Reverse(want)
	var got []uint64
	for next := q; ; next.Before = got[len(got)-1] {
		page, err := tr.Entries(t.Context(), next)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		for _, e := range page {
			got = append(got, e.Number)
		}
		if len(page) < q.Limit {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v of %d entries: %d, want %d; %v, want %v", q, len(all), len(got), len(want), got, want)
	}
}
