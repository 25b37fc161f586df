package main

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/neosc/gate/session/web/admin"
)

// adminHandler is what the commands and a successor speak to.
func (a *app) adminHandler(successors http.Handler) (http.Handler, error) {
	started := time.Now()
	commands, err := admin.New(admin.Options{
		Sessions: a.sessions, Users: a.service, Members: a.service, Organizations: a.service, Factors: a.factors, People: a.accounts, Audit: a.trail, AuditLog: a.trail, Switches: a.switches, Demos: a.demosOrNil(), CookieName: a.cfg.Cookie.Name, Logger: a.log, Clock: time.Now,
		Reload: func(context.Context) (admin.Policy, error) {
			err := a.policy.Reload()
			return a.activePolicy(), err
		},
		Status:   func(ctx context.Context) admin.Status { return a.status(ctx, started) },
		Decision: a.decision, Mask: maskSession,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", commands)
	mux.Handle(handoverPath, successors)
	mux.HandleFunc("GET "+policyPath, a.showPolicy)
	a.shadow.handle(mux)
	mux.HandleFunc("GET "+bundlesPath, a.showKept)
	mux.HandleFunc("POST "+rollbackPath, a.rollback)
	mux.HandleFunc("GET "+routesPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(a.live.File().Source()) // whoever asked is gone otherwise
	})
	return mux, nil
}

func (a *app) activePolicy() admin.Policy {
	s := a.policy.Status()
	return admin.Policy{Revision: s.Revision, Generation: s.Generation}
}

// status is what operators may see of a running gate.
func (a *app) status(ctx context.Context, started time.Time) admin.Status {
	out := admin.Status{Version: version(), Started: started, Policy: a.activePolicy()}
	if n, err := a.store.CountLive(ctx, time.Now()); err == nil {
		out.Sessions = n
	}
	r := a.health.Report(ctx)
	out.Ready = r.Ready
	for _, p := range r.Parts {
		if !p.Ready {
			out.NotReady = append(out.NotReady, p.Name+": "+p.Detail)
		}
	}
	return out
}

// version is the module's version as the build recorded it.
func version() string {
	if bi, ok := debug.ReadBuildInfo(); ok {
		return bi.Main.Version
	}
	return "devel"
}
