package machine

import (
	"fmt"
	"time"
)

// stride is how many steps pass between two looks at the bounds and the
// context: some microseconds' worth.
const stride = 256

// spend takes n steps: one for each turn of a loop and each call, and for whole
// values about one for each element or 16 bytes that are touched. All work
// between two steps is bounded by the length of the plan. False means that the
// evaluation is over; f.err says why.
func (f *Frame) spend(n int) bool {
	f.fuel -= n
	return f.fuel >= 0 && f.memory >= 0 || f.refuel()
}

func (f *Frame) refuel() bool {
	switch {
	case f.err != nil:
		return false
	case f.memory < 0:
		return f.fail(fmt.Errorf("%w: more than %d bytes", ErrMemory, f.program.limits.Memory))
	}
	f.steps += f.fuel // what was overspent
	f.fuel = 0
	if f.steps < 0 {
		return f.fail(fmt.Errorf("%w: more than %d", ErrSteps, f.program.limits.Steps))
	}
	if err := f.ctx.Err(); err != nil {
		return f.fail(fmt.Errorf("%w: %w", ErrCancelled, err))
	}
	// A context that has a deadline may be told of it late on a busy machine.
	if at, ok := f.ctx.Deadline(); ok && !time.Now().Before(at) {
		return f.fail(fmt.Errorf("%w: after its deadline", ErrCancelled))
	}
	f.fuel = min(f.steps, stride)
	f.steps -= f.fuel
	return true
}

// fail ends the evaluation. It returns false for its callers' sake.
func (f *Frame) fail(err error) bool {
	if f.err == nil {
		f.err = err
	}
	f.fuel, f.steps = -1, 0
	return false
}
