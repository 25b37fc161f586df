package sqlstore_test

import (
	"database/sql"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
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
		{"Sweep", func() error { _, err := st.Sweep(t.Context(), one.ExpiresAt, nil); return err }, one.Key},
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
