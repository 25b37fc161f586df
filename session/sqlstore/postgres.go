package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/neosc/gate/session"
)

const (
	// startWithin is how long OpenPostgres waits for a server that does not
	// answer, or is starting: both may have been started at once.
	startWithin = 15 * time.Second
	startPause  = 250 * time.Millisecond
	// Connections that are not used for a while are closed, and each one after
	// half an hour, so that the pool follows a changed address.
	connIdle, connLife = 5 * time.Minute, 30 * time.Minute
)

// PostgresStore implements session.Store, session.Notes and session.Feed on
// Postgres 12 or later. It speaks to the server by database/sql, so that
// SQLite and Postgres share their statements; only the feed, which listens on
// a connection of its own, is pgx' alone.
//
// Connect to the primary itself, or through a pooler that pools sessions: one
// that pools transactions loses notifications, which the feed notices, so that
// each request asks the database. What a crash forgets is a matter of the
// server's fsync, and what a failover forgets of its synchronous_standby_names;
// a synchronous_commit that is off is turned on.
type PostgresStore struct {
	*Store
	o    PostgresOptions
	feed *feed
}

// OpenPostgres returns a Store whose schema is up to date and whose feed begins
// to connect, or says what is wrong: with the options, the server's refusal, or
// that there was none within 15 s. Close closes it.
func OpenPostgres(ctx context.Context, o PostgresOptions) (*PostgresStore, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("session store in postgres: %w", err)
	}
	cfg, err := parsePostgres(o)
	if err != nil {
		return nil, fmt.Errorf("session store in postgres: %w", err)
	}
	db := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, o.settings(), pgx.QueryExecModeSimpleProtocol)
		return err
	}))
	db.SetMaxOpenConns(o.Conns)
	db.SetMaxIdleConns(o.Conns)
	db.SetConnMaxIdleTime(connIdle)
	db.SetConnMaxLifetime(connLife)
	st, err := openPostgres(ctx, db, cfg, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("session store in postgres: %w", err), db.Close())
	}
	return st, nil
}

func openPostgres(ctx context.Context, db *sql.DB, cfg *pgx.ConnConfig, o PostgresOptions) (*PostgresStore, error) {
	if err := await(ctx, db); err != nil {
		return nil, tidy(err)
	}
	base, err := New(ctx, db, Postgres())
	if err != nil {
		return nil, err
	}
	base.owned, base.timeout, base.bulk = true, o.Timeout, o.bulk()
	hub, err := session.NewHub(o.Logger, o.Registerer, o.MetricPrefix)
	if err != nil {
		return nil, err
	}
	return &PostgresStore{Store: base, o: o, feed: newFeed(&cfg.Config, o.Clock, hub)}, nil
}

// settings are what each connection of the pool begins with. They are not sent
// as start parameters, which poolers refuse.
func (o *PostgresOptions) settings() string {
	return fmt.Sprintf(`SELECT set_config('statement_timeout', '%d', false), set_config('idle_in_transaction_session_timeout', '%d', false),
		set_config('lock_timeout', '%d', false), set_config('default_transaction_isolation', 'read committed', false),
		set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)`,
		o.bulk().Milliseconds(), o.bulk().Milliseconds(), o.bulk().Milliseconds())
}

// await waits until the server answers. One that refuses (a wrong password, no
// such database) is not asked again.
func await(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var last error
	for {
		err := db.PingContext(ctx)
		if last == nil || ctx.Err() == nil { // a try that time cut short does not say why
			last = err
		}
		var said *pgconn.PgError
		if err == nil || (errors.As(err, &said) && said.Code != cannotConnectNow) {
			return err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(startPause):
		}
	}
}

// DB is the store's database, for what else is kept there.
func (p *PostgresStore) DB() *sql.DB { return p.db }

// Close implements session.Store. It closes the database as well.
func (p *PostgresStore) Close() error {
	p.feed.close()
	return p.Store.Close()
}

// Watch implements session.Feed.
func (p *PostgresStore) Watch(f func(session.Key)) (stop func()) { return p.feed.hub.Watch(f) }

// FreshUntil implements session.Feed.
func (p *PostgresStore) FreshUntil() time.Time { return p.feed.hub.FreshUntil() }

// DeleteUser implements session.Store. It also keeps sign-ins of the user that
// are under way from being stored.
func (p *PostgresStore) DeleteUser(ctx context.Context, userID string) ([]session.Key, error) {
	ctx, done, err := p.begin(ctx, p.bulk)
	if err != nil {
		return nil, err
	}
	defer done()
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, p.unavailable(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	// The same lock as in the trigger session_begins; each statement sees what
	// was committed before it.
	_, err = tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock('sessions'::regclass::oid::int, hashtext($1) & 1023)`, term(userID))
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO session_user_ends (user_id, ended_at) VALUES ($1, $2)
			ON CONFLICT (user_id) DO UPDATE SET ended_at = greatest(session_user_ends.ended_at, excluded.ended_at)`,
			term(userID), p.o.Clock().UnixMicro())
	}
	if err != nil {
		return nil, p.unavailable(err)
	}
	keys, err := p.deleteUser(ctx, tx, userID)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, p.unavailable(err)
	}
	return keys, nil
}

// Sweep implements session.Store.
func (p *PostgresStore) Sweep(ctx context.Context, now time.Time, ended func([]*session.Session)) (int, error) {
	n, err := p.Store.Sweep(ctx, now, ended)
	if err == nil {
		_, err = p.write(ctx, `DELETE FROM session_user_ends WHERE ended_at < ?`, now.Add(-endLife).UnixMicro())
	}
	return n, err
}

// ClockSkew returns how far the server's clock is ahead of this process's, to
// within half the time that asking took. Gates that differ much disagree on
// which sessions are over.
func (p *PostgresStore) ClockSkew(ctx context.Context) (time.Duration, error) {
	ctx, done, err := p.begin(ctx, p.timeout)
	if err != nil {
		return 0, err
	}
	defer done()
	var before, theirs time.Time
	err = p.again(ctx, func() error {
		before = p.o.Clock()
		return p.db.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&theirs)
	})
	if err != nil {
		return 0, p.unavailable(err)
	}
	took := p.o.Clock().Sub(before)
	return theirs.Sub(before.Add(took / 2)), nil
}
