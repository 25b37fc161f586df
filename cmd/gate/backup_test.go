package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/sqlstore"
)

const backupRoutes = `gate: http://gate.neosc.localhost:8080
listen: 127.0.0.1:8080
set_headers: [x-pomerium-*, x-session-id, x-user-email, x-workspace-type]
upstreams: {app: "127.0.0.1:3000"}
hosts:
- origin: http://app.neosc.localhost:8080
  routes:
  - {name: app, prefix: /, upstream: app, pass_identity_headers: true}
- origin: http://gate.neosc.localhost:8080
  routes:
  - {name: gate, prefix: /, upstream: gate, pass_authorization: true}
`

// stateOf is a configuration whose state is in a folder of its own.
func stateOf(t *testing.T) *config.Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"routes.yaml": backupRoutes,
		"gate.yaml":   "listen: {authz: a.sock, http: h.sock, admin: admin.sock, ops: \"127.0.0.1:0\"}\ncookie: {domain: .neosc.localhost, insecure: true}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "gate.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// rows are all rows of all tables of a database. With fill each table gets one
// first, whatever it may be worth: a table that is added later is here by itself.
func rows(t *testing.T, path string, fill bool) map[string][]string {
	t.Helper()
	db, err := sqlstore.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // the pragmas are a connection's
	for _, q := range []string{`PRAGMA foreign_keys = OFF`, `PRAGMA ignore_check_constraints = ON`} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string][]string{}
	for _, table := range texts(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`) {
		if fill {
			var values []string
			for _, kind := range texts(t, db, `SELECT type FROM pragma_table_info('`+table+`')`) {
				v, ok := map[string]string{"INTEGER": "7", "TEXT": "'seven'", "BLOB": "x'07'", "REAL": "7.5"}[kind]
				if !ok {
					v = "7"
				}
				values = append(values, v)
			}
			if _, err := db.Exec(`INSERT OR IGNORE INTO ` + table + ` VALUES (` + strings.Join(values, ", ") + `)`); err != nil {
				t.Fatalf("%s: %v", table, err)
			}
		}
		all[table] = tableOf(t, db, table)
		if len(all[table]) == 0 {
			t.Errorf("%s is empty, so that nothing shows whether it is backed up", table)
		}
	}
	return all
}

func texts(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	found, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	for found.Next() {
		var s string
		if err := found.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func tableOf(t *testing.T, db *sql.DB, table string) (all []string) {
	t.Helper()
	found, err := db.Query(`SELECT * FROM ` + table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	names, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for found.Next() {
		row := make([]any, len(names))
		into := make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%#v", row))
	}
	slices.Sort(all)
	return all
}

// Every table of both databases, every key and every kept bundle is after a restore
// what it was.
func TestABackupHasEverythingThatAGateKeeps(t *testing.T) {
	t.Parallel()
	was, then := stateOf(t), stateOf(t)
	a, err := newApp(t.Context(), was, quietLog(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.teardown.Close(); err != nil {
		t.Fatal(err)
	}
	people, trail := rows(t, was.Session.Path, true), rows(t, was.Audit.Path, true)
	for _, table := range []string{"sessions", "policy_switches", "audit_entries", "audit_checkpoints"} {
		if len(people[table])+len(trail[table]) == 0 {
			t.Errorf("there is no table %s among %v and %v", table, slices.Sorted(maps.Keys(people)), slices.Sorted(maps.Keys(trail)))
		}
	}
	kept := map[string]string{"lock": "", "state.json": "{}", "00ff.tar.gz": "a bundle"}
	for name, text := range kept {
		if err := os.MkdirAll(keptBundles(was), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(keptBundles(was), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "state.tgz")
	if _, err := backup(t.Context(), was, file, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t.Context(), then, file, false); err != nil {
		t.Fatal(err)
	}
	for table, want := range people {
		if got := rows(t, then.Session.Path, false)[table]; !slices.Equal(got, want) {
			t.Errorf("%s has %v, and had %v", table, got, want)
		}
	}
	for table, want := range trail {
		if got := rows(t, then.Audit.Path, false)[table]; !slices.Equal(got, want) {
			t.Errorf("%s has %v, and had %v", table, got, want)
		}
	}
	for from, to := range map[string]string{
		was.Cookie.Keys: then.Cookie.Keys, was.Identity.Keys: then.Identity.Keys, was.Audit.Keys: then.Audit.Keys,
		filepath.Join(keptBundles(was), "state.json"): filepath.Join(keptBundles(then), "state.json"), filepath.Join(keptBundles(was), "00ff.tar.gz"): filepath.Join(keptBundles(then), "00ff.tar.gz"),
	} {
		want, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(to); err != nil || string(got) != string(want) {
			t.Errorf("%s has %q (error %v), and had %q", to, got, err, want)
		}
	}
	// Over any of it nothing is written unless that is said.
	for _, one := range []string{then.Audit.Keys, filepath.Join(keptBundles(then), "state.json"), then.Session.Path} {
		third := stateOf(t)
		at := filepath.Join(filepath.Dir(third.Session.Path), strings.TrimPrefix(one, filepath.Dir(then.Session.Path)))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := files(t, filepath.Dir(third.Session.Path))
		if _, err := restore(context.Background(), third, file, false); err == nil || !strings.Contains(err.Error(), "is there already; give -force") {
			t.Errorf("over %s: error %v", at, err)
		}
		if after := files(t, filepath.Dir(third.Session.Path)); !slices.Equal(after, before) {
			t.Errorf("a restore that was refused left %v, and there were %v", after, before)
		}
	}
}

func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err == nil && !st.IsDir() {
			all = append(all, fmt.Sprint(path, " ", st.Size()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
