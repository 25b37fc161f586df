package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/sqlstore"
)

// openAudit opens the audit trail: in Postgres if sessions are there, else in a
// SQLite file of its own, so that it does not wait for what else is written.
func (a *app) openAudit(ctx context.Context, db *sql.DB, d audit.Dialect) error {
	if a.cfg.Session.Store != "postgres" {
		var err error
		if db, err = sqlstore.OpenSQLite(ctx, a.cfg.Audit.Path); err != nil {
			return fmt.Errorf("audit.path: %w", err)
		}
		a.teardown.Add("audit database", 5*time.Second, func(context.Context) error { return db.Close() })
	}
	trail, err := audit.New(ctx, audit.Options{DB: db, Dialect: d, Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix})
	if err != nil {
		return err
	}
	a.trail = trail
	a.teardown.Add("audit trail", 10*time.Second, func(context.Context) error { return trail.Close() })
	a.health.Add("audit trail", db.PingContext)
	return nil
}

// readAudit opens the database of a trail for reading it as a whole, whether or
// not its gate is running.
func readAudit(ctx context.Context, cfg *config.Config) (*sql.DB, audit.Dialect, func() error, error) {
	if cfg.Session.Store == "postgres" {
		st, err := sqlstore.OpenPostgres(ctx, sqlstore.PostgresOptions{URL: cfg.Session.Postgres, Timeout: 10 * time.Second, Logger: quietLog()})
		if err != nil {
			return nil, nil, nil, fmt.Errorf("session.postgres (or DATABASE_URL): %w", err)
		}
		return st.DB(), sqlstore.Postgres(), st.Close, nil
	}
	if _, err := os.Stat(cfg.Audit.Path); err != nil {
		return nil, nil, nil, fmt.Errorf("audit.path: %w; no gate has written a trail there yet", err)
	}
	db, err := sqlstore.OpenSQLite(ctx, cfg.Audit.Path)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("audit.path: %w", err)
	}
	return db, sqlstore.SQLite(), db.Close, nil
}
