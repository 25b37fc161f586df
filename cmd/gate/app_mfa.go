package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/mfa"
)

// keyTurn is how often it is looked whether the key ring has turned. A key that
// has sealed its last cookie is pruned no sooner than a session's life later.
const keyTurn = time.Minute

// openFactors opens the second factors of local accounts, which are kept beside
// these.
func (a *app) openFactors(ctx context.Context, db *sql.DB, dialect session.SQLDialect) error {
	notes, ok := a.store.(session.Notes)
	if !ok {
		return fmt.Errorf("second factors: session.store %s cannot keep sign-ins under way", a.cfg.Session.Store)
	}
	var err error
	a.factors, err = mfa.New(ctx, mfa.Options{
		DB: db, Dialect: dialect, Notes: notes, Keys: func() ([][]byte, error) { return a.ring.DeriveKeys("second factors") },
		Guesses: a.accounts, Budget: a.guesses, Origin: a.routes.GateOrigin(), Name: "NeoSC Gate of " + strings.TrimPrefix(a.cfg.Cookie.Domain, "."),
		Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	})
	if err != nil {
		return err
	}
	a.guard = &mfa.Guard{Accounts: a.accounts, Identifier: a.accounts, Factors: a.factors, Rule: mfa.Rule(a.cfg.Accounts.MFA)}
	a.renewFactorKey(ctx)
	a.health.Add("second factors", func(context.Context) error { return observe.Degraded(a.factors.Trouble()) })
	a.teardown.Go(ctx, "second factors", 5*time.Second, a.renewFactorKeys)
	return nil
}

// renewFactorKeys has the key of second factors follow the ring.
func (a *app) renewFactorKeys(ctx context.Context) {
	look := time.NewTicker(keyTurn)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			a.renewFactorKey(ctx)
		}
	}
}

// renewFactorKey is no reason not to start: sessions and passkeys need no secret
// that is kept, and what needs one says why it cannot be had.
func (a *app) renewFactorKey(ctx context.Context) {
	if err := a.factors.Renew(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("the key of second factors cannot be used", "error", err)
	}
}
