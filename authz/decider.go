package authz

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// Options make a Decider. All fields but Observer are required.
type Options struct {
	Sessions Sessions
	Engine   Engine
	Limiter  Limiter
	// CookieName is the session cookie's name.
	CookieName string
	// Observer is told of every outcome; nil tells nobody.
	Observer Observer
	// Keep is told of every outcome before it is one, and must neither block nor
	// keep what it is given: an error, and the request is refused as one that
	// cannot be decided. nil keeps nothing.
	Keep func(r *Request, o *Outcome) error
	// Revoked says whether the list of that name (Route.RevocationList) has a client
	// certificate; it must be quick. nil leaves that to the edge, which looks when a
	// connection begins.
	Revoked func(list string, c *Certificate) bool
	// Now measures how long things took; nil means time.Now. Decisions use
	// Request.Time, never this.
	Now func() time.Time
}

// Decider takes a Request from the question "who is it" to the answer: session,
// policy, limits, in this order, each failing closed. Safe for concurrent use.
type Decider struct {
	opt          Options
	certificates certificates
}

// NewDecider returns a Decider, or an error that names the missing part.
func NewDecider(o Options) (*Decider, error) {
	switch {
	case o.Sessions == nil:
		return nil, errors.New("decider: Options.Sessions is missing")
	case o.Engine == nil:
		return nil, errors.New("decider: Options.Engine is missing")
	case o.Limiter == nil:
		return nil, errors.New("decider: Options.Limiter is missing")
	case o.CookieName == "":
		return nil, errors.New("decider: Options.CookieName is missing")
	}
	if o.Observer == nil {
		o.Observer = Observers(nil)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Decider{opt: o}, nil
}

// Decide answers r. It sets r.Session, never panics and always returns an
// outcome: whatever goes wrong is a Failed one.
func (d *Decider) Decide(ctx context.Context, r *Request) *Outcome {
	o := new(Outcome)
	d.DecideInto(ctx, r, o)
	return o
}

// DecideInto is Decide for a caller that keeps room for the outcome, whatever is
// in it before.
func (d *Decider) DecideInto(ctx context.Context, r *Request, o *Outcome) {
	start := d.opt.Now()
	defer func() {
		if p := recover(); p != nil {
			o.fail(ReasonInternalError, &PanicError{Value: p, Stack: debug.Stack()})
		}
		o.Session = r.Session
		d.keep(r, o)
		d.opt.Observer.Observe(r, o, d.opt.Now().Sub(start))
	}()
	*o = Outcome{}
	if d.admit(ctx, r, o) {
		d.judge(ctx, r, o)
	}
}

// keep has the outcome kept, or the request refused.
func (d *Decider) keep(r *Request, o *Outcome) {
	if d.opt.Keep == nil {
		return
	}
	if err := d.opt.Keep(r, o); err != nil && o.Verdict != Failed {
		o.fail(ReasonAuditUnavailable, err)
		o.Session = r.Session
	}
}

// admit finds out who asks and refuses what is not put before policy.
func (d *Decider) admit(ctx context.Context, r *Request, o *Outcome) bool {
	if r.Unreadable != nil {
		return o.refuse(Denied, 400, ReasonBadRequest)
	}
	if r.Route == nil {
		return o.refuse(Denied, 403, ReasonUnknownRoute)
	}
	if !wellFormed(r, o) || !d.certificate(r, o) {
		return false
	}
	byCookie, ok := d.authenticate(ctx, r, o)
	if !ok {
		return false
	}
	if byCookie && needsOrigin(r) && !originAllowed(r) {
		return o.refuse(Denied, 403, ReasonOriginMismatch)
	}
	return true
}

// wellFormed refuses what is ambiguous before anyone is asked about it.
func wellFormed(r *Request, o *Outcome) bool {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE":
	default: // get, TRACE, CONNECT, FOO: methods are case-sensitive, unknown ones have no rules
		return o.refuse(Denied, 403, ReasonMethod)
	}
	if !strings.HasPrefix(r.Path, "/") || r.Host == "" || strings.ContainsAny(r.Host, ", \t") {
		return o.refuse(Denied, 400, ReasonBadRequest)
	}
	if cookies(r) > maxCookies {
		return o.refuse(Denied, 431, ReasonBadRequest)
	}
	return true
}

// maxCookies is how many cookies a request may carry: browsers keep 180 a
// domain, and what parses them upstream may be slower than this.
const maxCookies = 300

// cookies counts by the separators, which is never too few.
func cookies(r *Request) int {
	n := 0
	for i := range r.Headers {
		if r.Headers[i].Name == "cookie" {
			n += 1 + strings.Count(r.Headers[i].Value, ";")
		}
	}
	return n
}

// authenticate sets r.Session. A bearer token, if present, alone counts: it is
// never merged with a cookie, and a bad one is a 401 also beside a good cookie.
func (d *Decider) authenticate(ctx context.Context, r *Request, o *Outcome) (byCookie, ok bool) {
	auth, n := r.Headers.Get("authorization")
	// Envoy joins repeated Authorization fields with a comma; two credentials
	// are as ambiguous as none.
	if n > 1 || strings.Contains(auth, ",") {
		return false, o.refuse(Unauthenticated, 401, ReasonInvalidToken)
	}
	var s *session.Session
	var err error
	if n == 1 {
		token, ok := bearer(auth)
		if !ok {
			return false, o.refuse(Unauthenticated, 401, ReasonInvalidToken)
		}
		s, err = d.opt.Sessions.ByBearer(ctx, token, r.Time)
	} else {
		found := r.cookies[:0]
		for i := range r.Headers {
			if r.Headers[i].Name == "cookie" {
				found = session.AppendCookieValues(found, r.Headers[i].Value, d.opt.CookieName)
			}
		}
		r.cookies = found
		if len(found) == 0 {
			return false, true
		}
		byCookie = true
		s, err = d.opt.Sessions.ByCookies(ctx, found, r.Time)
	}
	switch {
	case err == nil:
		r.Session = s
		return byCookie, true
	case errors.Is(err, session.ErrAmbiguous) && r.Route.Gate:
		// Nobody, so that sign-in stays reachable, which ends both: a sibling host
		// could otherwise toss a second session in and lock people out.
		return false, true
	case errors.Is(err, session.ErrAmbiguous):
		return false, o.refuse(Unauthenticated, 401, ReasonAmbiguous)
	case errors.Is(err, session.ErrInvalid) && byCookie:
		return false, true // junk in the cookie is nobody: sign-in must stay reachable
	case errors.Is(err, session.ErrInvalid):
		return false, o.refuse(Unauthenticated, 401, ReasonInvalidToken)
	default:
		return false, o.fail(ReasonStoreUnavailable, err)
	}
}

// bearer returns the token of an Authorization value (RFC 6750, 2.1; the
// scheme is case-insensitive, RFC 9110 11.1).
func bearer(auth string) (string, bool) {
	scheme, token, ok := strings.Cut(auth, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") || token == "" || strings.ContainsAny(token, " \t") {
		return "", false
	}
	return token, true
}

// judge asks policy and spends what it charges.
func (d *Decider) judge(ctx context.Context, r *Request, o *Outcome) {
	if d.ask(ctx, r, o); o.Verdict == Allowed {
		d.spend(ctx, r, o)
	}
}

// ask puts the request before policy and works out how long a stream may live.
func (d *Decider) ask(ctx context.Context, r *Request, o *Outcome) {
	dec, err := d.opt.Engine.Decide(ctx, r)
	switch {
	case err == nil:
	case errors.Is(err, ErrBadRequest):
		o.refuse(Denied, 400, ReasonBadRequest)
		return
	default:
		o.fail(ReasonPolicyError, err)
		return
	}
	o.Verdict, o.Status, o.Reasons, o.Decision = Allowed, 200, dec.Reasons, dec
	if !dec.Allowed {
		deny(r, o)
		return
	}
	if end := streamEnd(r, dec); !end.IsZero() {
		if o.StreamFor = end.Sub(r.Time); o.StreamFor <= 0 {
			// Envoy takes 0 and negative limits as "no limit": nothing left is a denial.
			o.Verdict, o.Status = Denied, 403
		}
	}
}

// deny gives a denied outcome its verdict and status.
func deny(r *Request, o *Outcome) {
	o.Verdict, o.Status = Denied, 403
	if r.Session == nil && len(o.Reasons) == 1 && o.Reasons[0] == ReasonUnauthenticated {
		o.Verdict, o.Status = Unauthenticated, 401
	}
	if o.Decision.Status != 0 {
		o.Status = o.Decision.Status
	}
}

// streamEnd is when a stream that this request opens has to end: policy's
// instant, the session's or that of the client certificate, whichever is first.
func streamEnd(r *Request, dec *Decision) time.Time {
	end := dec.StreamUntil
	if r.Session != nil && (end.IsZero() || r.Session.ExpiresAt.Before(end)) {
		end = r.Session.ExpiresAt
	}
	if r.Certificate != nil && (end.IsZero() || r.Certificate.NotAfter.Before(end)) {
		end = r.Certificate.NotAfter
	}
	return end
}

// spend turns an allow into 429 when a limit says so.
func (d *Decider) spend(ctx context.Context, r *Request, o *Outcome) {
	charges := o.Decision.Charges
	if len(charges) == 0 {
		return
	}
	spent, err := d.opt.Limiter.Spend(ctx, r.Time, charges)
	if err != nil {
		decision := o.Decision
		o.fail(ReasonLimitUnavailable, err)
		o.Decision = decision
		return
	}
	o.Spent = spent
	if i := spent.Limiting; i >= 0 && i < len(charges) {
		o.Charge = &charges[i]
	}
	if !spent.Allowed {
		o.Verdict, o.Status, o.Reasons = Limited, 429, []string{ReasonRateLimited}
	}
}

// refuse makes o a refusal by the gate itself. It returns false, for callers
// that go no further then.
func (o *Outcome) refuse(v Verdict, status int, reason string) bool {
	*o = Outcome{Verdict: v, Status: status, Reasons: []string{reason}}
	return false
}

// fail is refuse for trouble of ours.
func (o *Outcome) fail(reason string, err error) bool {
	o.refuse(Failed, 503, reason)
	o.Err = err
	return false
}

// ErrBadRequest is wrapped by an Engine when the request itself cannot be put
// before policy (an undecodable path or query): the client's fault, a 400.
var ErrBadRequest = errors.New("request cannot be judged")

// PanicError is a panic caught in one decision; it ends that decision alone.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the panic's value.
func (e *PanicError) Error() string { return fmt.Sprintf("panic in a decision: %v", e.Value) }
