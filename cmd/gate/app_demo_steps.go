package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session"
	sessionclaims "github.com/neosc/gate/session/claims"
	"github.com/neosc/gate/session/demo/zitadel"
	"github.com/neosc/gate/session/memstore"
)

// issuerOf is a provider's issuer; "" if there is no such provider.
func issuerOf(cfg *config.Config, provider string) string {
	i := slices.IndexFunc(cfg.Providers, func(p config.Provider) bool { return p.ID == provider })
	if i < 0 {
		return ""
	}
	return cfg.Providers[i].Issuer
}

// zitadelStep gives people their grants' roles at a provider that is a Zitadel.
func zitadelStep(cfg *config.Config, c *config.DemoStep, notes session.Notes) (session.DemoStep, error) {
	if notes == nil {
		return nil, fmt.Errorf("session.store %s cannot keep the lock of a person's authorization", cfg.Session.Store)
	}
	return zitadel.New(zitadel.Options{
		Name: c.Name, Issuer: issuerOf(cfg, c.Provider), OrganizationID: c.OrganizationID, ProjectID: c.ProjectID, Group: c.Group,
		KeyFile: c.KeyFile, TokenFile: c.TokenFile, Notes: notes,
	})
}

// withActions puts the answers to Zitadel's Actions before the gate's own pages,
// where a target is configured; else there is no such address.
func (a *app) withActions(next http.Handler) (http.Handler, error) {
	o := zitadel.ActionsOptions{
		Active: func(ctx context.Context, issuer, subject string) (session.DemoGrant, bool, error) {
			return a.grants.ActiveGrant(ctx, sessionclaims.UserID(issuer, subject))
		},
		Logger: a.log, Clock: time.Now, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	}
	for _, c := range a.cfg.Demo.Actions {
		o.Targets = append(o.Targets, zitadel.Target{Issuer: issuerOf(a.cfg, c.Provider), KeysFile: c.KeysFile})
	}
	if len(o.Targets) == 0 {
		return next, nil
	}
	actions, err := zitadel.NewActions(o)
	if err != nil {
		return nil, fmt.Errorf("demo.actions: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == zitadel.ActionsPath {
			actions.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

// notes are the store's, nil if it keeps none.
func (a *app) notes() session.Notes {
	n, _ := a.store.(session.Notes)
	return n
}

// checkDemo says which steps of demo sessions, and which targets of Zitadel's
// Actions, cannot work. Nobody is asked.
func checkDemo(cfg *config.Config, w io.Writer) error {
	a := &app{cfg: cfg, log: slog.New(slog.DiscardHandler), store: memstore.New(), registry: prometheus.NewRegistry()}
	steps, err := a.demoSteps()
	if err == nil && len(steps) > 0 {
		var names []string
		for _, s := range steps {
			names = append(names, s.Name())
		}
		fmt.Fprintf(w, "demo      ok  steps %s (not asked)\n", strings.Join(names, ", "))
	}
	_, wrong := a.withActions(nil)
	if wrong == nil && len(cfg.Demo.Actions) > 0 {
		fmt.Fprintf(w, "demo      ok  Zitadel's Actions at %s\n", zitadel.ActionsPath)
	}
	return errors.Join(err, wrong)
}
