package authz

import (
	"context"
	"runtime/debug"
)

// Rejudge asks policy once more about a request that was allowed and still
// runs, such as a WebSocket: r.Session is who asks by now (nil for nobody) and
// r.Time the instant. Nothing is charged and no observer is told. As Decide, it
// never panics, and whatever goes wrong is a Failed outcome.
func (d *Decider) Rejudge(ctx context.Context, r *Request) (o *Outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = failed(ReasonInternalError, &PanicError{Value: p, Stack: debug.Stack()})
		}
		o.Session = r.Session
	}()
	if r.Route == nil {
		return refused(Denied, 403, ReasonUnknownRoute)
	}
	return d.ask(ctx, r)
}
