package authz

import (
	"context"
	"runtime/debug"
)

// Rejudge asks policy once more about a request that was allowed and still
// runs, such as a WebSocket: r.Session is who asks by now (nil for nobody) and
// r.Time the instant. Nothing is charged and no observer is told. As Decide, it
// never panics, and whatever goes wrong is a Failed outcome.
func (d *Decider) Rejudge(ctx context.Context, r *Request) *Outcome {
	o := new(Outcome)
	defer func() {
		if p := recover(); p != nil {
			o.fail(ReasonInternalError, &PanicError{Value: p, Stack: debug.Stack()})
		}
		o.Session = r.Session
	}()
	if r.Route == nil {
		o.refuse(Denied, 403, ReasonUnknownRoute)
	} else {
		d.ask(ctx, r, o)
	}
	return o
}
