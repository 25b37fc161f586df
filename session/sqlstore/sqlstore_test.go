package sqlstore_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/storetest"
)

func open(t testing.TB, path string) *sqlstore.Store {
	t.Helper()
	st, err := sqlstore.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) session.Store {
		return open(t, filepath.Join(t.TempDir(), "gate.db"))
	})
}

func sample(n int) *session.Session {
	now := time.Date(2026, 3, 5, 10, 0, 0, 0, time.UTC)
	return &session.Session{
		Key: sha256.Sum256(fmt.Append(nil, n)), Kind: session.Browser,
		Identity:  session.Identity{UserID: "u", Email: "u@example.com", Roles: []string{"user"}},
		CreatedAt: now, ExpiresAt: now.Add(8 * time.Hour), IdleExpiresAt: now.Add(time.Hour), Version: 1,
	}
}

func TestSessionsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new folder?&#", "gate.db")
	first := open(t, path)
	if err := first.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path).Get(t.Context(), sample(1).Key); err != nil {
		t.Errorf("after opening again: %v", err)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	st := open(t, filepath.Join(dir, "gate.db"))
	if err := st.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files, error %v; want the database and its journal", len(files), err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %#o, want 0600", f.Name(), info.Mode().Perm())
		}
	}
}

func TestOpenRefusesWhatOthersCanRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gate.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := sqlstore.Open(t.Context(), path)
	if err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("error %v, want one that says how to mend it", err)
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", ":memory:", dir, garbage} {
		if _, err := sqlstore.Open(t.Context(), path); err == nil {
			t.Errorf("%q was opened", path)
		}
	}
}

func TestDatabaseIsDurableAndPatient(t *testing.T) {
	t.Parallel()
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (error %v), want %q", pragma, got, err, want)
		}
	}
}

func TestSharedDatabaseStaysOpen(t *testing.T) {
	t.Parallel()
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for range 2 { // the second finds the schema up to date
		st, err := sqlstore.New(t.Context(), db, sqlstore.SQLite())
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("Close closed a database that it did not open: %v", err)
	}
}

func BenchmarkGet(b *testing.B) { benchmarkGet(b, open(b, filepath.Join(b.TempDir(), "gate.db"))) }

func BenchmarkCreate(b *testing.B) {
	benchmarkCreate(b, open(b, filepath.Join(b.TempDir(), "gate.db")))
}

func benchmarkGet(b *testing.B, st session.Store) {
	if err := st.Create(b.Context(), sample(1)); err != nil {
		b.Fatal(err)
	}
	k := sample(1).Key
	b.ReportAllocs()
	for b.Loop() {
		if _, err := st.Get(b.Context(), k); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkCreate(b *testing.B, st session.Store) {
	n := 0
	for b.Loop() {
		n++
		s := sample(n)
		s.Identity.UserID = fmt.Sprint(n)
		if err := st.Create(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}

func TestACommitIsToldBeforeItWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	var commits atomic.Int32
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "a.db"), sqlstore.BeforeCommit(func() { commits.Add(1) }))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := func(n int32, after string) {
		t.Helper()
		if got := commits.Swap(0); got != n {
			t.Errorf("%d commits were told after %s, want %d", got, after, n)
		}
	}
	want(0, "opening it")
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE x (n INTEGER)`); err != nil {
		t.Fatal(err)
	}
	want(1, "a statement by itself")
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := tx.ExecContext(t.Context(), `INSERT INTO x VALUES (1)`); err != nil {
			t.Fatal(err)
		}
	}
	want(0, "statements of a transaction")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	want(1, "its commit")
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM x`).Scan(&n); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	want(0, "reading")
}
