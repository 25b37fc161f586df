package authz

import "time"

// Observer is told of every decision. Observe must neither block nor keep o or
// r: what leaves the request path goes through bounded queues that drop and
// count. Texts in them, and the session, route, certificate and decision that they
// point to, never change and may be kept for as long as such a queue does.
type Observer interface {
	Observe(r *Request, o *Outcome, took time.Duration)
}

// Observers tells several.
type Observers []Observer

// Observe implements Observer.
func (os Observers) Observe(r *Request, o *Outcome, took time.Duration) {
	for _, x := range os {
		x.Observe(r, o, took)
	}
}
