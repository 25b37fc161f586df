package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/neosc/gate/authz"
)

// Judge decides requests by one program away from any gate: to try it on many.
// It uses the machine without a trial before: whoever acts on a decision looks
// with Confirm whether OPA's evaluator says the same. Safe for concurrent use.
type Judge struct {
	program *Program
	fast    *fast   // nil: on OPA's evaluator
	runner  *runner // nil: nothing is remembered
	rules   []authz.Rule
	why     string
}

// NewJudge returns a Judge of p.
func NewJudge(p *Program) *Judge {
	j := &Judge{program: p}
	f, err := newFast(p)
	if err != nil {
		j.why = err.Error()
		return j
	}
	f.source = nil
	j.fast, j.rules = f, rulesOf(f.machine)
	return j
}

// Slow says why the machine does not run the program; "" if it does.
func (j *Judge) Slow() string { return j.why }

// Program returns the program.
func (j *Judge) Program() *Program { return j.program }

// Decide evaluates r at r.Time. Errors are of type *Error.
func (j *Judge) Decide(ctx context.Context, r *authz.Request) (*authz.Decision, error) {
	if j.fast == nil {
		return j.program.Decide(ctx, r)
	}
	if j.runner != nil {
		return j.remembered(ctx, r)
	}
	d, err := j.onMachine(ctx, r)
	if err == errLeft {
		return j.program.Decide(ctx, r)
	}
	return d, err
}

func (j *Judge) onMachine(ctx context.Context, r *authz.Request) (*authz.Decision, error) {
	d, _, err := j.against(ctx, r, nil)
	return d, err
}

// against evaluates r on the machine. Where that says what was says, which may be
// nil, there is no decision.
func (j *Judge) against(ctx context.Context, r *authz.Request, was *authz.Decision) (d *authz.Decision, same bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, same, err = nil, false, failf(Evaluation, "the machine panicked: %v\n%s", fmt.Sprint(p), debug.Stack())
		}
	}()
	frame := j.fast.machine.Frame()
	defer frame.Release()
	v, horizon, err := j.fast.value(ctx, frame, r)
	if err != nil {
		return nil, false, err
	}
	if was != nil && says(v, was, &j.fast.edge) {
		return nil, true, nil
	}
	x, err := j.fast.read(frame, v, horizon)
	if err != nil {
		return nil, false, err
	}
	x.decision.Trace = traceOf(j.rules, &x)
	return x.decision, false, nil
}

// Confirm reports whether OPA's evaluator says of r what Decide said, or neither
// can be held against the other.
func (j *Judge) Confirm(ctx context.Context, r *authz.Request, d *authz.Decision, err error) bool {
	if j.fast == nil {
		return true
	}
	want, wantErr := j.program.Decide(ctx, r)
	return compareDecisions(d, err, want, wantErr) != disagreed
}

// Reads reports whether the program may read the value at a path of the input,
// or something in it or that it is in. A program that the machine does not run
// may read anything.
func (j *Judge) Reads(path []string) bool {
	if j.fast == nil {
		return true
	}
	return slices.ContainsFunc(j.fast.slots.all, func(s slot) bool {
		at := s.doc
		if len(at) >= len(path) {
			return slices.Equal(at[:len(path)], path)
		}
		return s.whole && slices.Equal(path[:len(at)], at)
	})
}

// Inputs lists the paths of the input that the program may read, nil for a
// program that the machine does not run.
func (j *Judge) Inputs() [][]string {
	if j.fast == nil {
		return nil
	}
	var out [][]string
	for _, s := range j.fast.slots.all {
		out = append(out, slices.Clone(s.doc))
	}
	return out
}

// Covers reports whether j's program reads all that other's does: requests that
// are the same to j are the same to other then.
func (j *Judge) Covers(other *Judge) bool {
	if j.fast == nil || other.fast == nil {
		return false
	}
	return !slices.ContainsFunc(other.fast.slots.all, func(read slot) bool {
		return !slices.ContainsFunc(j.fast.slots.all, func(s slot) bool { return s.covers(&read) })
	})
}

// covers reports whether what s is filled with says what o is filled with.
func (s *slot) covers(o *slot) bool {
	if len(s.doc) == len(o.doc) && !s.whole && o.whole || len(s.doc) < len(o.doc) && !s.whole || len(s.doc) > len(o.doc) {
		return false
	}
	return slices.Equal(s.doc, o.doc[:len(s.doc)])
}

// Needs says which headers of a request the program may read (names in lower
// case; all if others is true too), and whether it may read the context
// extensions: without the rest a copy of a request is decided alike.
func (j *Judge) Needs() (headers []string, others, extensions bool) {
	if j.fast == nil {
		return nil, true, true
	}
	for _, s := range j.fast.slots.all {
		switch s.kind {
		case slotHeader:
			headers = append(headers, s.name)
		case slotExtension:
			extensions = true
		case slotDocument: // the whole input is put together for it
			others, extensions = true, true
		}
	}
	return headers, others, extensions
}
