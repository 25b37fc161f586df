package storetest

import (
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func list(t *testing.T, st session.Store, q session.Query) []*session.Session {
	t.Helper()
	out, err := st.List(ctx(t), q)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return out
}

func listFilters(t *testing.T, st session.Store) {
	create(t, st, record(1, "ana"))
	create(t, st, record(2, "bob"))
	dead := record(3, "ana")
	dead.IdleExpiresAt = base.Add(time.Minute)
	create(t, st, dead)

	tests := []struct {
		name string
		q    session.Query
		want int
	}{
		{"everything", session.Query{}, 3},
		{"one user", session.Query{UserID: "ana"}, 2},
		{"email in another case", session.Query{Email: "ANA@example.COM"}, 2},
		{"live ones", session.Query{Now: base.Add(time.Minute)}, 2},
		{"live ones of a user", session.Query{UserID: "ana", Now: base.Add(time.Minute)}, 1},
		{"user ids match exactly", session.Query{UserID: "Ana"}, 0},
		{"patterns are no patterns", session.Query{UserID: "%"}, 0},
	}
	for _, c := range tests {
		if got := list(t, st, c.q); len(got) != c.want {
			t.Errorf("%s: %d sessions, want %d", c.name, len(got), c.want)
		}
	}
}

func listPages(t *testing.T, st session.Store) {
	const n = 25
	for i := range n {
		create(t, st, record(i, "ana"))
	}
	q := session.Query{UserID: "ana", Limit: 10}
	var seen []time.Time
	for {
		page := list(t, st, q)
		for _, s := range page {
			seen = append(seen, s.CreatedAt)
		}
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].CreatedAt
	}
	if len(seen) != n {
		t.Fatalf("pages give %d sessions, want %d", len(seen), n)
	}
	for i := 1; i < n; i++ {
		if !seen[i].Before(seen[i-1]) {
			t.Fatalf("session %d (%v) comes after %v", i, seen[i], seen[i-1])
		}
	}
}

func listLimits(t *testing.T, st session.Store) {
	for _, limit := range []int{-1, 1001} {
		if _, err := st.List(ctx(t), session.Query{Limit: limit}); err == nil {
			t.Errorf("limit %d was taken", limit)
		}
	}
	for i := range 101 {
		create(t, st, record(i, "ana"))
	}
	if got := list(t, st, session.Query{}); len(got) != 100 {
		t.Errorf("limit 0 gives %d rows, want 100", len(got))
	}
}

func countAndSweep(t *testing.T, st session.Store) {
	ends := []time.Duration{time.Minute, 2 * time.Minute, time.Hour}
	for i, end := range ends {
		s := record(i, "ana")
		s.IdleExpiresAt = base.Add(end)
		create(t, st, s)
	}
	// At the very instant of its end a session is over.
	now := base.Add(2 * time.Minute)
	if n, err := st.CountLive(ctx(t), now); err != nil || n != 1 {
		t.Errorf("CountLive: %d, %v; want 1", n, err)
	}
	told := map[string]bool{}
	ended := func(gone []*session.Session) {
		for _, s := range gone {
			told[s.Identity.UserID+s.Key.String()] = true
		}
	}
	if n, err := st.Sweep(ctx(t), now, ended); err != nil || n != 2 {
		t.Errorf("Sweep: %d, %v; want 2", n, err)
	}
	if len(told) != 2 || !told["ana"+record(0, "ana").Key.String()] || !told["ana"+record(1, "ana").Key.String()] {
		t.Errorf("Sweep told of %v, want the two that were over", told)
	}
	if n, err := st.Sweep(ctx(t), now, nil); err != nil || n != 0 {
		t.Errorf("second Sweep: %d, %v; want 0", n, err)
	}
	if got := list(t, st, session.Query{}); len(got) != 1 || !got[0].LiveAt(now) {
		t.Errorf("%d sessions are left, want the live one", len(got))
	}
}
