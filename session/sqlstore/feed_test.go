package sqlstore_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/session/storetest"
)

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

// backend is a schema on a server, and a way to it that can be cut.
type backend struct {
	*pgtest.Server
	proxy *storetest.Proxy
	// url is that of the schema, app the name of its gates' application.
	url, app string
}

// shared is a backend on the server that tests share.
func shared(t testing.TB) *backend {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgproxy") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	app := fmt.Sprintf("backend %d", schemas.Add(1))
	return &backend{
		Server: common, proxy: storetest.NewProxy(t, filepath.Join(dir, filepath.Base(common.Socket)), "unix", common.Socket),
		url: schema(t) + "&application_name=" + url.PathEscape(app), app: app,
	}
}

func (b *backend) Open(t testing.TB, far bool) storetest.FeedStore {
	t.Helper()
	u := b.url
	if far {
		u = asGate(pgtest.URL(filepath.Dir(b.proxy.Path()))) + u[len(asGate(common.URL)):]
	}
	return openPostgres(t, sqlstore.PostgresOptions{URL: u, Logger: quiet})
}

func TestFeedKeepsTheContract(t *testing.T) {
	db := admin(t, common.URL)
	storetest.RunFeed(t, storetest.Feeds[*backend]{
		New: shared,
		Harms: map[string]func(*testing.T, *backend){
			"FeedIsHealthy":              func(*testing.T, *backend) {},
			"FeedIsKilledJustBefore":     func(t *testing.T, b *backend) { kill(t, db, b.app, listeners) },
			"EveryBackendIsKilled":       func(t *testing.T, b *backend) { kill(t, db, b.app, everyone) },
			"FeedIsFrozenJustBefore":     func(t *testing.T, b *backend) { freeze(t, db, b.app) },
			"FeedIsBlackholedJustBefore": func(_ *testing.T, b *backend) { b.proxy.Hole.Store(true) },
		},
		NewServer: func(t testing.TB) *backend {
			s := server(t)
			return &backend{Server: s, url: s.URL}
		},
		Outages: map[string]storetest.Outage[*backend]{
			"Paused":  {Harm: (*backend).Pause, Mend: (*backend).Continue},
			"Stopped": {Harm: (*backend).Stop, Mend: (*backend).Start},
			"Killed":  {Harm: (*backend).Kill, Mend: (*backend).Start},
		},
	})
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

func TestEveryWayToChangeARecordIsTold(t *testing.T) {
	t.Parallel()
	url := schema(t)
	st := openPostgres(t, patient(url))
	db := admin(t, url)
	var mu sync.Mutex
	var told []session.Key
	defer st.Watch(func(k session.Key) { mu.Lock(); told = append(told, k); mu.Unlock() })()
	storetest.Eventually(t, "the feed is up", func() bool { return !st.FreshUntil().IsZero() })
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
		storetest.Fence(t, st)
		mu.Lock()
		told = nil
		mu.Unlock()
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.name == "DropTable" { // the table that is asked is no longer there
			storetest.Eventually(t, "the feed is down", func() bool { return time.Now().After(st.FreshUntil()) })
			continue
		}
		storetest.Eventually(t, c.name+" is told", func() bool { return seen(c.wants) })
	}
}

func TestCreationDropsNoCopies(t *testing.T) {
	t.Parallel()
	st := openPostgres(t, patient(schema(t)))
	storetest.Eventually(t, "the feed is up", func() bool { return !st.FreshUntil().IsZero() })
	var mu sync.Mutex
	told := 0
	defer st.Watch(func(session.Key) { mu.Lock(); told++; mu.Unlock() })()
	if err := st.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	storetest.Fence(t, st)
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
	storetest.Eventually(t, "the feed is up", func() bool { return time.Now().Before(st.FreshUntil()) })
	for _, table := range []string{"sessions", "session_marks"} {
		do(t, db, `ALTER TABLE `+table+` DISABLE TRIGGER ALL`) // as a restore does
		storetest.Eventually(t, "copies are not served", func() bool { return time.Now().After(st.FreshUntil()) })
		do(t, db, `ALTER TABLE `+table+` ENABLE TRIGGER ALL`)
		storetest.Eventually(t, "the feed is up again", func() bool { return time.Now().Before(st.FreshUntil()) })
	}
}

func TestNothingIsLeftRunningAfterClose(t *testing.T) {
	o := patient(schema(t))
	storetest.LeavesNothingRunning(t, func() (storetest.FeedStore, error) { return sqlstore.OpenPostgres(t.Context(), o) })
}
