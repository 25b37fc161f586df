package main

import (
	"cmp"
	"maps"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe/decisionlog"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/cmd/gate/internal/procs"
)

// openDecisionLog has every decision kept, where the config asks for it.
func (a *app) openDecisionLog() error {
	c := a.cfg.Decisions
	if !c.On() {
		return nil
	}
	sink, err := decisionSink(c, a.procs)
	if err != nil {
		return err
	}
	labels := map[string]string{"app": "neosc-gate", "version": version()}
	maps.Copy(labels, c.Labels)
	a.logged, err = decisionlog.New(decisionlog.Options{
		Sink: sink, Filter: engine.NewLogFilter(a.engine), Allows: c.Allows, Buffer: c.BufferMiB << 20, Labels: labels,
		Entrypoint: cmp.Or(a.cfg.Policy.Entrypoint, engine.DefaultEntryPoint), IdentityPrefix: a.cfg.Identity.HeaderPrefix,
		Logger: a.log, Registerer: a.registry, Prefix: a.cfg.Metrics.Prefix, Busy: a.procs.Busy,
	})
	if err != nil {
		return err
	}
	a.teardown.Add("decision log", 10*time.Second, a.logged.Close)
	return nil
}

func decisionSink(c config.Decisions, p *procs.Procs) (decisionlog.Sink, error) {
	if c.URL != "" {
		return decisionlog.NewHTTP(decisionlog.HTTPOptions{URL: c.URL, TokenFile: c.TokenFile, Busy: p.Busy})
	}
	return decisionlog.NewFile(decisionlog.FileOptions{Path: c.File, MaxBytes: int64(c.MaxMiB) << 20, Files: c.Files, Sync: c.Sync, Busy: p.Waits})
}
