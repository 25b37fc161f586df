package machine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Run evaluates the entry point at the instant now for the slots that are
// filled in. The value holds until f is reset or released; the horizon says how
// long it would be the same. The error is one of the Err… kinds: then nothing is
// to be concluded but that there is no value.
func (p *Program) Run(ctx context.Context, f *Frame, now time.Time) (*Value, Horizon, error) {
	if err := p.run(ctx, f, now); err != nil {
		return nil, f.horizon, err
	}
	if len(f.results) == 0 {
		return nil, f.horizon, fmt.Errorf("%w: the entry point has no value for this input", ErrUndefined)
	}
	v := f.results[0].elems[0] // of {"result": value}
	f.observe(v)
	return v, f.horizon, nil
}

func (p *Program) run(ctx context.Context, f *Frame, now time.Time) error {
	if f.program != p {
		return errors.New("the frame is another program's")
	}
	f.begin(ctx, now.UnixNano())
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrCancelled, ctx.Err())
	}
	l := f.enter(p.entry.locals)
	p.entry.pass(l, f.slots[0], p.data)
	f.function(p.entry, l)
	if f.opa.stop != nil {
		f.opa.stop()
	}
	if f.err == nil && f.memory < 0 {
		f.refuel()
	}
	return f.err
}
