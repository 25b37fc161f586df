package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/authz/switches"
	"github.com/neosc/gate/session"
)

// newSwitches makes the keeper of the policy's switches, which stand at their
// defaults until openSwitches.
func (a *app) newSwitches() (err error) {
	a.switches, err = switches.New(switches.Options{Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix})
	return err
}

// adjustPolicy puts the switches' values into a policy set before it is compiled,
// and refuses what the gate alone can see is wrong.
func adjustPolicy(k *switches.Keeper) func(*engine.Source) error {
	return func(src *engine.Source) (err error) {
		if err := checkActions(src); err != nil {
			return err
		}
		src.Data, src.Revision, err = k.Fold(src.Data, src.Revision)
		return err
	}
}

// openSwitches puts in force what the switches are set to, and from then on
// what they are changed to. They are where sessions are if gates share those,
// so that all gates have the same, else where accounts are.
func (a *app) openSwitches(ctx context.Context, db *sql.DB, d session.SQLDialect) error {
	store, isShared := a.store.(session.SwitchStore)
	last := ""
	var err error
	if isShared { // the one store without which a gate starts
		last = filepath.Join(filepath.Dir(a.cfg.Session.Path), "policy-switches.json")
	} else if store, err = switches.NewSQL(ctx, db, d); err != nil {
		return err
	}
	err = a.switches.Open(ctx, switches.Backing{
		Store: store, Audit: a.trail, Activate: a.policy.Renew, Copy: last,
		Active: func() (string, uint64) { s := a.policy.Status(); return s.Revision, s.Generation },
	})
	switch {
	case isShared && errors.Is(err, switches.ErrUnknown):
		a.log.Error("nothing is decided until the store is there", "error", err)
	case err != nil:
		return err
	}
	a.health.Add("policy switches", func(context.Context) error {
		if !a.switches.Known() {
			return a.switches.Trouble()
		}
		return observe.Degraded(a.switches.Trouble())
	})
	a.teardown.Go(ctx, "policy switches", 5*time.Second, a.switches.Run)
	return nil
}

// deciding is what takes decisions: nothing, until the switches were known once.
func (a *app) deciding() authz.Engine {
	if a.switches.Known() {
		return a.engine
	}
	return engineOnceKnown{a.engine, a.switches}
}

type engineOnceKnown struct {
	authz.Engine
	switches *switches.Keeper
}

// Decide implements authz.Engine.
func (e engineOnceKnown) Decide(ctx context.Context, r *authz.Request) (*authz.Decision, error) {
	if !e.switches.Known() {
		return nil, switches.ErrUnknown
	}
	return e.Engine.Decide(ctx, r)
}
