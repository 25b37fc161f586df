package engine

import (
	"context"

	"github.com/neosc/gate/authz"
)

// Remember has j keep decisions in up to so many bytes, for whoever has requests
// of a time decided, as they come: many of those are alike, where those of a log
// were long ago. Call it before the first Decide. Decisions are shared then: not
// to be changed.
func (j *Judge) Remember(bytes int64) {
	if j.fast != nil {
		j.runner = newRunner(j.fast, bytes, newFacts(j.fast.machine.Rules()))
	}
}

// remembered is Decide with what was decided before.
func (j *Judge) remembered(ctx context.Context, r *authz.Request) (*authz.Decision, error) {
	d, by, err := j.runner.try(ctx, r, 0)
	if by == OPA { // left to it, or the machine panicked
		return j.program.Decide(ctx, r)
	}
	return d, err
}
