package extauthz

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// fixture is every part that a Server needs, decided by the test itself.
type fixture struct {
	session  *session.Session
	decide   func(*authz.Request) (*authz.Decision, error)
	spent    authz.Spent
	routes   map[string]*authz.Route
	unsigned error // what signing fails with
}

func (f *fixture) sign(s *session.Session, host string, now time.Time) (string, error) {
	return "signed for " + s.Identity.UserID + " at " + host + " " + now.Format(time.TimeOnly), f.unsigned
}

func (f *fixture) ByCookies(context.Context, []string, time.Time) (*session.Session, error) {
	if f.session == nil {
		return nil, session.ErrInvalid
	}
	return f.session, nil
}

func (f *fixture) ByBearer(ctx context.Context, _ string, _ time.Time) (*session.Session, error) {
	return f.ByCookies(ctx, nil, noon)
}

func (f *fixture) Decide(_ context.Context, r *authz.Request) (*authz.Decision, error) {
	return f.decide(r)
}

func (f *fixture) Spend(context.Context, time.Time, []authz.Charge) (authz.Spent, error) {
	return f.spent, nil
}

func (f *fixture) Route(name string) *authz.Route { return f.routes[name] }

func newFixture() *fixture {
	return &fixture{
		session: &session.Session{
			Key: session.ID{1}.Key(), ExpiresAt: noon.Add(time.Hour), IdleExpiresAt: noon.Add(time.Hour),
			Identity: session.Identity{UserID: "u-1", Email: "ana@example.com", Roles: []string{"user"}},
		},
		spent: authz.Spent{Allowed: true},
		routes: map[string]*authz.Route{
			"portal": {Name: "portal", Origin: "https://portal.example.com"},
			"tokens": {Name: "tokens", Origin: "https://tokens.example.com", PassAuthorization: true},
			"told":   {Name: "told", Origin: "https://told.example.com", PassIdentityHeaders: true},
			"gate":   {Name: "gate", Origin: "https://gate.example.com", Gate: true},
		},
		decide: func(*authz.Request) (*authz.Decision, error) {
			return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, Revision: "r1"}, nil
		},
	}
}

func (f *fixture) server(t *testing.T) *Server {
	t.Helper()
	return f.newServer(t)
}

func (f *fixture) newServer(t interface{ Fatal(...any) }) *Server {
	d, err := authz.NewDecider(authz.Options{Sessions: f, Engine: f, Limiter: f, CookieName: "_pomerium"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{
		Decider: d, Routes: f, CookieName: "_pomerium", SignInURL: "https://gate.example.com/oauth2/sign_in", SecondFactorURL: "https://gate.example.com/oauth2/second_factor",
		Settable: func(name string) bool { return strings.HasPrefix(name, "x-pomerium-") },
		RefusalPage: func(r Refusal) Page {
			return Page{ContentType: "text/html; charset=utf-8", Body: "<h1>page</h1>"}
		},
		LimitHeaders: func(authz.Charge, authz.Spent) []authz.Header {
			return []authz.Header{{Name: "retry-after", Value: "3"}}
		},
		Assertion: f.sign, AssertionHeader: "x-pomerium-jwt-assertion",
		Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(route, method, path string, headers ...string) *authv3.CheckRequest {
	hm := &corev3.HeaderMap{}
	for i := 0; i < len(headers); i += 2 {
		hm.Headers = append(hm.Headers, &corev3.HeaderValue{Key: headers[i], RawValue: []byte(headers[i+1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{"route": route},
		Request:           &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: method, Path: path, Host: route + ".example.com", Scheme: "https", HeaderMap: hm}},
	}}
}

func mustCheck(t *testing.T, s *Server, in *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	resp, err := s.Check(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := resp.HttpResponse.(*authv3.CheckResponse_OkResponse); ok != (resp.GetStatus().GetCode() == 0) {
		t.Fatalf("status code %d with %T: Envoy reads code 0 as an allow", resp.GetStatus().GetCode(), resp.HttpResponse)
	}
	return resp
}

func header(hs []*corev3.HeaderValueOption, name string) string {
	for _, h := range hs {
		if h.GetHeader().GetKey() == name {
			return h.GetHeader().GetValue()
		}
	}
	return ""
}

func TestCredentialsNeverReachAnApplication(t *testing.T) {
	for name, tc := range map[string]struct {
		route      string
		headers    []string
		wantCookie string
		removed    []string
	}{
		"SessionCookieAlone":              {"portal", []string{"cookie", "_pomerium=s"}, "", []string{"cookie"}},
		"OtherCookiesStay":                {"portal", []string{"cookie", "a=1; _pomerium=s; b=2"}, "a=1; b=2", nil},
		"SeveralCookieHeadersAreJoined":   {"portal", []string{"cookie", "a=1", "cookie", "_pomerium=s; b=2"}, "a=1; b=2", nil},
		"WhatIsNotUTF8IsLeftOut":          {"portal", []string{"cookie", "a=\xff; _pomerium=s; b=2", "cookie", "c=\xc3\xa9"}, "b=2; c=é", nil},
		"NothingReadableIsLeft":           {"portal", []string{"cookie", "a=\xff; _pomerium=s"}, "", []string{"cookie"}},
		"NoSessionCookieLeavesThemAlone":  {"portal", []string{"cookie", "a=1"}, "", nil},
		"AuthorizationIsTakenOff":         {"portal", []string{"authorization", "Bearer x"}, "", []string{"authorization"}},
		"AuthorizationPassesWhereAsked":   {"tokens", []string{"authorization", "Bearer x"}, "", nil},
		"CookieIsTakenOffThereAsWell":     {"tokens", []string{"cookie", "_pomerium=s"}, "", []string{"cookie"}},
		"TheGateItselfGetsBoth":           {"gate", []string{"authorization", "Bearer x", "cookie", "_pomerium=s"}, "", nil},
		"OddSpellingsOfTheCookieGoAsWell": {"portal", []string{"cookie", "a=1; _POMERIUM=s"}, "a=1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			ok := mustCheck(t, newFixture().server(t), check(tc.route, "GET", "/", tc.headers...)).GetOkResponse()
			if ok == nil {
				t.Fatal("not allowed")
			}
			if got := header(ok.Headers, "cookie"); got != tc.wantCookie {
				t.Errorf("cookie set to %q, want %q", got, tc.wantCookie)
			}
			if !slices.Equal(ok.HeadersToRemove, tc.removed) {
				t.Errorf("removed %v, want %v", ok.HeadersToRemove, tc.removed)
			}
		})
	}
}

func TestRefusalsSpeakToWhoAsked(t *testing.T) {
	anonymous := func(f *fixture) {
		f.session = nil
		f.decide = func(*authz.Request) (*authz.Decision, error) {
			return &authz.Decision{Reasons: []string{"unauthenticated"}}, nil
		}
	}
	forbidden := func(f *fixture) {
		f.decide = func(*authz.Request) (*authz.Decision, error) {
			return &authz.Decision{Reasons: []string{"role_required"}}, nil
		}
	}
	broken := func(f *fixture) {
		f.decide = func(*authz.Request) (*authz.Decision, error) { return nil, errors.New("boom") }
	}
	weak := func(kind session.Kind, status int, reasons ...string) func(*fixture) {
		return func(f *fixture) {
			f.session.Kind = kind
			f.decide = func(*authz.Request) (*authz.Decision, error) {
				return &authz.Decision{Reasons: reasons, Status: status}, nil
			}
		}
	}
	factor := "https://gate.example.com/oauth2/second_factor?rd=https%3A%2F%2Fportal.example.com%2Fa%3Fb%3Dc"
	browser := []string{"accept", "text/html,*/*", "sec-fetch-mode", "navigate", "sec-fetch-dest", "document", "cookie", "_pomerium=s"}
	xhr := []string{"accept", "*/*", "sec-fetch-mode", "cors", "cookie", "_pomerium=s"}
	for name, tc := range map[string]struct {
		world    func(*fixture)
		method   string
		headers  []string
		status   int
		kind     string
		location string
	}{
		"NavigationWithoutSession":         {anonymous, "GET", browser, 302, "", "https://gate.example.com/oauth2/sign_in?rd=https%3A%2F%2Fportal.example.com%2Fa%3Fb%3Dc"},
		"NavigationWithABadTokenIsToldSo":  {anonymous, "GET", append([]string{"authorization", "Bearer junk"}, browser...), 401, "text/html; charset=utf-8", ""},
		"OldBrowserWithoutSession":         {anonymous, "GET", []string{"accept", "text/html"}, 302, "", "https://gate.example.com/oauth2/sign_in?rd=https%3A%2F%2Fportal.example.com%2Fa%3Fb%3Dc"},
		"XHRWithoutSession":                {anonymous, "GET", xhr, 401, "application/problem+json", ""},
		"XRequestedWithIsAProgram":         {anonymous, "GET", []string{"accept", "text/html", "x-requested-with", "XMLHttpRequest"}, 401, "application/problem+json", ""},
		"APIWithoutSession":                {anonymous, "GET", []string{"accept", "application/json"}, 401, "application/problem+json", ""},
		"NothingSaidIsAProgram":            {anonymous, "GET", nil, 401, "application/problem+json", ""},
		"PostIsNeverRedirected":            {anonymous, "POST", append([]string{"origin", "https://portal.example.com"}, browser...), 401, "text/html; charset=utf-8", ""},
		"ForbiddenNavigationGetsAPage":     {forbidden, "GET", browser, 403, "text/html; charset=utf-8", ""},
		"ForbiddenProgramGetsAProblem":     {forbidden, "GET", xhr, 403, "application/problem+json", ""},
		"SecondFactorIsAskedOfAPerson":     {weak(session.Browser, 401, "mfa_required"), "GET", browser, 302, "", factor},
		"AFreshOneToo":                     {weak(session.Browser, 401, "step_up_required"), "GET", browser, 302, "", factor},
		"WithWhateverStatus":               {weak(session.Browser, 0, "mfa_required"), "GET", browser, 302, "", factor},
		"NotForNothing":                    {weak(session.Browser, 0, "mfa_required", "outside_business_hours"), "GET", browser, 403, "text/html; charset=utf-8", ""},
		"NotAfterAPost":                    {weak(session.Browser, 401, "mfa_required"), "POST", append([]string{"origin", "https://portal.example.com"}, browser...), 401, "text/html; charset=utf-8", ""},
		"NotOfAProgram":                    {weak(session.Service, 401, "mfa_required"), "GET", browser, 401, "text/html; charset=utf-8", ""},
		"ScriptsAreToldOfIt":               {weak(session.Browser, 401, "mfa_required"), "GET", xhr, 401, "application/problem+json", ""},
		"OwnTroubleForAPersonIsNoRedirect": {broken, "GET", browser, 503, "text/html; charset=utf-8", ""},
		"OwnTroubleForAProgram":            {broken, "GET", xhr, 503, "application/problem+json", ""},
		"UpgradeWithoutSessionIsAProgram":  {anonymous, "GET", []string{"accept", "text/html", "upgrade", "websocket", "origin", "https://portal.example.com"}, 401, "application/problem+json", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			tc.world(f)
			resp := mustCheck(t, f.server(t), check("portal", tc.method, "/a?b=c", append([]string{"x-request-id", "r-1"}, tc.headers...)...))
			body := resp.GetDeniedResponse()
			if tc.status == 503 {
				body = resp.GetErrorResponse()
			}
			if body == nil {
				t.Fatalf("answered %T", resp.HttpResponse)
			}
			if got := int(body.GetStatus().GetCode()); got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
			if got := header(body.Headers, "content-type"); got != tc.kind {
				t.Errorf("content type %q, want %q", got, tc.kind)
			}
			if got := header(body.Headers, "location"); got != tc.location {
				t.Errorf("location %q, want %q", got, tc.location)
			}
			if got := header(body.Headers, "www-authenticate"); (got != "") != (tc.status == 401) {
				t.Errorf("www-authenticate %q with status %d", got, tc.status)
			}
			if tc.kind == "application/problem+json" {
				var p struct {
					Status    int
					Reasons   []string
					RequestID string `json:"request_id"`
				}
				if err := json.Unmarshal([]byte(body.Body), &p); err != nil || p.Status != tc.status || len(p.Reasons) == 0 || p.RequestID != "r-1" {
					t.Errorf("problem %s (%v)", body.Body, err)
				}
			}
		})
	}
}

// A policy that closes the page of second factors by mistake makes no circle.
func TestThePageOfSecondFactorsIsNotSentToItself(t *testing.T) {
	f := newFixture()
	f.session.Kind = session.Browser
	f.decide = func(*authz.Request) (*authz.Decision, error) {
		return &authz.Decision{Reasons: []string{"mfa_required"}, Status: 401}, nil
	}
	browser := []string{"accept", "text/html", "sec-fetch-mode", "navigate", "cookie", "_pomerium=s"}
	for path, status := range map[string]int{"/oauth2/second_factor": 401, "/oauth2/second_factor?rd=x": 401, "/": 302} {
		body := mustCheck(t, f.server(t), check("gate", "GET", path, browser...)).GetDeniedResponse()
		if got := int(body.GetStatus().GetCode()); got != status {
			t.Errorf("%s: status %d, want %d", path, got, status)
		}
	}
}

func TestTooManyRequestsSayWhenToComeBack(t *testing.T) {
	f := newFixture()
	f.decide = func(*authz.Request) (*authz.Decision, error) {
		return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, Charges: []authz.Charge{{Name: "user", Key: "k", Rate: 1, Burst: 1, Cost: 1}}}, nil
	}
	f.spent = authz.Spent{RetryAfter: 3 * time.Second}
	body := mustCheck(t, f.server(t), check("portal", "GET", "/", "cookie", "_pomerium=s")).GetDeniedResponse()
	if body.GetStatus().GetCode() != 429 || header(body.Headers, "retry-after") != "3" {
		t.Errorf("got %v %v", body.GetStatus(), body.GetHeaders())
	}
}

func TestAPolicyMayWordItsOwnDenial(t *testing.T) {
	f := newFixture()
	f.decide = func(*authz.Request) (*authz.Decision, error) {
		return &authz.Decision{Status: 418, Reasons: []string{"teapot"}, Body: "short and stout", Headers: []authz.Header{{Name: "x-tea", Value: "green"}}}, nil
	}
	body := mustCheck(t, f.server(t), check("portal", "GET", "/", "accept", "text/html")).GetDeniedResponse()
	if body.GetStatus().GetCode() != 418 || body.Body != "short and stout" || header(body.Headers, "x-tea") != "green" {
		t.Errorf("got %v", body)
	}
}

func TestAHeaderTheEdgeWouldRefuseIsAPolicyError(t *testing.T) {
	f := newFixture()
	f.decide = func(*authz.Request) (*authz.Decision, error) {
		return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, Headers: []authz.Header{{Name: "x-forwarded-host", Value: "evil"}}}, nil
	}
	resp := mustCheck(t, f.server(t), check("portal", "GET", "/", "cookie", "_pomerium=s"))
	if resp.GetErrorResponse().GetStatus().GetCode() != 503 {
		t.Errorf("got %v", resp)
	}
}

func TestStreamsAreGivenAWholePositiveLimit(t *testing.T) {
	for name, tc := range map[string]struct {
		until time.Time
		want  string
	}{
		"Minute":               {noon.Add(time.Minute), "60000"},
		"LessThanAMillisecond": {noon.Add(time.Microsecond), "1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			f.decide = func(*authz.Request) (*authz.Decision, error) {
				return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, StreamUntil: tc.until}, nil
			}
			ok := mustCheck(t, f.server(t), check("portal", "GET", "/", "cookie", "_pomerium=s")).GetOkResponse()
			if got := header(ok.GetHeaders(), streamLimitHeader); got != tc.want {
				t.Errorf("limit %q, want %q", got, tc.want)
			}
		})
	}
}

func TestQueryParametersThatEnvoyWouldRefuseAreAPolicyError(t *testing.T) {
	for name, tc := range map[string]struct {
		q  authz.QueryParameter
		ok bool
	}{
		"Plain":           {authz.QueryParameter{Name: "tenant", Value: "acme-1.x_y"}, true},
		"Space":           {authz.QueryParameter{Name: "tenant", Value: "a b"}, false},
		"SecondParameter": {authz.QueryParameter{Name: "tenant", Value: "x&admin=1"}, false},
		"Fragment":        {authz.QueryParameter{Name: "tenant", Value: "x#"}, false},
		"NameWithEquals":  {authz.QueryParameter{Name: "a=b", Value: "x"}, false},
		"Tilde":           {authz.QueryParameter{Name: "tenant", Value: "~"}, false},
		"LineEnd":         {authz.QueryParameter{Name: "tenant", Value: "x\r\nEvil: 1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			f.decide = func(*authz.Request) (*authz.Decision, error) {
				return &authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}, QuerySet: []authz.QueryParameter{tc.q}}, nil
			}
			resp := mustCheck(t, f.server(t), check("portal", "GET", "/", "cookie", "_pomerium=s"))
			if got := len(resp.GetOkResponse().GetQueryParametersToSet()) == 1; got != tc.ok {
				t.Errorf("set=%v, want %v", got, tc.ok)
			}
			if !tc.ok && resp.GetErrorResponse().GetStatus().GetCode() != 503 {
				t.Errorf("answered %v", resp)
			}
		})
	}
}

func TestMetadataTellsTheLogWhoAndWhy(t *testing.T) {
	f := newFixture()
	m := mustCheck(t, f.server(t), check("portal", "GET", "/", "cookie", "_pomerium=s")).GetDynamicMetadata().AsMap()
	want := map[string]any{"decision": "allow", "reason": "matched_policy", "user": "u-1", "email": "ana@example.com", "policy_revision": "r1", "session": f.session.Key.Short()}
	for k, v := range want {
		if m[k] != v {
			t.Errorf("%s is %v, want %v", k, m[k], v)
		}
	}
}

func TestTooLargeARequestIsRefused(t *testing.T) {
	s := newFixture().server(t)
	many := make([]string, 0, 600)
	for range 300 {
		many = append(many, "x-a", "b")
	}
	for name, in := range map[string]*authv3.CheckRequest{
		"LongPath":    check("portal", "GET", "/"+strings.Repeat("a", 20<<10)),
		"ManyHeaders": check("portal", "GET", "/", many...),
		"LongHeader":  check("portal", "GET", "/", "cookie", strings.Repeat("c", 70<<10)),
	} {
		t.Run(name, func(t *testing.T) {
			if got := mustCheck(t, s, in).GetDeniedResponse().GetStatus().GetCode(); got != 400 {
				t.Errorf("status %d, want 400", got)
			}
		})
	}
}

func TestAnEmptyCheckIsDenied(t *testing.T) {
	s := newFixture().server(t)
	for name, in := range map[string]*authv3.CheckRequest{"Nil": nil, "Empty": {}, "NoRoute": check("", "GET", "/"), "UnknownRoute": check("nowhere", "GET", "/")} {
		t.Run(name, func(t *testing.T) {
			if got := mustCheck(t, s, in).GetDeniedResponse().GetStatus().GetCode(); got != 403 {
				t.Errorf("status %d, want 403", got)
			}
		})
	}
}
