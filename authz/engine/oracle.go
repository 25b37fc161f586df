package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/neosc/gate/authz"
)

// outcome is what a comparison of two evaluators came to; it is a metric label.
type outcome string

const (
	agreed outcome = "agreed"
	// inconclusive: one of them came to an end by its bounds, or it was OPA's to
	// evaluate anyway.
	inconclusive outcome = "inconclusive"
	disagreed    outcome = "disagreed"
	// dropped: there were too many to compare.
	dropped outcome = "dropped"
)

// compareDecisions compares what the machine and OPA's evaluator said. All of a
// decision counts, its generation apart; of failures, their kind.
func compareDecisions(got *authz.Decision, gotErr error, want *authz.Decision, wantErr error) outcome {
	if gotErr == errLeft || errors.Is(gotErr, authz.ErrBadRequest) != errors.Is(wantErr, authz.ErrBadRequest) && (gotErr == nil) == (wantErr == nil) {
		return inconclusive
	}
	if gotErr != nil || wantErr != nil {
		switch {
		case bounded(gotErr) || bounded(wantErr):
			return inconclusive
		case gotErr == nil || wantErr == nil || kindOf(gotErr) != kindOf(wantErr):
			return disagreed
		}
		return agreed
	}
	a, b := *got, *want
	a.Generation, b.Generation = 0, 0
	if !a.StreamUntil.Equal(b.StreamUntil) {
		return disagreed
	}
	a.StreamUntil, b.StreamUntil = time.Time{}, time.Time{}
	if !reflect.DeepEqual(a, b) {
		return disagreed
	}
	return agreed
}

// bounded reports whether an evaluation ended by its bounds of time or memory,
// or whether the input was too large to be made for OPA's evaluator.
func bounded(err error) bool {
	return err != nil && (kindOf(err) == Timeout || errors.Is(err, errTooLarge))
}

// trial is the comparison of one program.
type trial struct {
	t       *trials
	a       *activation
	runner  *runner
	gen     *generator
	seen    []uint64 // rules that held on some input
	missed  []uint64 // rules that did not on some
	corpus  []*authz.Request
	ways    [][]*authz.Request // by rule, twice: those on which it held and those on which it did not
	shapes  map[string]bool    // sets of rules that held
	settled EvaluatorState
	agreed  int
}

func newTrial(t *trials, a *activation, r *runner) *trial {
	n := len(r.facts.rules)
	x := &trial{t: t, a: a, runner: r, shapes: map[string]bool{}}
	x.seen, x.missed, x.ways = make([]uint64, (n+63)/64), make([]uint64, (n+63)/64), make([][]*authz.Request, 2*n)
	x.settled = EvaluatorState{Evaluator: Machine, Rules: n}
	return x
}

// try compiles a's program for the machine, compares, and has the machine decide
// if the two agree.
func (t *trials) try(ctx context.Context, a *activation) {
	f, err := newFast(a.program)
	if err != nil {
		t.settle(a, EvaluatorState{Evaluator: OPA, Why: err.Error()})
		t.opt.Logger.Warn("policy runs on OPA's evaluator", "revision", a.program.revision, "generation", a.generation, "why", err.Error())
		return
	}
	x := newTrial(t, a, newRunner(f, t.opt.CacheBytes, newFacts(f.machine.Rules())))
	v := t.verdict(a.program)
	if v.Why == "" {
		err = x.compareAll(ctx, v.Agreed)
	} else {
		err = errors.New(v.Why)
	}
	if ctx.Err() != nil {
		return // another program is active, or the process ends
	}
	x.settle(err, v)
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
	log.Info("policy runs on the machine", "inputs", x.settled.Inputs, "rules", x.settled.Rules, "held", x.settled.Held, "failed", x.settled.Failed,
		"cached", x.runner.keys != nil)
	if !v.Agreed {
		t.keepVerdict(a.program, verdict{Agreed: true})
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
	for _, r := range x.t.recent.list() {
		if err := x.one(ctx, r); err != nil {
			return err
		}
	}
	if spared {
		return ctx.Err()
	}
	x.gen = newGenerator(x.runner.fast, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if err := x.explore(ctx); err != nil {
		return err
	}
	for _, r := range x.corpus[:min(len(x.corpus), x.t.opt.Inputs/2)] {
		if err := x.one(ctx, r); err != nil {
			return err
		}
	}
	for i := range x.t.opt.Inputs {
		if err := x.one(ctx, x.draw()); err != nil {
			return err
		}
		if i%pauseEvery == 0 {
			if err := x.pause(ctx); err != nil {
				return err
			}
		}
	}
	if x.agreed < x.t.opt.Inputs/2 {
		return fmt.Errorf("the machine and OPA's evaluator could be compared on %d of %d inputs only", x.agreed, x.t.opt.Inputs)
	}
	return ctx.Err()
}

// exploring is how many requests are tried on the machine alone for each that is
// compared: it takes a fraction of the time, and finds ways through the policy
// that few requests take.
const exploring = 4

func (x *trial) explore(ctx context.Context) error {
	for i := range exploring * x.t.opt.Inputs {
		r := x.draw()
		frame := x.runner.machine.Frame()
		j, err := x.runner.decide(ctx, frame, r)
		if err == nil {
			x.learn(r, j.hits)
		}
		frame.Release()
		if i%(exploring*pauseEvery) == 0 {
			if err := x.pause(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// pauseEvery and pauseFor leave the better part of a core to requests.
const (
	pauseEvery = 16
	pauseFor   = time.Millisecond
)

// pause lets others run, and compares what waits.
func (x *trial) pause(ctx context.Context) error {
	runtime.Gosched()
	timer := time.NewTimer(pauseFor)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// draw makes a request: most are changed ones that took a way of their own
// through the policy.
func (x *trial) draw() *authz.Request {
	if len(x.corpus) == 0 || len(x.ways) == 0 || x.gen.IntN(5) == 0 {
		return x.gen.request()
	}
	if way := x.gen.IntN(len(x.ways)); x.gen.IntN(4) > 0 && len(x.ways[way]) > 0 {
		return x.gen.changed(x.ways[way][x.gen.IntN(len(x.ways[way]))])
	}
	return x.gen.changed(x.corpus[x.gen.IntN(len(x.corpus))])
}

// maxCorpus is how many requests are kept to be changed, maxOfAWay how many for
// a rule that held or did not: what few requests do is changed as often as what
// most do.
const (
	maxCorpus = 512
	maxOfAWay = 8
)

// keep adds r to a list, in place of any other when it is full.
func keep(list *[]*authz.Request, r *authz.Request, most int) {
	if len(*list) < most {
		*list = append(*list, r)
		return
	}
	(*list)[rand.IntN(most)] = r
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
	if err == nil {
		x.learn(r, j.hits)
	}
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
		return x.against(ctx, &later, j.decision, nil)
	}
	return nil
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

// learn notes which rules held, and keeps a request that took a new way.
func (x *trial) learn(r *authz.Request, hits []uint64) {
	shape := make([]byte, 0, 8*len(hits))
	for i, word := range hits {
		x.seen[i] |= word
		x.missed[i] |= ^word
		for s := 0; s < 64; s += 8 {
			shape = append(shape, byte(word>>s))
		}
	}
	x.settled.Held, x.settled.Failed = count(x.seen, x.settled.Rules), count(x.missed, x.settled.Rules)
	if x.shapes[string(shape)] {
		return
	}
	x.shapes[string(shape)] = true
	r = ownRequest(r)
	keep(&x.corpus, r, maxCorpus)
	for i := range x.settled.Rules {
		way := 2 * i
		if hits[i/64]&(1<<(i%64)) == 0 {
			way++
		}
		keep(&x.ways[way], r, maxOfAWay)
	}
}

// count says how many of the first n bits are set.
func count(words []uint64, n int) (set int) {
	for i := range n {
		if words[i/64]&(1<<(i%64)) != 0 {
			set++
		}
	}
	return set
}

// compareSampled compares a decision that was taken.
func (t *trials) compareSampled(s sampled) {
	if s.of.fast.Load() == nil {
		return
	}
	want, wantErr := s.of.program.Decide(t.ctx, s.request)
	if t.ctx.Err() != nil {
		return
	}
	o := compareDecisions(s.decision, s.err, want, wantErr)
	t.metrics.comparison(o)
	if o == disagreed {
		where := t.keepInput(s.of, s.request, s.decision, s.err, want, wantErr)
		t.retire(s.of, "the machine and OPA's evaluator disagreed on a request"+where)
	}
}
