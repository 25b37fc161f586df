package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/neosc/gate/authz"
)

// trial is the comparison of one program.
type trial struct {
	t       *trials
	a       *activation
	runner  *runner
	steer   *steering
	pace    *pace
	settled EvaluatorState
	agreed  int
}

func newTrial(t *trials, a *activation, r *runner, s *steering) *trial {
	return &trial{t: t, a: a, runner: r, steer: s, pace: newPace(t.now, &t.asked), settled: EvaluatorState{Evaluator: Machine}}
}

// try compiles a's program for the machine, compares, and has the machine decide
// if the two agree.
func (t *trials) try(ctx context.Context, a *activation) {
	x, err := t.prepare(a)
	if err != nil {
		t.settle(a, EvaluatorState{Evaluator: OPA, Why: err.Error()})
		t.opt.Logger.Warn("policy runs on OPA's evaluator", "revision", a.program.revision, "generation", a.generation, "why", err.Error())
		return
	}
	v := t.verdict(a.program)
	switch {
	case v.Why != "":
		err = errors.New(v.Why)
	case v.Agreed:
		x.settled.Reach = v.Reach
		err = x.compareAll(ctx, true)
	default:
		err = x.compareAll(ctx, false)
	}
	if ctx.Err() != nil {
		return // another program is active, or the process ends
	}
	x.settle(err, v)
}

// prepare compiles a's program for the machine, and once more for the trial.
func (t *trials) prepare(a *activation) (*trial, error) {
	f, err := newFast(a.program)
	if err != nil {
		return nil, err
	}
	s, err := newSteering(f)
	if err != nil {
		return nil, err
	}
	f.source = nil // nobody else needs it
	return newTrial(t, a, newRunner(f, t.opt.CacheBytes, newFacts(f.machine.Rules())), s), nil
}

func (x *trial) settle(err error, v verdict) {
	t, a, log := x.t, x.a, x.t.opt.Logger.With("revision", x.a.program.revision, "generation", x.a.generation)
	if err != nil {
		x.settled.Evaluator, x.settled.Why = OPA, err.Error()
		t.settle(a, x.settled)
		log.Error("policy runs on OPA's evaluator", "why", err.Error())
		if v.Why == "" {
			t.keepVerdict(a.program, verdict{Why: err.Error()})
		}
		return
	}
	x.runner.now, x.runner.took = t.now, t.metrics.duration
	a.facts.Store(x.runner.facts)
	a.fast.Store(x.runner)
	t.settle(a, x.settled)
	log.Info("policy runs on the machine", "inputs", x.settled.Inputs, "outcomes", x.settled.Outcomes, "reached", x.settled.Reached,
		"missed", x.settled.Missed, "cached", x.runner.keys != nil)
	if !v.Agreed {
		t.keepVerdict(a.program, verdict{Agreed: true, Reach: x.settled.Reach})
	}
}

// compareAll compares on recorded requests and, unless an earlier verdict
// spares them, on generated ones.
func (x *trial) compareAll(ctx context.Context, spared bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the machine panicked: %v\n%s", p, debug.Stack())
		}
	}()
	x.pace.begin()
	for _, r := range x.t.recent.list() {
		if err := x.one(ctx, r); err != nil {
			return err
		}
	}
	if x.agreed = 0; spared {
		return ctx.Err()
	}
	if err := x.steer.explore(ctx, x.t.opt.Inputs, x.pace); err != nil {
		return err
	}
	defer func() { x.settled.Reach = x.steer.reach() }()
	for _, r := range x.steer.corpus {
		if err := x.one(ctx, r); err != nil {
			return err
		}
	}
	for n := 0; x.agreed < x.t.opt.Inputs; n++ {
		if n == 2*x.t.opt.Inputs {
			return fmt.Errorf("the machine and OPA's evaluator could be compared on %d of %d inputs only", x.agreed, x.settled.Inputs)
		}
		if err := x.one(ctx, x.steer.draw()); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// one compares on one request.
func (x *trial) one(ctx context.Context, r *authz.Request) error {
	frame := x.runner.machine.Frame()
	defer frame.Release()
	j, err := x.runner.decide(ctx, frame, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	x.settled.Inputs++
	x.steer.compared(ctx, r)
	if err := x.against(ctx, r, j.decision, err); err != nil {
		return err
	}
	// Until its horizon, OPA must say the same.
	if left := j.horizon.Until - r.Time.UnixNano(); err == nil && j.horizon.ReadsClock && j.horizon.Cacheable(r.Time) && x.settled.Inputs%4 == 0 {
		later := *r
		later.Time = r.Time.Add(time.Duration(rand.Int64N(min(left, int64(72*time.Hour)))))
		if rand.IntN(2) == 0 && left < int64(24*time.Hour)*365 {
			later.Time = r.Time.Add(time.Duration(left - 1))
		}
		if err := x.against(ctx, &later, j.decision, nil); err != nil {
			return err
		}
	}
	return x.pace.yield(ctx)
}

// against compares a decision of the machine with OPA's on the same request.
func (x *trial) against(ctx context.Context, r *authz.Request, d *authz.Decision, err error) error {
	want, wantErr := x.a.program.Decide(ctx, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	o := compareDecisions(d, err, want, wantErr)
	x.t.metrics.comparison(o)
	if o == agreed {
		x.agreed++
	}
	if o == disagreed {
		return fmt.Errorf("the machine and OPA's evaluator disagree on an input%s", x.t.keepInput(x.a, r, d, err, want, wantErr))
	}
	return nil
}
