package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/cmd/gate/internal/config"
)

func (a *app) openPolicy(_ context.Context, _ io.Writer) (err error) {
	e := engine.Options{Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix}
	if a.cfg.Policy.Engine == config.EngineAuto {
		e.Machine = &engine.MachineOptions{
			Logger: a.log, Dir: a.cfg.Policy.State, Build: sync.OnceValues(buildID), CacheBytes: int64(a.cfg.Policy.CacheMiB) << 20, Busy: a.procs.Busy,
		}
	}
	if a.engine, err = engine.New(e); err != nil {
		return err
	}
	a.teardown.Add("policy engine", 5*time.Second, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		// A comparison that does not end at once ends with the process: it keeps
		// nothing that would be lost.
		_ = a.engine.Close(ctx)
		return nil
	})
	if err := a.newSwitches(); err != nil {
		return err
	}
	o := bundles.Options{
		Engine: a.engine, Adjust: adjustPolicy(a.switches), Edge: edge(a.cfg, a.routes), EntryPoint: a.cfg.Policy.Entrypoint, Timeout: a.cfg.Policy.Timeout,
		Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix, Notify: a.auditPolicy,
		Busy: a.procs.Busy,
	}
	if err := policyPlace(a.cfg, a.log, &o); err != nil {
		return err
	}
	if a.policy, err = bundles.New(o); err != nil {
		return err
	}
	a.health.Add("policy", a.policyHealth)
	return a.policy.Reload()
}

// policyHealth: a refused reload is shown and keeps no request from being
// served, once a policy is active; nor does a policy that OPA's evaluator has to
// run.
func (a *app) policyHealth(context.Context) error {
	s := a.policy.Status()
	if s.Generation == 0 {
		return s.LastError
	}
	var slow error
	if x := a.engine.Evaluator(); x.Evaluator == engine.OPA && x.Why != "" && !x.Pending {
		slow = fmt.Errorf("runs on OPA's evaluator: %s", x.Why)
	}
	return observe.Degraded(errors.Join(s.LastError, sourceTrouble(&s), slow))
}

// buildID tells one build of the gate from another, whatever it was made of.
func buildID() (string, error) {
	name, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
