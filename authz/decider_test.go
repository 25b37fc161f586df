package authz_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// fakeSessions knows cookie values and tokens by heart.
type fakeSessions struct {
	cookies map[string]*session.Session
	tokens  map[string]*session.Session
	err     error
}

func (f *fakeSessions) ByCookies(_ context.Context, values []string, _ time.Time) (*session.Session, error) {
	if f.err != nil {
		return nil, f.err
	}
	var found *session.Session
	for _, v := range values {
		if s := f.cookies[v]; s != nil {
			if found != nil {
				return nil, session.ErrAmbiguous
			}
			found = s
		}
	}
	if found == nil {
		return nil, session.ErrInvalid
	}
	return found, nil
}

func (f *fakeSessions) ByBearer(_ context.Context, token string, _ time.Time) (*session.Session, error) {
	if s := f.tokens[token]; s != nil {
		return s, nil
	}
	return nil, session.ErrInvalid
}

type fakeEngine struct {
	decide func(*authz.Request) (*authz.Decision, error)
	asked  int
}

func (f *fakeEngine) Decide(_ context.Context, r *authz.Request) (*authz.Decision, error) {
	f.asked++
	return f.decide(r)
}

type fakeLimiter struct {
	spent authz.Spent
	err   error
	asked int
}

func (f *fakeLimiter) Spend(context.Context, time.Time, []authz.Charge) (authz.Spent, error) {
	f.asked++
	return f.spent, f.err
}

type fakeObserver struct{ seen []*authz.Outcome }

func (f *fakeObserver) Observe(_ *authz.Request, o *authz.Outcome, _ time.Duration) {
	f.seen = append(f.seen, o)
}

type world struct {
	sessions *fakeSessions
	engine   *fakeEngine
	limiter  *fakeLimiter
	observer *fakeObserver
	decider  *authz.Decider
}

// newWorld allows everybody who is signed in, and knows the cookie "ana".
func newWorld(t *testing.T) *world {
	t.Helper()
	ana := &session.Session{Identity: session.Identity{UserID: "ana"}, ExpiresAt: noon.Add(time.Hour), IdleExpiresAt: noon.Add(time.Hour)}
	bob := &session.Session{Identity: session.Identity{UserID: "bob"}, ExpiresAt: noon.Add(time.Hour), IdleExpiresAt: noon.Add(time.Hour)}
	w := &world{
		sessions: &fakeSessions{
			cookies: map[string]*session.Session{"ana": ana, "bob": bob},
			tokens:  map[string]*session.Session{"token-bob": bob},
		},
		limiter:  &fakeLimiter{spent: authz.Spent{Allowed: true}},
		observer: &fakeObserver{},
	}
	w.engine = &fakeEngine{decide: func(r *authz.Request) (*authz.Decision, error) {
		if r.Session == nil {
			return &authz.Decision{Reasons: []string{authz.ReasonUnauthenticated}}, nil
		}
		return &authz.Decision{Allowed: true, Reasons: []string{authz.ReasonMatchedPolicy}}, nil
	}}
	var err error
	w.decider, err = authz.NewDecider(authz.Options{Sessions: w.sessions, Engine: w.engine, Limiter: w.limiter, CookieName: "_pomerium", Observer: w.observer})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func request(edit func(*authz.Request)) *authz.Request {
	r := &authz.Request{
		Time: noon, Method: "GET", Host: "api.example.com", Path: "/", RouteName: "api",
		Route: &authz.Route{Name: "api", Origin: "https://api.example.com", AllowedOrigins: []string{"https://portal.example.com"}},
	}
	if edit != nil {
		edit(r)
	}
	return r
}

func manyCookies(n int) []string {
	var hs []string
	for range n {
		hs = append(hs, "cookie", "a=1")
	}
	return hs
}

func with(headers ...string) func(*authz.Request) {
	return func(r *authz.Request) {
		for i := 0; i < len(headers); i += 2 {
			r.Headers = append(r.Headers, authz.Header{Name: headers[i], Value: headers[i+1]})
		}
	}
}

// atGate is with, on the gate's own host.
func atGate(headers ...string) func(*authz.Request) {
	return func(r *authz.Request) {
		with(headers...)(r)
		r.Route = &authz.Route{Name: "gate", Origin: "https://gate.example.com", Gate: true}
	}
}

func TestDecideWhoAsksAndWhatIsRefusedBeforePolicy(t *testing.T) {
	post := func(headers ...string) func(*authz.Request) {
		return func(r *authz.Request) { r.Method = "POST"; with(headers...)(r) }
	}
	for name, tc := range map[string]struct {
		edit    func(*authz.Request)
		verdict authz.Verdict
		status  int
		reason  string
		user    string
	}{
		"AnonymousIsUnauthenticated":           {nil, authz.Unauthenticated, 401, "unauthenticated", ""},
		"CookieOpensItsSession":                {with("cookie", "a=1; _pomerium=ana"), authz.Allowed, 200, "matched_policy", "ana"},
		"JunkCookieIsAnonymous":                {with("cookie", "_pomerium=junk"), authz.Unauthenticated, 401, "unauthenticated", ""},
		"JunkBesideAGoodCookieIsIgnored":       {with("cookie", "_pomerium=junk; _pomerium=ana"), authz.Allowed, 200, "matched_policy", "ana"},
		"JunkInAnotherCookieHeaderIsIgnored":   {with("cookie", "_pomerium=junk", "cookie", "_pomerium=ana"), authz.Allowed, 200, "matched_policy", "ana"},
		"TwoGoodCookiesAreAmbiguous":           {with("cookie", "_pomerium=bob; _pomerium=ana"), authz.Unauthenticated, 401, "ambiguous_credentials", ""},
		"TwoGoodCookiesAreNobodyToTheGate":     {atGate("cookie", "_pomerium=bob; _pomerium=ana"), authz.Unauthenticated, 401, "unauthenticated", ""},
		"BearerOpensItsSession":                {with("authorization", "Bearer token-bob"), authz.Allowed, 200, "matched_policy", "bob"},
		"BearerSchemeIgnoresCase":              {with("authorization", "bEARER token-bob"), authz.Allowed, 200, "matched_policy", "bob"},
		"BearerAloneCountsBesideACookie":       {with("authorization", "Bearer token-bob", "cookie", "_pomerium=ana"), authz.Allowed, 200, "matched_policy", "bob"},
		"JunkBearerIsRefusedBesideAGoodCookie": {with("authorization", "Bearer junk", "cookie", "_pomerium=ana"), authz.Unauthenticated, 401, "invalid_token", ""},
		"BasicIsNoBearer":                      {with("authorization", "Basic YTpi", "cookie", "_pomerium=ana"), authz.Unauthenticated, 401, "invalid_token", ""},
		"EmptyAuthorizationIsRefused":          {with("authorization", ""), authz.Unauthenticated, 401, "invalid_token", ""},
		"JoinedBearersAreRefused":              {with("authorization", "Bearer token-bob,Bearer token-bob"), authz.Unauthenticated, 401, "invalid_token", ""},
		"RepeatedAuthorizationIsRefused":       {with("authorization", "Bearer token-bob", "authorization", "Bearer token-bob"), authz.Unauthenticated, 401, "invalid_token", ""},
		"UnknownRouteIsDenied":                 {func(r *authz.Request) { r.Route = nil; with("cookie", "_pomerium=ana")(r) }, authz.Denied, 403, "unknown_route", ""},
		"UnreadableIsA400":                     {func(r *authz.Request) { r.Unreadable = errors.New("too large") }, authz.Denied, 400, "bad_request", ""},
		"LowerCaseMethodIsDenied":              {func(r *authz.Request) { r.Method = "get"; with("cookie", "_pomerium=ana")(r) }, authz.Denied, 403, "method_not_allowed", ""},
		"TraceIsDenied":                        {func(r *authz.Request) { r.Method = "TRACE"; with("cookie", "_pomerium=ana")(r) }, authz.Denied, 403, "method_not_allowed", ""},
		"PathWithoutSlashIsA400":               {func(r *authz.Request) { r.Path = "*" }, authz.Denied, 400, "bad_request", ""},
		"TwoHostsAreA400":                      {func(r *authz.Request) { r.Host = "a,b" }, authz.Denied, 400, "bad_request", ""},
		"PostByCookieNeedsAnOrigin":            {post("cookie", "_pomerium=ana"), authz.Denied, 403, "origin_mismatch", "ana"},
		"PostByCookieFromItsOwnHost":           {post("cookie", "_pomerium=ana", "origin", "https://api.example.com"), authz.Allowed, 200, "matched_policy", "ana"},
		"PostByCookieFromAnAllowedOrigin":      {post("cookie", "_pomerium=ana", "origin", "https://portal.example.com"), authz.Allowed, 200, "matched_policy", "ana"},
		"PostByCookieFromASibling":             {post("cookie", "_pomerium=ana", "origin", "https://workspace.example.com"), authz.Denied, 403, "origin_mismatch", "ana"},
		"PostByCookieFromAnotherScheme":        {post("cookie", "_pomerium=ana", "origin", "http://api.example.com"), authz.Denied, 403, "origin_mismatch", "ana"},
		"PostByCookieFromNull":                 {post("cookie", "_pomerium=ana", "origin", "null"), authz.Denied, 403, "origin_mismatch", "ana"},
		"PostByCookieWithTwoOrigins":           {post("cookie", "_pomerium=ana", "origin", "https://api.example.com", "origin", "https://evil.example"), authz.Denied, 403, "origin_mismatch", "ana"},
		"PostByBearerNeedsNoOrigin":            {post("authorization", "Bearer token-bob"), authz.Allowed, 200, "matched_policy", "bob"},
		"UpgradeByCookieNeedsAnOrigin":         {with("cookie", "_pomerium=ana", "upgrade", "websocket"), authz.Denied, 403, "origin_mismatch", "ana"},
		"UpgradeByCookieFromItsOwnHost":        {with("cookie", "_pomerium=ana", "upgrade", "websocket", "origin", "https://api.example.com"), authz.Allowed, 200, "matched_policy", "ana"},
		"SafeMethodByCookieNeedsNoOrigin":      {with("cookie", "_pomerium=ana"), authz.Allowed, 200, "matched_policy", "ana"},
		"OptionsWithoutCredentialsIsAnonymous": {func(r *authz.Request) { r.Method = "OPTIONS" }, authz.Unauthenticated, 401, "unauthenticated", ""},
		"CookieOfALongerNameIsNotTheSession":   {with("cookie", "x_pomerium=ana"), authz.Unauthenticated, 401, "unauthenticated", ""},
		"CookieNameIsCaseSensitive":            {with("cookie", "_POMERIUM=ana"), authz.Unauthenticated, 401, "unauthenticated", ""},
		"CookieInsideAnotherValueIsNotTheirs":  {with("cookie", `x="a; _pomerium=ana"`), authz.Unauthenticated, 401, "unauthenticated", ""},
		"FourJunkCookiesDoNotHideAGoodOne":     {with("cookie", "_pomerium=1; _pomerium=2; _pomerium=3; _pomerium=4; _pomerium=ana"), authz.Allowed, 200, "matched_policy", "ana"},
		"ThreeHundredCookiesAreLookedAt":       {with("cookie", strings.Repeat("a=1; ", 299)+"_pomerium=ana"), authz.Allowed, 200, "matched_policy", "ana"},
		"AThousandCookiesAreTooMany":           {with("cookie", strings.Repeat("a=1; ", 999)+"_pomerium=ana"), authz.Denied, 431, "bad_request", ""},
		"TooManyCookiesInManyHeaders":          {with(manyCookies(301)...), authz.Denied, 431, "bad_request", ""},
		"SessionCookieEmptyIsAnonymous":        {with("cookie", "_pomerium="), authz.Unauthenticated, 401, "unauthenticated", ""},
		"HostOfAnOriginIsNotTakenFromTheClient": {func(r *authz.Request) {
			r.Host = "evil.example"
			post("cookie", "_pomerium=ana", "origin", "https://evil.example")(r)
		}, authz.Denied, 403, "origin_mismatch", "ana"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.decider.Decide(t.Context(), request(tc.edit))
			if o.Verdict != tc.verdict || o.Status != tc.status || o.Reasons[0] != tc.reason {
				t.Errorf("got %v %d %v, want %v %d [%s]", o.Verdict, o.Status, o.Reasons, tc.verdict, tc.status, tc.reason)
			}
			user := ""
			if o.Session != nil {
				user = o.Session.Identity.UserID
			}
			if user != tc.user {
				t.Errorf("session of %q, want %q", user, tc.user)
			}
			if len(w.observer.seen) != 1 || w.observer.seen[0] != o {
				t.Errorf("observer saw %d outcomes, want this one", len(w.observer.seen))
			}
		})
	}
}

func TestDecideFailsClosedWhenAPartIsAway(t *testing.T) {
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		break_ func(*world)
		status int
		reason string
	}{
		"StoreAway":     {func(w *world) { w.sessions.err = session.ErrUnavailable }, 503, "session_store_unavailable"},
		"StoreConfused": {func(w *world) { w.sessions.err = boom }, 503, "session_store_unavailable"},
		"PolicyFails": {func(w *world) {
			w.engine.decide = func(*authz.Request) (*authz.Decision, error) { return nil, boom }
		}, 503, "policy_error"},
		"PolicyPanics": {func(w *world) { w.engine.decide = func(*authz.Request) (*authz.Decision, error) { panic("x") } }, 503, "internal_error"},
		"LimiterAway": {func(w *world) {
			w.engine.decide = charging
			w.limiter.err = boom
		}, 503, "limits_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.break_(w)
			o := w.decider.Decide(t.Context(), request(with("cookie", "_pomerium=ana")))
			if o.Verdict != authz.Failed || o.Status != tc.status || o.Reasons[0] != tc.reason || o.Err == nil {
				t.Errorf("got %v %d %v err %v, want error %d [%s]", o.Verdict, o.Status, o.Reasons, o.Err, tc.status, tc.reason)
			}
			if len(w.observer.seen) != 1 {
				t.Errorf("observer saw %d outcomes, want 1", len(w.observer.seen))
			}
		})
	}
}

func charging(*authz.Request) (*authz.Decision, error) {
	return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, Charges: []authz.Charge{{Name: "user", Key: "ana", Rate: 1, Burst: 1, Cost: 1}}}, nil
}

func TestDecideRefusesWhenALimitIsSpent(t *testing.T) {
	w := newWorld(t)
	w.engine.decide = charging
	w.limiter.spent = authz.Spent{RetryAfter: time.Second}
	o := w.decider.Decide(t.Context(), request(with("cookie", "_pomerium=ana")))
	if o.Verdict != authz.Limited || o.Status != 429 || o.Reasons[0] != "rate_limited" || o.Charge == nil || o.Charge.Name != "user" {
		t.Errorf("got %+v", o)
	}
}

func TestDecideChargesNothingForADenial(t *testing.T) {
	w := newWorld(t)
	w.engine.decide = func(*authz.Request) (*authz.Decision, error) {
		return &authz.Decision{Reasons: []string{"role_required"}, Charges: []authz.Charge{{Name: "user", Key: "ana", Rate: 1, Burst: 1, Cost: 1}}}, nil
	}
	o := w.decider.Decide(t.Context(), request(with("cookie", "_pomerium=ana")))
	if o.Verdict != authz.Denied || w.limiter.asked != 0 {
		t.Errorf("verdict %v, limiter asked %d times", o.Verdict, w.limiter.asked)
	}
}

func TestDecideTakesPolicysStatusOnADenialOnly(t *testing.T) {
	w := newWorld(t)
	w.engine.decide = func(r *authz.Request) (*authz.Decision, error) {
		return &authz.Decision{Allowed: r.Path == "/open", Status: 418, Reasons: []string{"teapot"}}, nil
	}
	if o := w.decider.Decide(t.Context(), request(with("cookie", "_pomerium=ana"))); o.Status != 418 {
		t.Errorf("denied with %d, want policy's 418", o.Status)
	}
	r := request(with("cookie", "_pomerium=ana"))
	r.Path = "/open"
	if o := w.decider.Decide(t.Context(), r); o.Status != 200 || o.Verdict != authz.Allowed {
		t.Errorf("allowed with %d", o.Status)
	}
}

func TestStreamsEndAtPolicysInstantOrTheSessions(t *testing.T) {
	for name, tc := range map[string]struct {
		until   time.Time
		verdict authz.Verdict
		left    time.Duration
	}{
		"SessionAloneLimits":    {time.Time{}, authz.Allowed, time.Hour},
		"PolicyIsEarlier":       {noon.Add(time.Minute), authz.Allowed, time.Minute},
		"PolicyIsLater":         {noon.Add(2 * time.Hour), authz.Allowed, time.Hour},
		"NothingLeftIsADenial":  {noon, authz.Denied, 0},
		"AlreadyOverIsADenial":  {noon.Add(-time.Second), authz.Denied, -time.Second},
		"OneMillisecondIsSpent": {noon.Add(time.Millisecond), authz.Allowed, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.engine.decide = func(*authz.Request) (*authz.Decision, error) {
				return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, StreamUntil: tc.until}, nil
			}
			o := w.decider.Decide(t.Context(), request(with("cookie", "_pomerium=ana")))
			if o.Verdict != tc.verdict || o.StreamFor != tc.left {
				t.Errorf("got %v for %v, want %v for %v", o.Verdict, o.StreamFor, tc.verdict, tc.left)
			}
		})
	}
}

func TestNewDeciderNamesWhatIsMissing(t *testing.T) {
	if _, err := authz.NewDecider(authz.Options{}); err == nil {
		t.Error("a Decider without parts was made")
	}
}
