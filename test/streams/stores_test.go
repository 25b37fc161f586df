package streams

import (
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/test/redistest"
)

// sharedStore is a store of sessions that others write to as well, and that dies
// and comes back with what it had written.
type sharedStore struct {
	settings    string
	open        func(t *testing.T) session.Store
	kill, start func() error
}

func TestStreamsFollowTheirSessionInRedis(t *testing.T) {
	t.Parallel()
	s, err := redistest.Socket("--appendonly", "yes", "--appendfsync", "always")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	streamsFollow(t, sharedStore{fmt.Sprintf("session: {store: redis, redis: %q}\n", s.URL), func(t *testing.T) session.Store {
		st, err := redisstore.Open(redisstore.Options{URL: s.URL, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}, s.Stop, s.Start})
}

func TestStreamsFollowTheirSessionInPostgres(t *testing.T) {
	t.Parallel()
	s, err := pgtest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	streamsFollow(t, sharedStore{fmt.Sprintf("session: {store: postgres, postgres: %q}\n", s.URL), func(t *testing.T) session.Store {
		st, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresOptions{URL: s.URL, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}, s.Kill, s.Start})
}

// roles gives a session others, as a refresh at another gate does: the record's
// version goes up with them.
func roles(t *testing.T, st session.Store, key string, roles ...string) {
	t.Helper()
	k, err := session.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := st.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	s.Identity.Roles = roles
	if _, err := st.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// streamsFollow changes the roles of a session with open streams, then kills the
// store under those of another.
func streamsFollow(t *testing.T, store sharedStore) {
	s := startStreams(t, store.settings)
	st := store.open(t)
	t.Cleanup(func() { _ = st.Close() })
	other, _ := s.create(t, "staff")
	stays, _ := openSocket(t, s, "workspace", "", other)
	mine := map[string]*stream{}
	for name, open := range openers {
		if mine[name], _ = open(t, s, "workspace", "", s.cookie); mine[name] == nil {
			t.Fatalf("%s does not open", name)
		}
	}
	s.held(t, float64(len(openers)+1))
	roles(t, st, s.key, "more", "staff")
	// Told in order, and judged again: those that the roles of before had opened
	// and these do not are cut, and no others.
	more, _ := openSocket(t, s, "workspace", "", s.cookie)
	s.held(t, float64(len(openers)+2))
	if n := s.cuts(t, "denied"); n != 0 || !more.open() {
		t.Errorf("%v streams were cut although their roles allow them", n)
	}
	changed := time.Now()
	roles(t, st, s.key, "more")
	for name, x := range mine {
		x.ended(t, name)
		t.Logf("%s ended %v after the change of roles began", name, x.at.Sub(changed))
	}
	more.ended(t, "the last socket")
	if n := s.cuts(t, "denied"); n != float64(len(openers)+1) || !stays.open() {
		t.Errorf("%v streams were cut for their roles, want %d; another's goes on: %v", n, len(openers)+1, stays.open())
	}
	if _, status := openSocket(t, s, "workspace", "", s.cookie); status != http.StatusForbidden {
		t.Errorf("with the new roles a socket is answered %d", status)
	}

	gone := time.Now()
	if err := store.kill(); err != nil {
		t.Fatal(err)
	}
	stays.ended(t, "a stream whose store is dead")
	t.Logf("the stream ended %v after its store", stays.at.Sub(gone))
	if n := s.cuts(t, "store"); n != 1 {
		t.Errorf("%v streams were cut for the store, want 1", n)
	}
	if _, status := openSocket(t, s, "workspace", "", other); status != http.StatusServiceUnavailable {
		t.Errorf("without a store a socket is answered %d, want 503", status)
	}
	if err := store.start(); err != nil {
		t.Fatal(err)
	}
	var again *stream
	for end := time.Now().Add(90 * time.Second); again == nil; {
		if again, _ = openSocket(t, s, "workspace", "", other); again == nil && time.Now().After(end) {
			t.Fatal("no stream opens once the store is back")
		}
	}
	s.held(t, 1)
}
