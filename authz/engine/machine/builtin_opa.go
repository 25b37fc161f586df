package machine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
)

// callOPA asks OPA's implementation. An error of it makes the expression
// undefined, as in OPA, unless it says that the evaluation must end.
func (f *Frame) callOPA(c *opaCall, args []*Value) *Value {
	if c.volatile {
		f.horizon.Volatile = true
	}
	ops := make([]*ast.Term, len(args))
	for i, a := range args {
		if !f.spend(weight(a)) {
			return nil
		}
		f.observe(a)
		ops[i] = ast.NewTerm(a.AST())
	}
	if n := f.yield(c.name, args); n > f.memory || !f.spend(n/64) {
		f.fail(fmt.Errorf("%w: %s would make more than is left of %d bytes", ErrMemory, c.name, f.program.limits.Memory))
		return nil
	}
	if n := f.effort(c.name, args); n > 0 && !f.spend(n) {
		return nil
	}
	if !f.opa.ready {
		f.prepareOPA()
	}
	var out *ast.Term
	var all []*ast.Term
	err := c.call(f.opa.bctx, ops, func(t *ast.Term) error {
		out = t
		if c.relation {
			all = append(all, t)
		}
		return nil
	})
	switch {
	case err != nil:
		f.builtinError(err)
		return nil
	case c.relation:
		out = ast.ArrayTerm(all...)
	case c.void:
		return trueValue
	case out == nil:
		return nil
	}
	v, err := (&importer{frame: f}).value(out.Value, 0)
	if err != nil {
		f.fail(fmt.Errorf("%w: %s: %w", ErrBuiltin, c.name, err))
		return nil
	}
	return v
}

func (f *Frame) builtinError(err error) {
	if topdown.IsCancel(err) {
		f.fail(fmt.Errorf("%w: %w", ErrCancelled, errors.Join(f.ctx.Err(), err)))
		return
	}
	if halt, ok := errors.AsType[topdown.Halt](err); ok {
		f.fail(fmt.Errorf("%w: %w", ErrBuiltin, halt.Err))
		return
	}
	f.opa.errors = append(f.opa.errors, err)
}

// prepareOPA makes the context that OPA's built-ins expect.
func (f *Frame) prepareOPA() {
	f.opa.ready = true
	b := &f.opa.bctx
	b.Context, b.Seed = f.ctx, rand.Reader
	b.Time = ast.NumberTerm(json.Number(strconv.FormatInt(f.now, 10)))
	b.Cache, b.Metrics, b.Location = builtins.Cache{}, metrics.NoOp(), &ast.Location{}
	b.Cancel = topdown.NewCancel()
	if f.ctx.Done() != nil {
		f.opa.stop = context.AfterFunc(f.ctx, b.Cancel.Cancel)
	}
	if f.program.hook != nil {
		f.program.hook(b)
	}
}

// weight is about how many steps it takes to copy v.
func weight(v *Value) int {
	n := 1 + len(v.s)/16
	for i, x := range v.elems {
		if n += weight(x); v.kind == Object {
			n += weight(v.keys[i])
		}
	}
	return n
}
