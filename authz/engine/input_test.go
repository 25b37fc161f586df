package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
	"github.com/open-policy-agent/opa/v1/ast"
)

var at = time.Date(2026, 3, 5, 10, 15, 30, 5e8, time.UTC)

func inputOf(t testing.TB, r *authz.Request) (Input, map[string]any) {
	t.Helper()
	term, err := newBuilder(Edge{SessionCookie: "_pomerium", IdentityPrefix: "X-Pomerium-"}).build(r)
	if err != nil {
		t.Fatal(err)
	}
	return roundTrip(t, term)
}

// roundTrip reads a built document as the types that the schema is made of, and
// fails if a field is missing from either.
func roundTrip(t testing.TB, term *ast.Term) (Input, map[string]any) {
	t.Helper()
	v, err := ast.JSON(term.Value)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var in Input
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		t.Fatalf("the document has what the types lack: %v\n%s", err, text)
	}
	again, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var a, b map[string]any
	if err := errors.Join(json.Unmarshal(text, &a), json.Unmarshal(again, &b)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("the document lacks what the types say:\n%s\n%s", text, again)
	}
	return in, a
}

func fullRequest() *authz.Request {
	return &authz.Request{
		Time: at, ID: "req-1", Method: "GET", Scheme: "https", Host: "portal.kappa4.com",
		Path: "/a/b%20c?x=1&x=2&y=", Protocol: "HTTP/1.1",
		Headers: authz.Headers{
			{Name: "accept", Value: "text/html"}, {Name: "accept", Value: "*/*"},
			{Name: "cookie", Value: "a=1; _pomerium=secret;b=2"}, {Name: "cookie", Value: "_pomerium=other"},
			{Name: "cookie", Value: "c=3; _pomerium_x=4"},
		},
		Certificate: &authz.Certificate{
			Subject: "CN=a", Issuer: "CN=ca", DNSNames: []string{"a.edge.svc"}, URINames: []string{"spiffe://a"}, Fingerprint: "f0", Serial: "0a", NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour),
		},
		Route:       &authz.Route{Name: "portal", PassIdentityHeaders: true, Policy: map[string]any{"business_hours": true, "n": 1.5}},
		Extensions:  map[string]string{"route": "portal"},
		Source:      authz.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:4711"), Principal: "spiffe://a"},
		Destination: authz.Peer{Addr: netip.MustParseAddrPort("[::ffff:192.0.2.1]:443")},
		Session: &session.Session{
			Kind: session.Bearer, ExpiresAt: at.Add(time.Hour),
			Identity: session.Identity{
				Provider: "local", UserID: "u", Email: "a@b", Name: "A", Organization: "o", Roles: []string{"neosc"},
				Groups: []string{"g"}, AMR: []string{"pwd"}, AuthenticatedAt: at,
				Claims: map[string]any{"exp": float64(1772705730), "f": 0.5, "l": []any{nil, true, "x"}, "o": map[string]any{"k": json.Number("7")}},
			},
		},
	}
}

func TestInputHasTheShapeOfItsTypes(t *testing.T) {
	in, raw := inputOf(t, fullRequest())
	h := in.Attributes.Request.HTTP
	want := HTTP{
		ID: "req-1", Method: "GET", Path: "/a/b%20c?x=1&x=2&y=", Host: "portal.kappa4.com", Scheme: "https", Protocol: "HTTP/1.1",
		Headers: map[string]string{"accept": "text/html, */*", "cookie": "a=1; b=2; c=3; _pomerium_x=4"},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("http is %+v", h)
	}
	if in.Attributes.Request.Time != "2026-03-05T10:15:30.5Z" {
		t.Errorf("time is %q", in.Attributes.Request.Time)
	}
	if !reflect.DeepEqual(in.ParsedPath, []string{"a", "b c"}) || !reflect.DeepEqual(in.ParsedQuery, map[string][]string{"x": {"1", "2"}, "y": {""}}) {
		t.Errorf("parsed: %q %q", in.ParsedPath, in.ParsedQuery)
	}
	if in.Attributes.Destination.Address.SocketAddress != (SocketAddress{"192.0.2.1", 443}) {
		t.Errorf("destination is %+v", in.Attributes.Destination.Address)
	}
	if in.Route.IdentityHeaders == nil || in.Route.IdentityHeaders.Prefix != "x-pomerium-" {
		t.Errorf("identity headers are %+v", in.Route.IdentityHeaders)
	}
	if s := in.Session; s.Kind != "bearer" || s.User.Organization != "o" || s.Claims["exp"] != float64(1772705730) || len(s.ID) != 64 {
		t.Errorf("session is %+v", s)
	}
	if v, there := raw["parsed_body"]; !there || v != nil {
		t.Errorf("parsed_body is %v", v)
	}
}

func TestWhatDoesNotApplyIsAbsent(t *testing.T) {
	r := fullRequest()
	r.Session, r.Source, r.Route = nil, authz.Peer{}, &authz.Route{Name: "api"}
	r.Headers = authz.Headers{{Name: "cookie", Value: "_pomerium=x"}}
	in, raw := inputOf(t, r)
	if _, there := raw["session"]; there {
		t.Error("session is there")
	}
	if in.Attributes.Source.Address != nil || in.Route.IdentityHeaders != nil {
		t.Errorf("%+v %+v", in.Attributes.Source, in.Route)
	}
	if _, there := in.Attributes.Request.HTTP.Headers["cookie"]; there {
		t.Error("a cookie header without a cookie is there")
	}
}

func TestARouteThatIsNotKnownHasNoName(t *testing.T) {
	r := fullRequest()
	r.Route, r.RouteName = nil, "admin"
	if in, _ := inputOf(t, r); in.Route.Name != "" {
		t.Errorf("route is %q", in.Route.Name)
	}
}

func TestRequestsThatCannotBeReadAreBadRequests(t *testing.T) {
	for name, path := range map[string]string{
		"BadEscapeInPath":   "/a%zz",
		"CutEscapeInPath":   "/a%4",
		"BadEscapeInQuery":  "/a?x=%zz",
		"SemicolonInQuery":  "/a?x=1;y=2",
		"LongPath":          "/" + strings.Repeat("a", maxPath),
		"ManySegments":      strings.Repeat("/a", maxPathSegments+1),
		"ManyParameters":    "/?" + strings.Repeat("a&", maxQueryValues+1),
		"PercentAlone":      "/%",
		"PercentInBadQuery": "/?%",
	} {
		t.Run(name, func(t *testing.T) {
			r := fullRequest()
			r.Path = path
			_, err := newBuilder(Edge{}).build(r)
			if !errors.Is(err, authz.ErrBadRequest) || kindOf(err) != BadRequest {
				t.Errorf("got %v", err)
			}
		})
	}
	r := fullRequest()
	r.Headers = make(authz.Headers, maxHeaderFields+1)
	if _, err := newBuilder(Edge{}).build(r); !errors.Is(err, authz.ErrBadRequest) {
		t.Errorf("too many headers: %v", err)
	}
}

func TestParsedPathIsThatOfThePlugin(t *testing.T) {
	for path, want := range map[string][]string{
		"/": {""}, "/a/b": {"a", "b"}, "/a/": {"a", ""}, "//a": {"a"}, "/a//b": {"a", "", "b"}, "/%2Fx": {"x"}, "/a%2Fb": {"a", "b"}, "/a+b": {"a+b"},
	} {
		r := fullRequest()
		r.Path = path
		if in, _ := inputOf(t, r); !reflect.DeepEqual(in.ParsedPath, want) {
			t.Errorf("%s gives %q, want %q", path, in.ParsedPath, want)
		}
	}
}

func TestClaimsAreBounded(t *testing.T) {
	deep := any("x")
	for range maxDepth + 1 {
		deep = []any{deep}
	}
	for name, claim := range map[string]any{
		"Deep": deep, "Wide": make([]any, maxValues+1), "HugeNumber": json.Number("1e999999999"),
		"TinyNumber": json.Number("1e-999999999"), "NotJSON": struct{}{}, "ManyStrings": make([]string, maxValues+1),
	} {
		t.Run(name, func(t *testing.T) {
			r := fullRequest()
			r.Session.Identity.Claims = map[string]any{"c": claim}
			if _, err := newBuilder(Edge{}).build(r); err == nil || errors.Is(err, authz.ErrBadRequest) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzRequestBecomesInput(f *testing.F) {
	f.Add("/a/b?x=1", "accept", "a", "_pomerium=x; b=c", "claim", "1e5")
	f.Add("/%zz", "", "\x00", ";;=;", "\xff", "-0")
	f.Fuzz(func(t *testing.T, path, name, value, cookie, claim, number string) {
		r := fullRequest()
		r.Path = path
		r.Headers = authz.Headers{{Name: name, Value: value}, {Name: "cookie", Value: cookie}, {Name: name, Value: value}}
		r.Session.Identity.Claims = map[string]any{claim: claim, "n": json.Number(number)}
		r.Session.Identity.Claims["valid"] = json.Valid([]byte(number))
		term, err := newBuilder(Edge{SessionCookie: "_pomerium"}).build(r)
		if err != nil {
			return
		}
		headers, err := term.Value.Find(ast.MustParseRef("input.attributes.request.http.headers")[1:])
		if err != nil {
			t.Fatal(err)
		}
		got := headers.(ast.Object).Get(ast.StringTerm("cookie"))
		if got == nil {
			return
		}
		for pair := range strings.SplitSeq(string(got.Value.(ast.String)), ";") {
			if n, _, _ := strings.Cut(pair, "="); name != "cookie" && strings.TrimSpace(n) == "_pomerium" {
				t.Fatalf("the session cookie is left in %q", got)
			}
		}
	})
}

func FuzzDecisionIsValidOrRefused(f *testing.F) {
	for _, s := range []string{
		`true`, `{"allowed": true, "headers": {"x-a": ["b"]}, "reasons": ["r"]}`,
		`{"allowed": false, "http_status": 403, "body": "x", "stream_until": "2026-03-05T20:00:00Z"}`,
		`{"allowed": true, "rate_limits": [{"name": "n", "key": "k", "requests_per_second": 1e3, "burst": 2, "cost": 0}]}`,
		`{"allowed": true, "dynamic_metadata": {"a": [1, null, {"b": 1e400}]}, "query_parameters_to_set": {"a": "b"}}`,
	} {
		f.Add(s)
	}
	edge := &Edge{Settable: []string{"x-*"}, ResponseSettable: []string{"y-*"}}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ast.ValueFromReader(strings.NewReader(s))
		if err != nil {
			return
		}
		d, err := parseDecision(v, edge)
		if err != nil {
			if d != nil || kindOf(err) != Malformed {
				t.Fatalf("%v with %v", d, err)
			}
			return
		}
		if len(d.Reasons) == 0 || len(d.Reasons) > maxReasons || len(d.Charges) > maxCharges || d.Allowed && d.Status != 0 {
			t.Fatalf("%+v", d)
		}
		for _, h := range append(d.Headers, d.ResponseHeaders...) {
			if !validHeaderName(h.Name) || !validHeaderValue(h.Value) || strings.ContainsAny(h.Value, "\r\n\x00") || h.Name[1] != '-' {
				t.Fatalf("%+v", h)
			}
		}
		for _, c := range d.Charges {
			if !(c.Rate > 0 && c.Rate <= maxRate) || c.Burst < 1 || c.Burst > maxRate || c.Cost < 0 || c.Cost > c.Burst || c.Name == "" || c.Key == "" {
				t.Fatalf("%+v", c)
			}
		}
		if _, err := json.Marshal(d.Metadata); err != nil {
			t.Fatal(err)
		}
	})
}
