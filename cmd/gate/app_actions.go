package main

import (
	"fmt"
	"sync/atomic"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/session"
)

// actions names what allowed requests do, as the data of the active policy says.
type actions struct {
	active func() (*engine.Program, uint64)
	last   atomic.Pointer[programActions]
}

type programActions struct {
	program *engine.Program
	table   *audit.Actions
}

// of is what the audit trail asks about each allowed request.
func (a *actions) of(r *authz.Request) (session.Action, map[string]string) {
	p, _ := a.active()
	if p == nil {
		return "", nil
	}
	now := a.last.Load()
	if now == nil || now.program != p {
		t, err := audit.ParseActions(p.Data("neosc", "audit_actions"))
		if err != nil {
			return "", nil // checkActions has let none such be active
		}
		now = &programActions{p, t}
		a.last.Store(now)
	}
	return now.table.Of(r)
}

// checkActions refuses a policy set whose table of actions cannot be read.
func checkActions(src *engine.Source) error {
	top, _ := src.Data["neosc"].(map[string]any)
	if _, err := audit.ParseActions(top["audit_actions"]); err != nil {
		return fmt.Errorf("data.neosc.%w", err)
	}
	return nil
}
