package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session"
	grants "github.com/neosc/gate/session/demo"
	"github.com/neosc/gate/session/demo/webhook"
)

// openGrants opens where demo grants are kept, before the sessions that carry
// them.
func (a *app) openGrants(ctx context.Context, db *sql.DB, d session.SQLDialect) (err error) {
	a.grants, err = grants.NewStore(ctx, db, d, time.Now)
	return err
}

// openDemos opens what is done with demo grants. What is due is done beside
// requests; also where no kinds of workspaces are left, for grants of before.
func (a *app) openDemos(ctx context.Context) error {
	c := &a.cfg.Demo
	steps, err := a.demoSteps()
	if err != nil {
		return err
	}
	o := grants.Options{
		Store: a.grants, Sessions: a.sessions, Accounts: a.accounts, Audit: a.trail, Steps: steps, EndOrder: c.EndOrder,
		Caps:      grants.Caps{User: c.Caps.User, Organization: c.Caps.Organization, Address: c.Caps.Address, All: c.Caps.All},
		Extension: c.Extension, Pending: c.Pending, Keep: c.Keep, Sweep: c.Sweep,
		Logger: a.log, Registerer: a.registry, MetricPrefix: a.cfg.Metrics.Prefix,
	}
	for _, k := range c.Kinds {
		o.Kinds = append(o.Kinds, session.WorkspaceKind{Name: k.Name, Title: k.Title, Description: k.Description, MaxDuration: k.MaxDuration, Approval: k.Approval})
	}
	if a.demos, err = grants.New(o); err != nil {
		return err
	}
	a.teardown.Go(ctx, "demo sessions", 15*time.Second, a.demos.Run)
	return nil
}

// demoSteps are those of the configuration.
func (a *app) demoSteps() ([]grants.Step, error) {
	var out []grants.Step
	for i := range a.cfg.Demo.Steps {
		c := &a.cfg.Demo.Steps[i]
		s, err := a.demoStep(c)
		if err != nil {
			return nil, fmt.Errorf("demo.steps: %s: %w", c.Name, err)
		}
		out = append(out, grants.Step{DemoStep: s, Timeout: c.Timeout, Retries: c.Retries, Backoff: c.Backoff})
	}
	return out, nil
}

func (a *app) demoStep(c *config.DemoStep) (session.DemoStep, error) {
	switch c.Kind {
	case config.StepWebhook:
		return webhook.New(webhook.Options{Name: c.Name, URL: c.URL, Secrets: c.SecretsFile, Timeout: min(c.Timeout, webhook.MaxTimeout)})
	case config.StepZitadel:
		return zitadelStep(a.cfg, c, a.notes())
	}
	return nil, fmt.Errorf("there are no steps of the kind %q", c.Kind)
}

// demosOrNil is nil where there are no kinds of workspaces to be asked for.
func (a *app) demosOrNil() session.Demos {
	if len(a.cfg.Demo.Kinds) == 0 {
		return nil
	}
	return a.demos
}
