package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// sqliteConns bounds open connections: one writer and a few readers, which in
// WAL mode do not wait for each other.
const sqliteConns = 4

// OpenSQLite opens the database file at path for this gate's local state, and
// creates it (mode 0600) and its folder (mode 0700) if they are not there. A
// file that others can read or write is refused.
//
// The journal is a WAL. synchronous is FULL, which costs one fsync per write:
// with NORMAL the last commits before a power cut may be lost, and a session
// that an operator was told is revoked would live again.
func OpenSQLite(ctx context.Context, path string, more ...SQLiteOption) (*sql.DB, error) {
	return openSQLite(ctx, path, more, "synchronous(FULL)")
}

// SQLiteOption changes how a file is opened.
type SQLiteOption func(driver.Connector) driver.Connector

// BeforeCommit has f called before each commit that changes something writes and
// waits for the disk. It must not use the database.
func BeforeCommit(f func()) SQLiteOption {
	return func(c driver.Connector) driver.Connector { return hooked{c, f} }
}

type hooked struct {
	driver.Connector
	beforeCommit func()
}

func (h hooked) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := h.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	r, ok := c.(sqlite.HookRegisterer)
	if !ok {
		return nil, errors.Join(errors.New("the driver tells nobody of commits"), c.Close())
	}
	r.RegisterCommitHook(func() int32 { h.beforeCommit(); return 0 })
	return c, nil
}

func openSQLite(ctx context.Context, path string, more []SQLiteOption, pragmas ...string) (*sql.DB, error) {
	if err := prepareFile(path); err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	q := url.Values{
		"_pragma": append([]string{"busy_timeout(5000)", "journal_mode(WAL)", "foreign_keys(1)", "trusted_schema(0)"}, pragmas...),
		"_txlock": {"immediate"},
	}
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}
	c, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	for _, change := range more {
		c = change(c)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(sqliteConns)
	db.SetMaxIdleConns(sqliteConns)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return db, nil
}

// prepareFile makes the file before SQLite does, which would give it the
// umask's mode; its WAL then inherits ours.
func prepareFile(path string) error {
	if path == "" || path == ":memory:" {
		return errors.New("want a file's path (for state in memory there is the memory store)")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("has mode %#o, so others can read it; run: chmod 600 %s", st.Mode().Perm(), path)
	}
	return nil
}
