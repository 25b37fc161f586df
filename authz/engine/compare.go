package engine

import (
	"errors"
	"reflect"
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
	a.Trace, b.Trace = authz.Trace{}, authz.Trace{}
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
