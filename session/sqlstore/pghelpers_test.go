package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/session/storetest"
)

// common is a server that tests share which do it no harm; each has a schema of
// its own.
var common *pgtest.Server

func TestMain(m *testing.M) {
	storetest.Overlap()
	var err error
	if common, err = pgtest.New("fsync=off"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := ordinaryRole(common.URL); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, common.Close()))
		os.Exit(1)
	}
	code := m.Run()
	_ = common.Close()
	os.Exit(code)
}

// ordinaryRole makes the role that gates connect as: it owns its schema and may
// nothing else.
func ordinaryRole(url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg)
	_, err = db.Exec(`CREATE ROLE gate LOGIN`)
	return errors.Join(err, db.Close())
}

var base = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

var quiet = slog.New(slog.DiscardHandler)

// server starts a Postgres of the test's own, which it may stop and pause.
func server(t testing.TB) *pgtest.Server {
	t.Helper()
	s, err := common.Another("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// admin is a connection for what gates do not do.
func admin(t testing.TB, url string) *sql.DB {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func do(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

var schemas atomic.Int64

// schema makes a new schema in common's database and returns a URL that names
// it, for the role gate.
func schema(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", schemas.Add(1))
	db := admin(t, common.URL)
	do(t, db, `CREATE SCHEMA `+name+` AUTHORIZATION gate`)
	_ = db.Close()
	return asGate(common.URL) + "&search_path=" + name
}

func asGate(url string) string { return strings.Replace(url, "//postgres@", "//gate@", 1) }

// patient are options for tests in which nothing breaks: on a busy machine
// half a second is little.
func patient(url string) sqlstore.PostgresOptions {
	return sqlstore.PostgresOptions{URL: url, Timeout: 5 * time.Second, Logger: quiet}
}

func openPostgres(t testing.TB, o sqlstore.PostgresOptions) *sqlstore.PostgresStore {
	t.Helper()
	st, err := sqlstore.OpenPostgres(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// gates returns one gate for each URL.
func gates(t testing.TB, urls ...string) []*storetest.Gate {
	t.Helper()
	var stores []storetest.FeedStore
	for _, u := range urls {
		stores = append(stores, openPostgres(t, sqlstore.PostgresOptions{URL: u, Logger: quiet}))
	}
	return storetest.Gates(t, nil, stores...)
}
