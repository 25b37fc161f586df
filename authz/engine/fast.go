package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/ir"
)

// fast is a program as the machine runs it. It decides as Program.Decide does,
// or says that it cannot.
type fast struct {
	*Program
	machine *machine.Program
	slots   *slots
	words   []string   // texts of the policy
	edge    Edge       // the program's, with the names among words
	source  *ir.Policy // OPA's plan, for the trial
}

// newFast compiles p for the machine. What goes wrong is never the policy's
// fault: it has been compiled for OPA before.
func newFast(p *Program) (f *fast, err error) {
	defer func() {
		if x := recover(); x != nil {
			f, err = nil, fmt.Errorf("compiling it for the machine failed: %v\n%s", x, debug.Stack())
		}
	}()
	plan, err := p.plan()
	if err != nil {
		return nil, err
	}
	m, err := machine.Compile(plan, p.data, p.entry, machine.Options{})
	if err != nil {
		return nil, err
	}
	f = &fast{Program: p, machine: m, slots: slotsOf(m), source: plan}
	if plan.Static != nil {
		for _, s := range plan.Static.Strings {
			f.words = append(f.words, s.Value)
		}
	}
	f.edge = p.edge.withNames(f.words)
	return f, nil
}

// plan has OPA make its plan of the policy.
func (p *Program) plan() (*ir.Policy, error) {
	b := &bundle.Bundle{}
	b.SetRegoVersion(ast.RegoV1)
	b.Manifest.Init()
	modules, err := parse(p.texts)
	if err != nil {
		return nil, err
	}
	for name, m := range modules {
		b.Modules = append(b.Modules, bundle.ModuleFile{URL: name, Path: name, Parsed: m, Raw: []byte(p.texts[name])})
	}
	b.Data = map[string]any{} // the plan is the same whatever the data
	c := compile.New().WithTarget(compile.TargetPlan).WithEntrypoints(p.entry).WithBundle(b).
		WithCapabilities(capabilities()).WithRegoVersion(ast.RegoV1).WithPruneUnused(true)
	if err := c.Build(context.Background()); err != nil {
		return nil, fmt.Errorf("OPA makes no plan of it: %w", err)
	}
	modulesOut := c.Bundle().PlanModules
	if len(modulesOut) != 1 {
		return nil, errors.New("OPA makes no plan of it")
	}
	plan := new(ir.Policy)
	if err := json.Unmarshal(modulesOut[0].Raw, plan); err != nil {
		return nil, fmt.Errorf("OPA's plan cannot be read: %w", err)
	}
	return plan, nil
}

// errLeft says that an input is OPA's to evaluate.
var errLeft = errors.New("left to OPA")

// judgement is one evaluation on the machine.
type judgement struct {
	decision *authz.Decision
	horizon  machine.Horizon
	hits     []uint64 // kept by the frame
}

// decide evaluates r in frame, which is the caller's to release. An error is
// errLeft or of type *Error.
func (f *fast) decide(ctx context.Context, frame *machine.Frame, r *authz.Request) (j judgement, err error) {
	v, horizon, err := f.value(ctx, frame, r)
	if err != nil {
		return j, err
	}
	return f.read(frame, v, horizon)
}

// decideMarked is decide with marks for the texts that are not empty.
func (f *fast) decideMarked(ctx context.Context, frame *machine.Frame, r *authz.Request, h *holes, open []string) (j judgement, err error) {
	if err := f.slots.fill(f.build, frame, r); err != nil {
		return j, failf(Evaluation, "input: %w", err)
	}
	for i, text := range open {
		if text != "" {
			frame.SetText(h.list[i].slot.index, h.list[i].mark)
		}
	}
	v, horizon, err := f.machine.Run(ctx, frame, r.Time)
	if err != nil {
		return j, failure(err)
	}
	return f.read(frame, v, horizon)
}

// value is what the entry point says of r, which holds until frame is released.
func (f *fast) value(ctx context.Context, frame *machine.Frame, r *authz.Request) (v *machine.Value, horizon machine.Horizon, err error) {
	if err := judgeable(r); err != nil {
		return nil, horizon, err
	}
	if err := f.slots.fill(f.build, frame, r); err != nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			err = failf(Evaluation, "input: %w", err)
		}
		return nil, horizon, err
	}
	if v, horizon, err = f.machine.Run(ctx, frame, r.Time); err != nil {
		return nil, horizon, failure(err)
	}
	return v, horizon, nil
}

// read makes the decision of such a value.
func (f *fast) read(frame *machine.Frame, v *machine.Value, horizon machine.Horizon) (j judgement, err error) {
	j.horizon, j.hits = horizon, frame.Hits()
	if j.decision, err = readDecision(v, &f.edge); err != nil {
		return j, err
	}
	j.decision.Revision = f.revision
	return j, nil
}

// failure puts the machine's errors into the engine's words, which are those of
// OPA's evaluator.
func failure(err error) error {
	switch {
	case errors.Is(err, machine.ErrAmbiguous):
		return errLeft
	case errors.Is(err, machine.ErrUndefined):
		return failf(Undefined, "the decision is undefined for this input: give it a default")
	case errors.Is(err, machine.ErrCancelled), errors.Is(err, machine.ErrSteps), errors.Is(err, machine.ErrMemory), errors.Is(err, machine.ErrDepth):
		return failf(Timeout, "evaluation was ended: %w", err)
	default:
		return failf(Evaluation, "%w", err)
	}
}
