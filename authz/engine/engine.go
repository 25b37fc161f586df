package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/prometheus/client_golang/prometheus"
)

// Options make an Engine.
type Options struct {
	// Registerer takes the metrics; nil means none are kept.
	Registerer prometheus.Registerer
	// MetricPrefix begins their names; "" means "pomerium_".
	MetricPrefix string
	// Now measures how long evaluations take; nil means time.Now. Decisions use
	// Request.Time, never this.
	Now func() time.Time
	// Machine, if set, has programs run on the machine as soon as it has shown
	// that it decides as OPA's evaluator does, which takes seconds in the
	// background. nil leaves all to OPA's evaluator.
	Machine *MachineOptions
}

// Engine judges requests by the active Program. It implements authz.Engine.
// Every decision is taken by one program from its beginning to its end, however
// many activations happen meanwhile.
type Engine struct {
	active  atomic.Pointer[activation]
	mu      sync.Mutex // orders activations
	metrics *meters
	now     func() time.Time
	trials  *trials // nil: all is left to OPA's evaluator
}

var _ authz.Engine = (*Engine)(nil)

// New returns an Engine without a program: until the first Activate every
// decision is an error. It fails when a metric's name is taken.
func New(o Options) (*Engine, error) {
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := newMeters(o.MetricPrefix)
	if o.Registerer != nil {
		if err := m.register(o.Registerer); err != nil {
			return nil, err
		}
	}
	e := &Engine{metrics: m, now: o.Now}
	m.rules.engine.Store(e)
	if o.Machine != nil {
		if o.Machine.Logger == nil {
			return nil, errors.New("engine: Options.Machine.Logger is missing")
		}
		e.trials = newTrials(*o.Machine, m, o.Now)
	}
	return e, nil
}

// Close ends what runs in the background. Decisions may go on.
func (e *Engine) Close(ctx context.Context) error {
	if e.trials == nil {
		return nil
	}
	return e.trials.close(ctx)
}

// Evaluator says which evaluator decides now, and why.
func (e *Engine) Evaluator() EvaluatorState {
	a := e.active.Load()
	if a == nil {
		return EvaluatorState{Evaluator: OPA, Why: "no policy is active"}
	}
	return *a.state.Load()
}

// Settled waits until it is known which evaluator decides for the program that
// is active then, or until ctx ends, and says which it is.
func (e *Engine) Settled(ctx context.Context) EvaluatorState {
	for a := e.active.Load(); a != nil; {
		select {
		case <-ctx.Done():
			return e.Evaluator()
		case <-a.over:
		}
		next := e.active.Load()
		if next == a {
			break
		}
		a = next
	}
	return e.Evaluator()
}

// Activate makes p the program of every decision that begins from now on and
// returns its generation, which counts activations from 1.
func (e *Engine) Activate(p *Program) (generation uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	generation = 1
	if a := e.active.Load(); a != nil {
		generation = a.generation + 1
	}
	a := &activation{program: p, generation: generation, over: make(chan struct{})}
	a.state.Store(&EvaluatorState{Evaluator: OPA})
	if e.trials != nil {
		a.state.Store(&EvaluatorState{Evaluator: OPA, Pending: true, Why: "it is being compared with OPA's evaluator"})
	}
	e.active.Store(a)
	e.metrics.activated(generation, e.now())
	e.metrics.evaluator(a)
	if e.trials != nil {
		e.trials.offer(a)
	} else {
		close(a.over)
	}
	return generation
}

// ActivationRefused records that a policy set was offered and refused; the
// active program goes on.
func (e *Engine) ActivationRefused() { e.metrics.success.Set(0) }

// ActivationUnchanged records that the set offered last is the active one
// already, e.g. because a refused change was taken back.
func (e *Engine) ActivationUnchanged() { e.metrics.success.Set(1) }

// Active returns the active program and its generation; nil and 0 before the
// first activation.
func (e *Engine) Active() (*Program, uint64) {
	a := e.active.Load()
	if a == nil {
		return nil, 0
	}
	return a.program, a.generation
}

// Decide implements authz.Engine. Errors are of type *Error.
func (e *Engine) Decide(ctx context.Context, r *authz.Request) (*authz.Decision, error) {
	a := e.active.Load()
	if a == nil {
		err := failf(Inactive, "no policy is active")
		e.metrics.failed(err)
		return nil, err
	}
	d, err := e.decide(ctx, a, r)
	if err != nil {
		e.metrics.failed(err)
		return nil, err
	}
	return d, nil
}
