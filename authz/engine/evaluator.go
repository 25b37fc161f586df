package engine

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/prometheus/client_golang/prometheus"
)

// Evaluators, as EvaluatorState and metrics name them.
const (
	// OPA is OPA's own evaluator.
	OPA = "opa"
	// Machine is the compiled program of package machine.
	Machine = "machine"
	// Cached is the machine's decision on an equal request.
	Cached = "cache"
)

// MachineOptions have policies run on the machine once it has shown that it
// decides as OPA's evaluator does. All but Logger may be zero.
type MachineOptions struct {
	// Logger says when a policy set runs on the machine, and when and why not.
	Logger *slog.Logger
	// Dir is a folder for verdicts, which spare the next start the comparison,
	// and for inputs on which the two disagreed; "" keeps neither.
	Dir string
	// Build names the program that is running; a verdict is good for one build.
	// "" keeps no verdicts.
	Build func() (string, error)
	// Inputs is how many generated inputs the two are compared on; 0 means
	// DefaultInputs.
	Inputs int
	// SampleEvery is one in how many decisions is compared in production; 0
	// means DefaultSample.
	SampleEvery int
	// CacheBytes bounds the cache of decisions; 0 is none.
	CacheBytes int64
	// Busy is called before a program is compiled and compared, and what it returns
	// after: seconds of computing. nil is nothing.
	Busy func() (done func())
}

// Defaults of MachineOptions.
const (
	DefaultInputs = 10_000
	DefaultSample = 10_000
)

// EvaluatorState says which evaluator decides, and why.
type EvaluatorState struct {
	// Evaluator is OPA or Machine.
	Evaluator string
	// Why is, for OPA, what keeps the machine from deciding; "" when that is
	// what was asked for.
	Why string
	// Pending: the machine may decide yet, once it is compared.
	Pending bool
	// Inputs is how many inputs the two were compared on for this activation; 0
	// when an earlier verdict was found, but for recorded ones.
	Inputs int
	// Reach is how much of the policy those inputs, or those of the earlier
	// verdict, came to.
	Reach
}

// activation is a program, its number, and how it is evaluated.
type activation struct {
	program    *Program
	generation uint64
	fast       atomic.Pointer[runner] // nil: on OPA's evaluator
	facts      atomic.Pointer[facts]
	state      atomic.Pointer[EvaluatorState]
	over       chan struct{} // closed when its trial is over or was given up
}

// runner is what decides fast, for one activation.
type runner struct {
	*fast
	keys   *keyer // nil: nothing is cached
	cache  *cache
	blanks *blanks // nil: nothing is only echoed
	facts  *facts
	rules  []authz.Rule
	buffer sync.Pool
	seed   maphash.Seed
	now    func() time.Time
	took   prometheus.Observer // nil: nobody is told
}

func newRunner(f *fast, cacheBytes int64, facts *facts) *runner {
	r := &runner{fast: f, facts: facts, rules: rulesOf(f.machine), seed: maphash.MakeSeed()}
	r.buffer.New = func() any { return new([]byte) }
	if r.cache = newCache(cacheBytes); r.cache != nil {
		r.keys = newKeyer(f.build, f.slots)
	}
	if r.keys != nil {
		if h, share := newHoles(f), cacheBytes/blankShare; h != nil && share >= leastCache {
			r.cache, r.blanks = newCache(cacheBytes-share), newBlanks(h, share)
		}
	}
	return r
}

// Decide evaluates r, or finds what was decided on an equal request. The
// decision is shared when by is Cached. by is OPA for an input that is left to it.
func (x *runner) Decide(ctx context.Context, r *authz.Request, generation uint64) (d *authz.Decision, by string, err error) {
	if x.keys == nil {
		return x.timed(ctx, r, generation, 0, nil)
	}
	if err := judgeable(r); err != nil {
		return nil, Machine, err
	}
	buffer := x.buffer.Get().(*[]byte)
	defer x.buffer.Put(buffer)
	key := x.keys.append((*buffer)[:0], r)
	if cap(key) <= maxKey {
		*buffer = key
	}
	hash := maphash.Bytes(x.seed, key)
	if d := x.cache.get(hash, key, r.Time.UnixNano()); d != nil {
		return d, Cached, nil
	}
	if x.blanks != nil {
		return x.filled(ctx, r, generation, hash, key)
	}
	return x.timed(ctx, r, generation, hash, key)
}

// timed is evaluate for the histogram of evaluations.
func (x *runner) timed(ctx context.Context, r *authz.Request, generation, hash uint64, key []byte) (*authz.Decision, string, error) {
	if x.took == nil {
		return x.evaluate(ctx, r, generation, hash, key)
	}
	start := x.now()
	d, by, err := x.evaluate(ctx, r, generation, hash, key)
	if by != OPA {
		x.took.Observe(x.now().Sub(start).Seconds())
	}
	return d, by, err
}

func (x *runner) evaluate(ctx context.Context, r *authz.Request, generation, hash uint64, key []byte) (*authz.Decision, string, error) {
	frame := x.machine.Frame()
	defer frame.Release()
	j, err := x.decide(ctx, frame, r)
	if err == errLeft {
		return nil, OPA, nil
	}
	if err != nil {
		return nil, Machine, err
	}
	x.facts.note(j.hits)
	x.say(&j, generation)
	if key != nil && j.horizon.Cacheable(r.Time) {
		x.cache.put(hash, key, j.decision, r.Time.UnixNano(), j.horizon.Until)
	}
	return j.decision, Machine, nil
}

// say writes into a decision how it came about.
func (x *runner) say(j *judgement, generation uint64) {
	j.decision.Generation = generation
	j.decision.Trace = traceOf(x.rules, j)
}

// panicked is a defect of the machine: the decision is OPA's to take, and the
// program leaves the machine.
type panicked struct{ what string }

func (e *panicked) Error() string { return e.what }

// try is Decide, with a panic as an error.
func (x *runner) try(ctx context.Context, r *authz.Request, generation uint64) (d *authz.Decision, by string, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, by, err = nil, OPA, &panicked{fmt.Sprintf("the machine panicked: %v\n%s", p, debug.Stack())}
		}
	}()
	return x.Decide(ctx, r, generation)
}

// decide takes one decision by whatever evaluates this activation.
func (e *Engine) decide(ctx context.Context, a *activation, r *authz.Request) (*authz.Decision, error) {
	if x := a.fast.Load(); x != nil {
		d, by, err := x.try(ctx, r, a.generation)
		if by != OPA {
			e.metrics.decided(by)
			e.trials.sample(a, r, d, err)
			return d, err
		}
		if err != nil {
			e.trials.retire(a, err.Error())
		}
	}
	if e.trials != nil {
		e.trials.asked.Add(1)
		e.trials.recent.note(r, rand.Uint64())
	}
	e.metrics.decided(OPA)
	start := e.now()
	d, err := a.program.Decide(ctx, r)
	e.metrics.duration.Observe(e.now().Sub(start).Seconds())
	if err != nil {
		return nil, err
	}
	d.Generation = a.generation
	return d, nil
}
