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
	// Now measures how long things took; nil means time.Now. Decisions use
	// Request.Time, never this.
	Now func() time.Time
}

// Decider takes a Request from the question "who is it" to the answer: session,
// policy, limits, in this order, each failing closed. Safe for concurrent use.
type Decider struct {
	opt Options
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
func (d *Decider) Decide(ctx context.Context, r *Request) (o *Outcome) {
	start := d.opt.Now()
	defer func() {
		if p := recover(); p != nil {
			o = failed(ReasonInternalError, &PanicError{Value: p, Stack: debug.Stack()})
		}
		o.Session = r.Session
		d.opt.Observer.Observe(r, o, d.opt.Now().Sub(start))
	}()
	return d.decide(ctx, r)
}

func (d *Decider) decide(ctx context.Context, r *Request) *Outcome {
	if r.Unreadable != nil {
		return refused(Denied, 400, ReasonBadRequest)
	}
	if r.Route == nil {
		return refused(Denied, 403, ReasonUnknownRoute)
	}
	if o := wellFormed(r); o != nil {
		return o
	}
	byCookie, o := d.authenticate(ctx, r)
	if o != nil {
		return o
	}
	if byCookie && needsOrigin(r) && !originAllowed(r) {
		return refused(Denied, 403, ReasonOriginMismatch)
	}
	return d.judge(ctx, r)
}

// wellFormed refuses what is ambiguous before anyone is asked about it.
func wellFormed(r *Request) *Outcome {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE":
	default: // get, TRACE, CONNECT, FOO: methods are case-sensitive, unknown ones have no rules
		return refused(Denied, 403, ReasonMethod)
	}
	if !strings.HasPrefix(r.Path, "/") || r.Host == "" || strings.ContainsAny(r.Host, ", \t") {
		return refused(Denied, 400, ReasonBadRequest)
	}
	if cookies(r) > maxCookies {
		return refused(Denied, 431, ReasonBadRequest)
	}
	return nil
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
func (d *Decider) authenticate(ctx context.Context, r *Request) (byCookie bool, o *Outcome) {
	auth, n := r.Headers.Get("authorization")
	// Envoy joins repeated Authorization fields with a comma; two credentials
	// are as ambiguous as none.
	if n > 1 || strings.Contains(auth, ",") {
		return false, refused(Unauthenticated, 401, ReasonInvalidToken)
	}
	var s *session.Session
	var err error
	if n == 1 {
		token, ok := bearer(auth)
		if !ok {
			return false, refused(Unauthenticated, 401, ReasonInvalidToken)
		}
		s, err = d.opt.Sessions.ByBearer(ctx, token, r.Time)
	} else {
		var values [4]string
		found := values[:0]
		for i := range r.Headers {
			if r.Headers[i].Name == "cookie" {
				found = session.AppendCookieValues(found, r.Headers[i].Value, d.opt.CookieName)
			}
		}
		if len(found) == 0 {
			return false, nil
		}
		byCookie = true
		s, err = d.opt.Sessions.ByCookies(ctx, found, r.Time)
	}
	switch {
	case err == nil:
		r.Session = s
		return byCookie, nil
	case errors.Is(err, session.ErrAmbiguous) && r.Route.Gate:
		// Nobody, so that sign-in stays reachable, which ends both: a sibling host
		// could otherwise toss a second session in and lock people out.
		return false, nil
	case errors.Is(err, session.ErrAmbiguous):
		return false, refused(Unauthenticated, 401, ReasonAmbiguous)
	case errors.Is(err, session.ErrInvalid) && byCookie:
		return false, nil // junk in the cookie is nobody: sign-in must stay reachable
	case errors.Is(err, session.ErrInvalid):
		return false, refused(Unauthenticated, 401, ReasonInvalidToken)
	default:
		return false, failed(ReasonStoreUnavailable, err)
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
func (d *Decider) judge(ctx context.Context, r *Request) *Outcome {
	o := d.ask(ctx, r)
	if o.Verdict == Allowed {
		d.spend(ctx, r, o)
	}
	return o
}

// ask puts the request before policy and works out how long a stream may live.
func (d *Decider) ask(ctx context.Context, r *Request) *Outcome {
	start := d.opt.Now()
	dec, err := d.opt.Engine.Decide(ctx, r)
	took := d.opt.Now().Sub(start)
	if err != nil {
		o := failed(ReasonPolicyError, err)
		if errors.Is(err, ErrBadRequest) {
			o = refused(Denied, 400, ReasonBadRequest)
		}
		o.PolicyTime = took
		return o
	}
	o := &Outcome{Verdict: Allowed, Status: 200, Reasons: dec.Reasons, Decision: dec, PolicyTime: took}
	if !dec.Allowed {
		deny(r, o)
		return o
	}
	if end := streamEnd(r, dec); !end.IsZero() {
		if o.StreamFor = end.Sub(r.Time); o.StreamFor <= 0 {
			// Envoy takes 0 and negative limits as "no limit": nothing left is a denial.
			o.Verdict, o.Status = Denied, 403
		}
	}
	return o
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
// instant or the session's, whichever is first.
func streamEnd(r *Request, dec *Decision) time.Time {
	end := dec.StreamUntil
	if r.Session != nil && (end.IsZero() || r.Session.ExpiresAt.Before(end)) {
		end = r.Session.ExpiresAt
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
		*o = Outcome{Verdict: Failed, Status: 503, Reasons: []string{ReasonLimitUnavailable}, Decision: o.Decision, PolicyTime: o.PolicyTime, Err: err}
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

func refused(v Verdict, status int, reason string) *Outcome {
	return &Outcome{Verdict: v, Status: status, Reasons: []string{reason}}
}

func failed(reason string, err error) *Outcome {
	return &Outcome{Verdict: Failed, Status: 503, Reasons: []string{reason}, Err: err}
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
