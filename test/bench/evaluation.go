package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/ir"
	"github.com/open-policy-agent/opa/v1/loader"

	"github.com/neosc/gate/authz/engine/machine"
	"github.com/neosc/gate/policies"
)

// bareProgram is the shipped policy as a program of the machine, without an
// engine around it.
func bareProgram(ctx context.Context) (*machine.Program, error) {
	entry := strings.ReplaceAll(strings.TrimPrefix(policies.Entrypoint, "data."), ".", "/")
	b, err := loader.NewFileLoader().WithFS(policies.Files()).AsBundle(".")
	if err != nil {
		return nil, err
	}
	c := compile.New().WithTarget(compile.TargetPlan).WithEntrypoints(entry).WithPaths(".").WithFS(policies.Files())
	if err := c.Build(ctx); err != nil {
		return nil, err
	}
	plans := c.Bundle().PlanModules
	if len(plans) != 1 {
		return nil, errors.New("OPA makes no plan of the shipped policy")
	}
	plan := new(ir.Policy)
	if err := json.Unmarshal(plans[0].Raw, plan); err != nil {
		return nil, err
	}
	return machine.Compile(plan, b.Data, entry, machine.Options{})
}

// bareRun returns what evaluates q's input, which lies in a frame.
func bareRun(ctx context.Context, p *machine.Program, q *engineRequest) (evaluate func() error, release func(), err error) {
	input, err := machine.FromAST(q.input)
	if err != nil {
		return nil, nil, err
	}
	f := p.Frame()
	f.Fill(input)
	return func() error {
		f.Again()
		_, _, err := p.Run(ctx, f, q.request.Time)
		return err
	}, f.Release, nil
}
