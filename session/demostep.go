package session

import (
	"errors"
	"fmt"
	"time"
)

// ErrStepPending: a step has begun and is not over yet.
var ErrStepPending = errors.New("the step is under way")

// StepDelayError is a step's answer that says when to come again: whoever makes
// the steps waits for After at the least, whatever the attempts so far would
// have him wait. It says nothing of whether to come again; ErrStepRefused does.
type StepDelayError struct {
	// After is more than 0 and at most MaxStepDelay.
	After time.Duration
	Err   error
}

// MaxStepDelay bounds what another program can have the gate wait for.
const MaxStepDelay = 5 * time.Minute

// Error implements error.
func (e *StepDelayError) Error() string { return fmt.Sprintf("%v (again in %v)", e.Err, e.After) }

// Unwrap returns what kept the step from being done.
func (e *StepDelayError) Unwrap() error { return e.Err }

// StepAfter returns how long to wait at the least before a step that answered
// err is made again; 0 if it does not say.
func StepAfter(err error) time.Duration {
	if e, ok := errors.AsType[*StepDelayError](err); ok {
		return min(max(e.After, 0), MaxStepDelay)
	}
	return 0
}
