package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/neosc/gate/authz/limit/redislimit"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/web"
)

// openSessions opens the local state: the key ring, sessions and accounts.
func (a *app) openSessions(ctx context.Context, stdout io.Writer) error {
	ring, err := cookie.OpenRing(a.cfg.Cookie.Keys)
	if err != nil {
		return err
	}
	a.ring = ring
	sealer, err := cookie.New(ring, a.cfg.Cookie.Name, "session")
	if err != nil {
		return err
	}
	refreshes, err := cookie.New(ring, a.cfg.Cookie.Name, "refresh token")
	if err != nil {
		return err
	}
	db, dialect, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	if err := a.openAudit(ctx, db, dialect); err != nil {
		return err
	}
	if err := a.openSwitches(ctx, db, dialect); err != nil {
		return err
	}
	if err := a.openMarks(); err != nil {
		return err
	}
	if err := a.openAccounts(ctx, db, dialect); err != nil {
		return err
	}
	if err := a.openGrants(ctx, db, dialect); err != nil {
		return err
	}
	tokens, err := a.openBearer()
	if err != nil {
		return err
	}
	a.sessions, err = session.NewManager(session.Options{
		Store: a.store, Audit: a.trail, Marks: a.marks, Accounts: a.accounts, Grants: a.grants, Sealer: sealer, Refreshes: refreshes, Bearer: tokens, Due: a.refreshDue, Lifetime: a.cfg.Session.Lifetime, Idle: a.cfg.Session.Idle, StaleGrace: a.cfg.Session.StaleGrace,
		Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return err
	}
	a.teardown.Add("sessions", 5*time.Second, func(context.Context) error { a.sessions.Close(); return nil })
	if err := a.openFactors(ctx, db, dialect); err != nil {
		return err
	}
	if err := a.openDemos(ctx); err != nil {
		return err
	}
	return a.openService(ctx, stdout)
}

// openStore opens the store that session.store names and returns the database
// that accounts are in: Postgres if sessions are there, else a SQLite file.
func (a *app) openStore(ctx context.Context) (*sql.DB, sqlstore.Dialect, error) {
	var none sqlstore.Dialect
	if a.cfg.Session.Store == "postgres" {
		st, err := sqlstore.OpenPostgres(ctx, sqlstore.PostgresOptions{
			URL: a.cfg.Session.Postgres, Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
		})
		if err != nil {
			return nil, none, fmt.Errorf("session.postgres (or DATABASE_URL): %w", err)
		}
		a.addShared(st, st.Close)
		a.store = st
		return st.DB(), sqlstore.Postgres(), nil
	}
	db, err := sqlstore.OpenSQLite(ctx, a.cfg.Session.Path, a.roomToCommit())
	if err != nil {
		return nil, none, fmt.Errorf("session.path: %w", err)
	}
	a.teardown.Add("database", 5*time.Second, func(context.Context) error { return db.Close() })
	a.health.Add("database", db.PingContext)
	switch a.cfg.Session.Store {
	case "sqlite":
		a.store, err = sqlstore.New(ctx, db, sqlstore.SQLite())
	case "redis":
		err = a.openRedis()
	default:
		a.store = memstore.New()
	}
	return db, sqlstore.SQLite(), err
}

// roomToCommit has all threads run before a database waits for the disk: checks
// would wait for it too.
func (a *app) roomToCommit() sqlstore.SQLiteOption {
	return sqlstore.BeforeCommit(func() { a.procs.Busy()() })
}

func (a *app) openRedis() error {
	redislimit.RouteClientLog(a.log)
	conf, err := redisTLS("session", a.cfg.Session.RedisTLS, a.log)
	if err != nil {
		return err
	}
	st, err := redisstore.Open(redisstore.Options{
		URL: a.cfg.Session.Redis, TLS: conf, Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return fmt.Errorf("session.redis (or REDIS_URL): %w", err)
	}
	a.addShared(st, st.Close)
	a.store = st
	return nil
}

// addShared closes a store that gates share at the end, and has the gate ready
// only while it answers and its clock agrees.
func (a *app) addShared(st clocked, closeIt func() error) {
	a.teardown.Add("session store", 5*time.Second, func(context.Context) error { return closeIt() })
	a.health.Add("session store", func(ctx context.Context) error { return storeHealth(ctx, st) })
}

// clocked is a server whose clock can be read.
type clocked interface {
	ClockSkew(context.Context) (time.Duration, error)
}

// maxSkew is how far the clocks of a gate and of its shared store may differ:
// beyond it gates would disagree on which sessions are over.
const maxSkew = 500 * time.Millisecond

func storeHealth(ctx context.Context, st clocked) error {
	skew, err := st.ClockSkew(ctx)
	if err == nil && skew.Abs() > maxSkew {
		err = fmt.Errorf("its clock is %v from this machine's, more than %v: let both follow a time server", skew.Round(time.Millisecond), maxSkew)
	}
	return err
}

// reloadOnHangup reads the policy and the keys again on SIGHUP, and the keys
// when their files have changed.
func (a *app) reloadOnHangup(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	look := time.NewTicker(keyInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			if a.keys.changed() {
				a.reloadKeys()
			}
		case <-hup:
			a.reload.reload(ctx)
			_ = a.policy.Reload() // says itself what was refused
			a.reloadKeys()
		}
	}
}

// ownHandler is the gate's own host.
func (a *app) ownHandler() (http.Handler, error) {
	o := web.Options{
		Pages: a.pages, Accounts: a.guard, Sessions: a.sessions, Factors: a.factors, Identities: a.guard,
		GateOrigin: a.routes.GateOrigin(), IsOrigin: a.live.IsOrigin, Apps: a.apps, IsAdministrator: a.isAdministrator,
		Cookie: session.CookieSpec{Name: a.cfg.Cookie.Name, Domain: a.cfg.Cookie.Domain, Secure: !a.cfg.Cookie.Insecure},
		JWKS:   a.signer.JWKS, FormKeys: func() ([][]byte, error) { return a.ring.DeriveKeys("sign-in forms") }, Logger: a.log, Clock: time.Now,
		Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
		NoAccounts: !a.cfg.Passwords(), Audit: a.trail, AuditLog: a.trail, Tokens: a.sessions, Switches: a.switches,
	}
	if a.logins != nil {
		o.Logins = a.logins
		o.Exchange = a.exchangeFor()
	}
	a.welcomeStrangers(&o)
	own, err := web.New(o)
	if err != nil {
		return nil, err
	}
	if err := a.addConsole(own, o); err != nil {
		return nil, err
	}
	all, err := a.withAPI(own, o)
	if err != nil {
		return nil, err
	}
	return a.withActions(all)
}
