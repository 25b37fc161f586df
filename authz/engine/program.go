package engine

import (
	"context"
	"errors"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Program is a compiled policy set. It never changes; any number of goroutines
// may use it at once. It evaluates with OPA's own evaluator.
type Program struct {
	revision string
	data     map[string]any
	texts    map[string]string // of the modules
	entry    string            // as plans name it, "neosc/authz/decision"
	edge     Edge
	build    *builder
	timeout  time.Duration

	compiler      *ast.Compiler
	queryCompiler ast.QueryCompiler
	query         ast.Body
	store         storage.Store
	txn           storage.Transaction
	log           *logRules // nil: the policy has none
}

const resultVar = ast.Var("result")

// Revision names the policy set.
func (p *Program) Revision() string { return p.revision }

// Data returns the value at a path of the base document, nil if there is none:
// JSON values as Source.Data has them, not to be changed. It is for showing
// people what policy decides by; decisions never go through it.
func (p *Program) Data(path ...string) any {
	var v any = p.data
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// Decide evaluates the entry point for r at r.Time. It is what an Engine does
// with its active program, without counting. Errors are of type *Error.
func (p *Program) Decide(ctx context.Context, r *authz.Request) (*authz.Decision, error) {
	input, err := p.build.build(r)
	if err != nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			err = failf(Evaluation, "input: %w", err)
		}
		return nil, err
	}
	v, err := p.eval(ctx, input, r.Time)
	if err != nil {
		return nil, err
	}
	d, err := parseDecision(v, &p.edge)
	if err != nil {
		return nil, err
	}
	d.Revision = p.revision
	return d, nil
}

// eval returns the entry point's value. A timer and not a context stops it:
// OPA looks at a flag, and a context that ends would need a goroutine each time.
func (p *Program) eval(ctx context.Context, input *ast.Term, now time.Time) (ast.Value, error) {
	cancel := topdown.NewCancel()
	timer := time.AfterFunc(p.timeout, cancel.Cancel)
	defer timer.Stop()
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, cancel.Cancel)()
	}
	q := topdown.NewQuery(p.query).
		WithQueryCompiler(p.queryCompiler).
		WithCompiler(p.compiler).
		WithStore(p.store).
		WithTransaction(p.txn).
		WithMetrics(metrics.NoOp()).
		WithCancel(cancel).
		WithTime(now).
		WithInput(input)
	var result ast.Value
	err := q.Iter(ctx, func(qr topdown.QueryResult) error {
		result = qr[resultVar].Value
		return nil
	})
	switch {
	case topdown.IsCancel(err):
		return nil, failf(Timeout, "evaluation was ended after %v or by its caller", p.timeout)
	case err != nil:
		return nil, failf(Evaluation, "%w", err)
	case result == nil:
		return nil, failf(Undefined, "the decision is undefined for this input: give it a default")
	}
	return result, nil
}
