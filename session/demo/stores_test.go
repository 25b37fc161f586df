package demo

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/test/redistest"
)

// sessionStores open each store as one gate does, and as a second one that shares
// it where gates can.
func sessionStores() map[string]func(t *testing.T) (one, two session.Store) {
	quiet := slog.New(slog.DiscardHandler)
	return map[string]func(t *testing.T) (one, two session.Store){
		"Memory": func(*testing.T) (session.Store, session.Store) { m := memstore.New(); return m, m },
		"SQLite": func(t *testing.T) (session.Store, session.Store) {
			db, _ := onSQLite(t)
			st, err := sqlstore.New(context.Background(), db, sqlstore.SQLite())
			if err != nil {
				t.Fatal(err)
			}
			return st, st
		},
		"Postgres": func(t *testing.T) (session.Store, session.Store) {
			s, err := pgtest.New("fsync=off")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return both(t, func() (*sqlstore.PostgresStore, error) {
				return sqlstore.OpenPostgres(context.Background(), sqlstore.PostgresOptions{URL: s.URL, Logger: quiet})
			})
		},
		"Redis": func(t *testing.T) (session.Store, session.Store) {
			s, err := redistest.Socket()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return both(t, func() (*redisstore.Store, error) {
				return redisstore.Open(redisstore.Options{URL: s.URL, Logger: quiet})
			})
		},
	}
}

// both opens a store that gates share twice.
func both[S interface {
	session.Store
	Close() error
}](t *testing.T, open func() (S, error)) (session.Store, session.Store) {
	t.Helper()
	var all [2]S
	for i := range all {
		var err error
		if all[i], err = open(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = all[i].Close() })
	}
	return all[0], all[1]
}

// TestClaimsComeAndGoOnEveryStore: with the answer they are in the sessions that
// the gate knows which was asked, and another gate, which has had the session before,
// sees them as soon as it hears; at the end both see none.
func TestClaimsComeAndGoOnEveryStore(t *testing.T) {
	t.Parallel()
	for name, open := range sessionStores() {
		t.Run(name, func(t *testing.T) { t.Parallel(); one, two := open(t); claimsComeAndGo(t, one, two) })
	}
}

func claimsComeAndGo(t *testing.T, one, two session.Store) {
	db, d := onSQLite(t)
	grants, err := NewStore(t.Context(), db, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	gate := func(st session.Store) *session.Manager {
		sealer, err := cookie.New(ring, "_pomerium", "session")
		if err != nil {
			t.Fatal(err)
		}
		m, err := session.NewManager(session.Options{Store: st, Sealer: sealer, Grants: grants, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	here := gate(one)
	there := here // of a store of one process
	if one != two {
		there = gate(two)
	}
	s, err := New(Options{Store: grants, Sessions: here, Audit: &trail{}, Kinds: []session.WorkspaceKind{desktop}, Extension: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	who, value, err := here.Create(t.Context(), session.Identity{Provider: "local", UserID: "ada", Email: "ada@example.com", EmailVerified: true, Roles: []string{"admin"}, Claims: map[string]any{"x": json.Number("1")}}, session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	sees := func(m *session.Manager, id string, until time.Time) bool {
		got, err := m.ByCookies(t.Context(), []string{value}, time.Now())
		if err != nil {
			return false
		}
		claims, roles := got.Identity.Claims, got.Identity.Roles
		if id == "" {
			return len(claims) == 1 && claims["x"] == json.Number("1") && slices.Equal(roles, []string{"admin"})
		}
		return claims[session.ClaimDemoSession] == id && claims[session.ClaimDemoExpires] == until.Format(time.RFC3339Nano) && claims["x"] == json.Number("1") && len(roles) == 3 && roles[0] == "admin"
	}
	both := func(what, id string, until time.Time) {
		t.Helper()
		if !sees(here, id, until) {
			t.Errorf("%s: the gate that was asked has something else", what)
		}
		for end := time.Now().Add(patience); !sees(there, id, until); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the other gate has something else", what)
			}
		}
	}
	both("before", "", time.Time{})
	g, err := s.Request(t.Context(), who, session.DemoRequest{WorkspaceType: "desktop"})
	if err != nil {
		t.Fatal(err)
	}
	both("while it lasts", g.ID, g.ExpiresAt)
	if g, err = s.Extend(t.Context(), g.ID, time.Minute, session.Person{}, ""); err != nil {
		t.Fatal(err)
	}
	both("longer", g.ID, g.ExpiresAt)
	if _, err := s.End(t.Context(), g.ID, session.Person{}, ""); err != nil {
		t.Fatal(err)
	}
	both("afterwards", "", time.Time{})
}
