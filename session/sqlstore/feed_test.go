package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

// admittedUntil looks a cookie up on each gate without pause for a while and
// returns the age, since the revocation, of the last lookup that was let in.
// Lookups count from their beginning.
func admittedUntil(gs []*gate, value string, revoked time.Time, watch time.Duration) time.Duration {
	last := make([]time.Duration, len(gs))
	var wg sync.WaitGroup
	for i, g := range gs {
		wg.Go(func() {
			for {
				began := time.Now()
				age := began.Sub(revoked)
				if age > watch {
					return
				}
				if ok, _ := g.admits(value); ok {
					last[i] = age
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
	return slices.Max(last)
}

func TestPostgresRevocationReachesOtherGatesInMilliseconds(t *testing.T) {
	url := schema(t)
	gs := gates(t, nil, url, url, url)
	var took []time.Duration
	for i := range 200 {
		k, v := gs[0].create(t, "ana")
		warm(t, gs, v)
		began := time.Now()
		if err := gs[i%3].Revoke(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		for _, g := range gs {
			for {
				ok, err := g.admits(v)
				if !ok {
					wantErr(t, err, session.ErrInvalid)
					break
				}
				if time.Since(began) > time.Second {
					t.Fatal("a session is admitted a second after it was revoked")
				}
				runtime.Gosched()
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("revoked on one of three gates, dead on all: p50 %v, p99 %v, max %v", took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// kill ends the backends of gates by the name of their application, those of
// the pools or only those that listen.
func kill(t *testing.T, db *sql.DB, application, which string) {
	t.Helper()
	do(t, db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND query LIKE $2`, application, which)
}

const (
	everyone  = "%"
	listeners = "%pg_listening_channels%"
)

func TestPostgresRevokedSessionIsDeadWithinASecond(t *testing.T) {
	t.Parallel()
	db := admin(t, common.URL)
	tests := map[string]func(*testing.T, string, *proxy){
		"FeedIsHealthy":              func(*testing.T, string, *proxy) {},
		"FeedIsKilledJustBefore":     func(t *testing.T, app string, _ *proxy) { kill(t, db, app, listeners) },
		"EveryBackendIsKilled":       func(t *testing.T, app string, _ *proxy) { kill(t, db, app, everyone) },
		"FeedIsFrozenJustBefore":     func(t *testing.T, app string, _ *proxy) { freeze(t, db, app) },
		"FeedIsBlackholedJustBefore": func(_ *testing.T, _ string, p *proxy) { p.hole.Store(true) },
	}
	for name, harm := range tests {
		for i := range 2 {
			name := fmt.Sprint(name, i)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := through(t, common)
				url := schema(t) + "&application_name=" + name
				far := asGate(p.url) + url[len(asGate(common.URL)):]
				gs := gates(t, nil, url, far, far)
				k, v := gs[0].create(t, "ana")
				warm(t, gs, v)
				time.Sleep(time.Duration(i) * 130 * time.Millisecond) // another point between two pings
				harm(t, name, p)
				revoke(t, gs[0], k)
				last := admittedUntil(gs[1:], v, time.Now(), 1300*time.Millisecond)
				t.Logf("last admitted %v after", last)
				if last > time.Second {
					t.Errorf("admitted %v after the revocation", last)
				}
			})
		}
	}
}

// freeze stops the backends that listen, which keep their connections, until
// the test ends.
func freeze(t *testing.T, db *sql.DB, application string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND query LIKE $2`, application, listeners)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
		n++
	}
	if n != 3 || rows.Err() != nil {
		t.Fatalf("%d backends listen, want 3; error %v", n, rows.Err())
	}
}

// revoke revokes: on a busy machine a call may be out of time once.
func revoke(t *testing.T, g *gate, k session.Key) {
	t.Helper()
	var err error
	for range 3 {
		if err = g.Revoke(t.Context(), k); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func TestRevocationDuringAFrozenServerCountsOnceItIsMade(t *testing.T) {
	t.Parallel()
	s := server(t)
	gs := gates(t, nil, s.URL, s.URL, s.URL)
	k, v := gs[0].create(t, "ana")
	warm(t, gs, v)
	until := gs[1].store.FreshUntil()
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	// Nobody is told that it is revoked …
	wantErr(t, gs[0].Revoke(t.Context(), k), session.ErrUnavailable)
	eventually(t, "copies are no longer served", func() bool { return !gs[1].fresh() && !gs[2].fresh() })
	if late := time.Since(until); late > time.Second {
		t.Errorf("copies were served %v after the last answered ping", late+session.FeedPromise)
	}
	// … and everybody fails closed.
	for _, g := range gs[1:] {
		_, err := g.admits(v)
		wantErr(t, err, session.ErrUnavailable)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server answers", func() bool { return gs[0].Revoke(t.Context(), k) == nil })
	for _, g := range gs {
		eventually(t, "it is revoked everywhere", func() bool { _, err := g.admits(v); return errors.Is(err, session.ErrInvalid) })
	}
}

func TestGateThatLostPostgresServesCopiesForASecondAndRecovers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ harm, mend func(*pgtest.Server) error }{
		"Paused":  {(*pgtest.Server).Pause, (*pgtest.Server).Continue},
		"Stopped": {(*pgtest.Server).Stop, (*pgtest.Server).Start},
		"Killed":  {(*pgtest.Server).Kill, (*pgtest.Server).Start},
	}
	s := server(t) // one after another
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			g := gates(t, nil, s.URL)[0]
			_, v := g.create(t, "ana")
			warm(t, []*gate{g}, v)
			until := g.store.FreshUntil()
			harmed := make(chan error)
			go func() { harmed <- c.harm(s) }()
			for time.Until(until) > 50*time.Millisecond {
				if ok, err := g.admits(v); !ok {
					t.Fatalf("refused %v before the second was over: %v", time.Until(until), err)
				}
				time.Sleep(time.Millisecond)
			}
			if err := <-harmed; err != nil {
				t.Fatal(err)
			}
			eventually(t, "copies are no longer served", func() bool { return !g.fresh() })
			_, err := g.admits(v)
			wantErr(t, err, session.ErrUnavailable)
			if err := c.mend(s); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the feed is up again", g.fresh)
			warm(t, []*gate{g}, v) // sessions outlive the server's restart
		})
	}
}

func TestLostConnectionsCostNobodyAnAnswer(t *testing.T) {
	t.Parallel()
	db, name := admin(t, common.URL), "lost"
	url := schema(t) + "&application_name=" + name
	st := openPostgres(t, patient(url))
	if err := st.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var wg sync.WaitGroup // fills the pool
		for range sqlstore.DefaultConns {
			wg.Go(func() { _, _ = st.CountLive(t.Context(), base) })
		}
		wg.Wait()
		kill(t, db, name, everyone)
		for range 2 * sqlstore.DefaultConns {
			if _, err := st.Get(t.Context(), sample(1).Key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestEveryWayToChangeARecordIsTold(t *testing.T) {
	t.Parallel()
	url := schema(t)
	st := openPostgres(t, patient(url))
	db := admin(t, url)
	var mu sync.Mutex
	var told []session.Key
	defer st.Watch(func(k session.Key) { mu.Lock(); told = append(told, k); mu.Unlock() })()
	eventually(t, "the feed is up", func() bool { return !st.FreshUntil().IsZero() })
	seen := func(k session.Key) bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(told, k) }
	one := sample(1)
	tests := []struct {
		name   string
		change func() error
		wants  session.Key
	}{
		{"Update", func() error { _, err := st.Update(t.Context(), one); return err }, one.Key},
		{"Delete", func() error { return st.Delete(t.Context(), one.Key) }, one.Key},
		{"Sweep", func() error { _, err := st.Sweep(t.Context(), one.ExpiresAt); return err }, one.Key},
		{"ByHand", func() error { _, err := db.Exec(`DELETE FROM sessions`); return err }, one.Key},
		{"ShortenedByHand", func() error { _, err := db.Exec(`UPDATE sessions SET expires_at = 0`); return err }, one.Key},
		{"Truncate", func() error { _, err := db.Exec(`TRUNCATE sessions`); return err }, session.Key{}},
		{"DropTable", func() error { _, err := db.Exec(`ALTER TABLE sessions RENAME TO aside`); return err }, session.Key{}},
	}
	for _, c := range tests {
		_ = st.Delete(t.Context(), one.Key)
		if err := st.Create(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		fence(t, st)
		mu.Lock()
		told = nil
		mu.Unlock()
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.name == "DropTable" { // the table that is asked is no longer there
			eventually(t, "the feed is down", func() bool { return time.Now().After(st.FreshUntil()) })
			continue
		}
		eventually(t, c.name+" is told", func() bool { return seen(c.wants) })
	}
}

// fence waits until all that was committed before has been told.
func fence(t *testing.T, st *sqlstore.PostgresStore) {
	t.Helper()
	now := time.Now()
	eventually(t, "a later ping is answered", func() bool { return st.FreshUntil().Add(-session.FeedPromise).After(now) })
}

func TestUseAndCreationDropNoCopies(t *testing.T) {
	t.Parallel()
	st := openPostgres(t, patient(schema(t)))
	eventually(t, "the feed is up", func() bool { return !st.FreshUntil().IsZero() })
	var mu sync.Mutex
	told := 0
	defer st.Watch(func(session.Key) { mu.Lock(); told++; mu.Unlock() })()
	if err := st.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	if err := st.Touch(t.Context(), sample(1).Key, sample(1).IdleExpiresAt.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fence(t, st)
	mu.Lock()
	defer mu.Unlock()
	if told != 0 {
		t.Errorf("%d changes were told, want none", told)
	}
}

func TestDisabledTriggersCloseTheFeed(t *testing.T) {
	t.Parallel()
	url := schema(t)
	st := openPostgres(t, patient(url))
	db := admin(t, url)
	eventually(t, "the feed is up", func() bool { return time.Now().Before(st.FreshUntil()) })
	do(t, db, `ALTER TABLE sessions DISABLE TRIGGER ALL`) // as a restore does
	eventually(t, "copies are not served", func() bool { return time.Now().After(st.FreshUntil()) })
	do(t, db, `ALTER TABLE sessions ENABLE TRIGGER ALL`)
	eventually(t, "the feed is up again", func() bool { return time.Now().Before(st.FreshUntil()) })
}

func TestPostgresFillsThatRaceARevocationLose(t *testing.T) {
	t.Parallel()
	url := schema(t)
	gs := gates(t, nil, url, url)
	values := make([]string, 200)
	for i := range values {
		k, v := gs[0].create(t, "ana")
		values[i] = v
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = gs[1].admits(v) }) // fills
		revoke(t, gs[0], k)
		wg.Wait()
	}
	fence(t, gs[1].store)
	for _, v := range values {
		if ok, _ := gs[1].admits(v); ok {
			t.Fatal("a revoked session is still admitted")
		}
	}
}

func TestRestartInTheMiddleOfSignInsLosesNothingThatWasAnswered(t *testing.T) {
	t.Parallel()
	s := server(t)
	gs := gates(t, nil, s.URL, s.URL)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var values []string
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				id := session.Identity{Provider: "local", UserID: fmt.Sprint("u", i), Roles: []string{"user"}}
				if _, v, err := gs[i%2].Create(ctx, id, session.Browser, 0); err == nil {
					mu.Lock()
					values = append(values, v)
					mu.Unlock()
				} else if !errors.Is(err, session.ErrUnavailable) {
					t.Errorf("error %v, want one that is %q", err, session.ErrUnavailable)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(values) }
	eventually(t, "people sign in", func() bool { return count() > 20 })
	for _, stop := range []func() error{s.Stop, s.Kill} {
		if err := errors.Join(stop(), s.Start()); err != nil {
			t.Fatal(err)
		}
		before := count()
		eventually(t, "people sign in again", func() bool { return count() > before+20 })
	}
	cancel()
	wg.Wait()
	for _, v := range values {
		warm(t, gs, v)
	}
}

func TestNothingIsLeftRunningAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	url := schema(t)
	for range 3 {
		st, err := sqlstore.OpenPostgres(t.Context(), patient(url))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the feed is up", func() bool { return !st.FreshUntil().IsZero() })
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if !st.FreshUntil().IsZero() {
			t.Error("a closed feed says that copies are fresh")
		}
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
