package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/sqlstore"
)

// openAudit opens the audit trail: in Postgres if sessions are there, else in a
// SQLite file of its own, so that it does not wait for what else is written.
func (a *app) openAudit(ctx context.Context, db *sql.DB, d audit.Dialect) error {
	var onDisk func() error
	if a.cfg.Session.Store != "postgres" {
		file, err := sqlstore.OpenDeferred(ctx, a.cfg.Audit.Path, a.roomToCommit())
		if err != nil {
			return fmt.Errorf("audit.path: %w", err)
		}
		a.teardown.Add("audit database", 5*time.Second, func(context.Context) error { return file.Close() })
		db, onDisk = file.DB, file.Sync
	}
	trail, err := audit.New(ctx, audit.Options{DB: db, Dialect: d, Sync: onDisk, Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix})
	if err != nil {
		return err
	}
	a.trail = trail
	a.teardown.Add("audit trail", 10*time.Second, func(context.Context) error { return trail.Close() })
	a.health.Add("audit trail", db.PingContext)
	if err := a.openNotary(db, d); err != nil {
		return err
	}
	a.auditFirst()
	return a.openDecisions()
}

// openNotary has somebody sign where the trail is, if there is a key to do so.
func (a *app) openNotary(db *sql.DB, d audit.Dialect) error {
	c := a.cfg.Audit
	if c.Keys == "" {
		return nil
	}
	keys, err := audit.OpenKeys(c.Keys, trailName(a.cfg))
	if err != nil {
		return err
	}
	sinks, err := sinksOf(c.Checkpoints)
	if err != nil {
		return err
	}
	n, err := audit.NewNotary(audit.NotaryOptions{
		DB: db, Dialect: d, Trail: a.trail, Keys: keys, Every: c.Checkpoints.Every, Entries: uint64(c.Checkpoints.Entries), Keep: keepTime(a.cfg),
		Sinks: sinks, Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return err
	}
	a.health.Add("audit checkpoints", func(context.Context) error { return observe.Degraded(n.Problem()) })
	a.teardown.Go(context.Background(), "audit checkpoints", 15*time.Second, n.Run)
	return nil
}

// trailName is what tells a trail from others in its checkpoints.
func trailName(cfg *config.Config) string {
	return "audit." + strings.TrimPrefix(cfg.Cookie.Domain, ".")
}

func sinksOf(c config.Checkpoints) (all []audit.Sink, err error) {
	if c.File != "" {
		all = append(all, audit.FileSink(c.File))
	}
	if c.Dir != "" {
		all = append(all, audit.DirSink(c.Dir))
	}
	if c.URL != "" {
		s, err := audit.NewHTTPSink(c.URL)
		if err != nil {
			return nil, fmt.Errorf("audit.checkpoints.url: %w", err)
		}
		all = append(all, s)
	}
	return all, nil
}

// keepTime is how long entries are kept, 0 for ever.
func keepTime(cfg *config.Config) time.Duration {
	days, _ := cfg.Audit.KeepDays() // config has checked it
	return time.Duration(days) * 24 * time.Hour
}

func (a *app) openDecisions() (err error) {
	a.kept, err = audit.NewDecisions(audit.DecisionsOptions{
		Trail: a.trail, All: a.cfg.Audit.Decisions == "all", ActionsOnly: a.cfg.Audit.Decisions == "off", Actions: (&actions{active: a.engine.Active}).of, Required: a.cfg.Audit.Required, Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return err
	}
	a.teardown.Add("audited decisions", 10*time.Second, func(context.Context) error { return a.kept.Close() })
	return nil
}

// keepDecision has the trail tell of a decision, if it is to tell of it.
func (a *app) keepDecision(r *authz.Request, o *authz.Outcome) error { return a.kept.Keep(r, o) }

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
