package demo

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

//go:embed migrations
var migrations embed.FS

// versionTable keeps this package's schema version, apart from that of others
// in the same database.
const versionTable = "demo_schema"

// callTimeout bounds one call of the database.
const callTimeout = 5 * time.Second

// Store keeps grants in an SQL database. It implements session.Grants and
// session.Workspaces, and is safe for concurrent use.
type Store struct {
	db    *sql.DB
	d     session.SQLDialect
	clock func() time.Time // of a database in this process; nil: it has its own
	turn  chan struct{}    // writers of such a database queue up here
	// forUpdate has a transaction hold the rows that it reads, and skipLocked pass
	// over those that others hold.
	forUpdate, skipLocked string
}

var (
	_ session.Grants     = (*Store)(nil)
	_ session.Workspaces = (*Store)(nil)
)

// NewStore returns a Store on an open database, whose schema it brings up to date;
// db stays its opener's to close. clock is that of a database that is a part of
// this process, as d.InProcess says; one that gates share goes by its own. nil
// means time.Now.
func NewStore(ctx context.Context, db *sql.DB, d session.SQLDialect, clock func() time.Time) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err == nil {
		err = d.Migrate(ctx, db, files, versionTable)
	}
	if err != nil {
		return nil, fmt.Errorf("demo sessions: %w", err)
	}
	st := &Store{db: db, d: d, forUpdate: " FOR UPDATE", skipLocked: " FOR UPDATE SKIP LOCKED"}
	if in, ok := d.(interface{ InProcess() bool }); ok && in.InProcess() {
		st.forUpdate, st.skipLocked, st.turn = "", "", make(chan struct{}, 1)
		if st.clock = clock; clock == nil {
			st.clock = time.Now
		}
	}
	return st, nil
}

// storeNow is the clock of a shared database, in microseconds. It stands still
// within a statement, so that indexes can be used with it.
const storeNow = `(extract(epoch from statement_timestamp()) * 1000000)::bigint`

// sql readies a statement: {now} is the store's clock.
func (st *Store) sql(query string) string {
	now := storeNow
	if st.clock != nil {
		now = strconv.FormatInt(st.clock().UnixMicro(), 10)
	}
	return st.d.Bind(strings.ReplaceAll(query, "{now}", now))
}

// txn is a transaction and the store's instant at its beginning.
type txn struct {
	*sql.Tx
	st  *Store
	now time.Time
	// at is this process's clock at now, to tell how long ago that was.
	at time.Time
}

func (t *txn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.ExecContext(ctx, t.st.sql(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// refusal ends a transaction with an error of this domain.
type refusal struct{ error }

// Unwrap returns the reason.
func (r refusal) Unwrap() error { return r.error }

// tx runs f in a transaction, which is undone if f returns an error.
func (st *Store) tx(ctx context.Context, f func(ctx context.Context, t *txn) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if st.turn != nil {
		select {
		case st.turn <- struct{}{}:
			defer func() { <-st.turn }()
		case <-ctx.Done():
			return st.unavailable(ctx.Err())
		}
	}
	tx, err := st.db.BeginTx(ctx, nil)
	if err != nil {
		return st.unavailable(err)
	}
	t := &txn{Tx: tx, st: st, at: time.Now()}
	if t.now, err = st.nowOn(ctx, tx); err == nil {
		err = f(ctx, t)
	}
	if err == nil {
		err = tx.Commit()
	} else {
		_ = tx.Rollback() // what was begun is undone by the database in any case
	}
	if r, ok := errors.AsType[refusal](err); ok {
		return r.error
	}
	if err != nil {
		return st.unavailable(err)
	}
	return nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (st *Store) nowOn(ctx context.Context, q querier) (time.Time, error) {
	if st.clock != nil {
		return instant(st.clock().UnixMicro()), nil
	}
	var now int64
	err := q.QueryRowContext(ctx, `SELECT `+storeNow).Scan(&now)
	return instant(now), err
}

func (st *Store) unavailable(err error) error {
	if errors.Is(err, session.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("demo sessions: %w: %w", session.ErrUnavailable, st.d.Tidy(err))
}

// instant reads a column: 0 is none.
func instant(micro int64) time.Time {
	if micro == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micro).UTC()
}

// column is the opposite of instant.
func column(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
