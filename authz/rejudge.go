package authz

import (
	"context"
	"runtime/debug"
)

// Rejudge asks policy once more about a request that was allowed and still
// runs, such as a WebSocket: r.Session is who asks by now (nil for nobody),
// r.Source and r.SNI are as they were and r.Time is the instant. Nothing is charged and no observer is told. As Decide, it
// never panics, and whatever goes wrong is a Failed outcome.
func (d *Decider) Rejudge(ctx context.Context, r *Request) *Outcome {
	return d.again(r, func(o *Outcome) { d.ask(ctx, r, o) })
}

// Recertify is Rejudge without policy: it looks at the client certificate alone.
// It is for those whom policy cannot be asked about again, as bearers of tokens.
func (d *Decider) Recertify(r *Request) *Outcome {
	return d.again(r, func(o *Outcome) { o.Verdict, o.Status = Allowed, 200 })
}

func (d *Decider) again(r *Request, then func(*Outcome)) *Outcome {
	o := new(Outcome)
	defer func() {
		if p := recover(); p != nil {
			o.fail(ReasonInternalError, &PanicError{Value: p, Stack: debug.Stack()})
		}
		o.Session = r.Session
	}()
	if r.Route == nil {
		o.refuse(Denied, 403, ReasonUnknownRoute)
	} else if d.certificate(r, o) {
		then(o)
	}
	return o
}
