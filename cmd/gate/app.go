package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/extauthz"
	"github.com/neosc/gate/authz/limit"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/authz/observe/decisionlog"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/authz/switches"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/cmd/gate/internal/crlfiles"
	"github.com/neosc/gate/cmd/gate/internal/procs"
	"github.com/neosc/gate/cmd/gate/internal/teardown"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
	"github.com/neosc/gate/session/cookie"
	grants "github.com/neosc/gate/session/demo"
	"github.com/neosc/gate/session/mfa"
	"github.com/neosc/gate/session/oidclogin"
	"github.com/neosc/gate/session/web/pages"
)

// app is everything that a running gate consists of, wired and not yet
// listening: whatever can fail in its parts has failed before a socket opens.
type app struct {
	cfg      *config.Config
	log      *slog.Logger
	registry *prometheus.Registry
	health   *observe.Health
	teardown *teardown.Stack

	routes   *route.File // as read at the start
	live     *route.Live // as they are now
	reload   *routesReload
	engine   *engine.Engine
	policy   *bundles.Manager
	switches *switches.Keeper
	limiter  authz.Limiter
	guesses  *limit.Guesses
	store    session.Store
	trail    *audit.Trail
	kept     *audit.Decisions
	marks    *session.MarkCopies
	sessions *session.Manager
	ring     *cookie.Ring
	signer   *assertion.Signer
	keys     *keyWatch
	accounts *account.Store
	service  *account.Service // what people and administrators do with accounts
	factors  *mfa.Store
	guard    *mfa.Guard        // accounts, with their second factors
	logins   *oidclogin.Logins // nil without providers
	grants   *grants.Store
	demos    *grants.Service
	opsAddr  string
	freeOps  func(context.Context) error // closes the ops port for a successor
	taken    chan struct{}               // closed once a successor serves
	inside   *inside                     // a way to the check server that is always there
	procs    *procs.Procs                // nil: the number of threads is left alone
	pages    *pages.Renderer
	access   *observe.Log
	logged   *decisionlog.Log // nil: decisions are not logged
	metrics  *observe.Metrics
	recent   *observe.Recent
	shadow   *shadowed // a candidate policy that is being watched
	decider  *authz.Decider
	revoked  *crlfiles.Lists
}

// newApp builds the parts. On an error nothing is left open.
func newApp(ctx context.Context, cfg *config.Config, log *slog.Logger, stdout io.Writer) (a *app, err error) {
	a = &app{cfg: cfg, log: log, registry: prometheus.NewRegistry(), health: observe.NewHealth(observe.HealthOptions{}), teardown: &teardown.Stack{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.teardown.Close())
			a = nil
		}
	}()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if m := procs.This(); m != nil {
		a.procs, err = procs.New(procs.Options{
			Machine: m, Now: time.Now, After: func(d time.Duration, f func()) { time.AfterFunc(d, f) },
			Registerer: a.registry, MetricPrefix: cfg.Metrics.Prefix,
		})
		if err != nil {
			return a, err
		}
	}
	for _, step := range []func(context.Context, io.Writer) error{
		a.openRoutes, a.openPolicy, a.openLimits, a.openSessions, a.openSigner, a.openProviders, a.openPages, a.openObservers, a.openDecider,
	} {
		if err := step(ctx, stdout); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (a *app) openRoutes(context.Context, io.Writer) (err error) {
	if a.routes, err = loadRoutes(a.cfg); err == nil {
		a.live = route.NewLive(a.routes)
	}
	return err
}

// loadRoutes reads the routes file and checks what it and the config must
// agree on.
func loadRoutes(cfg *config.Config) (*route.File, error) {
	f, err := route.Load(cfg.Routes)
	if err != nil {
		return nil, err
	}
	if p := cfg.Identity.HeaderPrefix; !f.Settable().Has(p+"email") || !f.Settable().Has(cfg.Identity.AssertionHeader()) {
		return nil, fmt.Errorf("%s: set_headers lacks %s*, which identity.header_prefix asks for; add it there", cfg.Routes, p)
	}
	return f, nil
}

// edge is what the engine has to know of what Envoy forwards and lets be set.
func edge(cfg *config.Config, f *route.File) engine.Edge {
	return engine.Edge{
		SessionCookie: cfg.Cookie.Name, IdentityPrefix: cfg.Identity.HeaderPrefix,
		Forwarded: f.Forwarded(), Settable: f.Settable().Patterns(), Reserved: []string{cfg.Identity.AssertionHeader()}, ResponseSettable: f.ResponseSettable().Patterns(),
	}
}

func (a *app) openPages(context.Context, io.Writer) (err error) {
	place, err := time.LoadLocation("America/Mexico_City")
	if err != nil {
		return err
	}
	a.pages, err = pages.New(pages.Options{
		Of: strings.TrimPrefix(a.cfg.Cookie.Domain, "."), GateOrigin: a.routes.GateOrigin(), FormTargets: a.formTargets(), Location: place, Place: "Mexico City",
		Demos: len(a.cfg.Demo.Kinds) > 0,
	})
	return err
}

func (a *app) openObservers(_ context.Context, stdout io.Writer) (err error) {
	a.metrics, err = observe.NewMetrics(observe.MetricsOptions{Registerer: a.registry, Prefix: a.cfg.Metrics.Prefix, Routes: a.routes.RouteNames()})
	if err != nil || a.cfg.Log.Access == "off" {
		return err
	}
	w := stdout
	if a.cfg.Log.Access != "stdout" {
		f, err := os.OpenFile(a.cfg.Log.Access, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err != nil {
			return fmt.Errorf("log.access: %w", err)
		}
		a.teardown.Add("access log file", time.Second, func(context.Context) error { return f.Close() })
		w = f
	}
	if a.access, err = observe.NewLog(observe.LogOptions{Writer: w, Registerer: a.registry, Prefix: a.cfg.Metrics.Prefix}); err != nil {
		return err
	}
	a.teardown.Add("access log", 5*time.Second, a.access.Close)
	return nil
}

func (a *app) openDecider(context.Context, io.Writer) (err error) {
	if a.recent, err = observe.NewRecent(0); err != nil {
		return err
	}
	observers := authz.Observers{a.metrics, a.recent}
	if a.access != nil {
		observers = append(observers, a.access)
	}
	if err := a.openDecisionLog(); err != nil {
		return err
	}
	if a.logged != nil {
		observers = append(observers, a.logged)
	}
	if err := a.openShadow(); err != nil {
		return err
	}
	observers = append(observers, a.shadow)
	if err := a.openRevoked(); err != nil {
		return err
	}
	a.decider, err = authz.NewDecider(authz.Options{
		Sessions: a.sessions, Engine: a.deciding(), Limiter: a.limiter, CookieName: a.cfg.Cookie.Name, Observer: observers, Keep: a.keepDecision,
		Revoked: a.isRevoked,
	})
	return err
}

// checkServer is the gRPC side.
func (a *app) checkServer() (*extauthz.Server, error) {
	tickets, err := a.tickets()
	if err != nil {
		return nil, err
	}
	return extauthz.New(extauthz.Options{
		Decider: a.decider, Routes: a.live, CookieName: a.cfg.Cookie.Name,
		SignInURL: a.routes.GateOrigin() + "/oauth2/sign_in", SecondFactorURL: a.routes.GateOrigin() + "/oauth2/second_factor",
		Assertion: a.signer.Assertion, AssertionHeader: a.cfg.Identity.AssertionHeader(),
		Ticket:   tickets.Ticket,
		Settable: a.routes.Settable().Has, RefusalPage: a.refusalPage, LimitHeaders: limit.Headers,
		Logger: a.log, Clock: time.Now, OnPanic: a.metrics.Panic,
	})
}
