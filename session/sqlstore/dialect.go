package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// versionTable keeps this store's schema version; other rooms that share the
// database have tables of their own.
const versionTable = "session_schema"

// Dialect is what databases differ in. All statements are written in the SQL
// that SQLite and Postgres share, with ? for parameters.
type Dialect struct {
	name     string // the folder under migrations
	goose    database.Dialect
	numbered bool // parameters are $1, $2 … instead of ?
	// oneWriter: writers queue up in this process, because the database would
	// have them poll for its only write lock.
	oneWriter bool
	// locker keeps processes that start at once from migrating at once; nil
	// where the database does that by itself.
	locker func() lock.SessionLocker
	// skipLocked has a sweep leave rows alone that others are at: two that
	// delete many rows, each in its own order, would wait for each other.
	skipLocked string
	// lost reports whether an error is of a connection that was lost; nil where
	// there is none to lose.
	lost func(error) bool
	// tidy takes from an error what must not be shown; nil if nothing.
	tidy func(error) error
}

// SQLite is the dialect of OpenSQLite's databases.
func SQLite() Dialect {
	return Dialect{name: "sqlite", goose: goose.DialectSQLite3, oneWriter: true}
}

// Postgres is the dialect of OpenPostgres' databases.
func Postgres() Dialect {
	return Dialect{
		name: "postgres", goose: goose.DialectPostgres, numbered: true,
		locker:     func() lock.SessionLocker { return new(migrationLock) },
		skipLocked: " FOR UPDATE SKIP LOCKED", lost: isLost, tidy: tidy,
	}
}

// Bind rewrites a statement's ? to what the dialect wants. Statements have no
// other question marks.
func (d Dialect) Bind(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// Migrate brings a schema up to date: files has a folder of goose migrations
// for each dialect ("sqlite", "postgres"), and table keeps the version. A
// schema that is newer than files is left as it is, so that an older gate can
// run beside a newer one. Many processes may call it at once.
func (d Dialect) Migrate(ctx context.Context, db *sql.DB, files fs.FS, table string) error {
	dir, err := fs.Sub(files, d.name)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	options := []goose.ProviderOption{goose.WithTableName(table), goose.WithDisableGlobalRegistry(true)}
	if d.locker != nil {
		options = append(options, goose.WithSessionLocker(d.locker()))
	}
	p, err := goose.NewProvider(d.goose, db, dir, options...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrations: %w", d.Tidy(err))
	}
	return nil
}

// InProcess reports whether the database is a part of this process, so that a
// statement costs no round trip.
func (d Dialect) InProcess() bool { return d.oneWriter }

// Tidy returns err without what must not be shown.
func (d Dialect) Tidy(err error) error {
	if d.tidy == nil || err == nil {
		return err
	}
	return d.tidy(err)
}

func (d Dialect) migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return d.Migrate(ctx, db, files, versionTable)
}

const (
	// migrationKey names the advisory lock of all migrations in a database.
	migrationKey = 0x6761_7465_0001 // "gate"
	// migrationPoll is how often the lock is asked for: waiting in the database
	// would hold a snapshot open, on which some migrations wait in turn.
	migrationPoll = 50 * time.Millisecond
	// migrationTime bounds one statement of a migration, and unlockTime the end
	// of all.
	migrationTime = "60s"
	unlockTime    = 5 * time.Second
)

// migrationLock is a Postgres advisory lock, which ends with its connection.
// While it is held statements may take as long as migrations need.
type migrationLock struct{ timeout string }

// SessionLock implements lock.SessionLocker.
func (l *migrationLock) SessionLock(ctx context.Context, c *sql.Conn) error {
	err := c.QueryRowContext(ctx, `SELECT current_setting('statement_timeout')`).Scan(&l.timeout)
	if err == nil {
		_, err = c.ExecContext(ctx, `SELECT set_config('statement_timeout', $1, false)`, migrationTime)
	}
	if err != nil {
		return err
	}
	t := time.NewTicker(migrationPoll)
	defer t.Stop()
	for {
		var got bool
		err := c.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, migrationKey).Scan(&got)
		if err != nil || got {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another gate migrates the database: %w", ctx.Err())
		case <-t.C:
		}
	}
}

// SessionUnlock implements lock.SessionLocker.
func (l *migrationLock) SessionUnlock(ctx context.Context, c *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, unlockTime)
	defer cancel()
	_, err := c.ExecContext(ctx, `SELECT pg_advisory_unlock($1), set_config('statement_timeout', $2, false)`, migrationKey, l.timeout)
	return err
}
