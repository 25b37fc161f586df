package envoy_test

import (
	"strings"
	"testing"
)

// Attack cases P1 to P15: either refused at once, or the gate judges exactly
// the path that the upstream gets. want is that path, "" for 400 without a
// check.
func TestPathIsJudgedAsTheUpstreamSeesIt(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	for id, c := range map[string]struct{ target, want string }{
		"P1":                 {"/public/../admin", "/admin"},
		"P2":                 {"/public/%2e%2e/admin", "/admin"},
		"P2Mixed":            {"/public/.%2E/admin", "/admin"},
		"P3Upper":            {"/public%2F..%2Fadmin", ""},
		"P3Lower":            {"/public%2f..%2fadmin", ""},
		"P4Slash":            {"/public%252f..%252fadmin", ""},
		"P4Dots":             {"/public/%252e%252e/admin", ""},
		"P4Thrice":           {"/public/%25252e%25252e/admin", ""},
		"P4Backslash":        {"/public%255c..%255Cadmin", ""},
		"P5":                 {"//admin", "/admin"},
		"P5Host":             {"//evil.test/admin", "/evil.test/admin"},
		"P5Inside":           {"/public///admin", "/public/admin"},
		"P6Parameter":        {"/public/..;/admin", "/admin"}, // Envoy reads ..; as .. itself
		"P6Encoded":          {"/public/..%3B/admin", ""},
		"P6DotsEncoded":      {"/public/%2e%2e;/admin", ""},
		"P6Trailing":         {"/admin;x", "/admin;x"},
		"P7Encoded":          {"/public%5C..%5Cadmin", ""},
		"P7Raw":              {`/public\..\admin`, "/admin"},
		"P8Encoded":          {"/admin%00.css", ""},
		"P8Raw":              {"/admin\x00.css", ""},
		"P8Newline":          {"/admin%0d%0ax", ""},
		"P9":                 {"/admin?x=/public/", "/admin?x=/public/"},
		"P9Dots":             {"/public?/../admin", "/public?/../admin"},
		"P10":                {"/admin#/public", ""},
		"P11":                {"/public/%zz", ""},
		"P11Half":            {"/public/%2", ""},
		"P11End":             {"/public/%", ""},
		"P11Overlong":        {"/public/%c0%ae%c0%ae/admin", ""},
		"P12NoSlash":         {"admin", ""},
		"P13":                {"/a?b?c=%2f..%2f", "/a?b?c=%2f..%2f"},
		"P13PercentInQuery":  {"/a?b=%zz", "/a?b=%zz"},
		"P15Case":            {"/ADMIN", "/ADMIN"},
		"P15Trailing":        {"/admin/", "/admin/"},
		"P15Dot":             {"/admin.", "/admin."},
		"P15TrailingDots":    {"/public/admin/..", "/public/"},
		"HarmlessEscape":     {"/a%20b", "/a%20b"},
		"HarmlessPercent":    {"/100%25", "/100%25"},
		"HarmlessUTF8":       {"/%e6%97%a5", "/%e6%97%a5"},
		"AboveRoot":          {"/../../admin", "/admin"},
		"LongPathWithSlashs": {"/a" + strings.Repeat("/", 5000) + "b", "/a/b"},
	} {
		a := e.raw(t, request("GET", "portal.test", c.target, id))
		checks, ups := e.authz.seen(id), e.upstream.seen(id)
		if c.want == "" {
			if a.status != 400 || len(checks)+len(ups) != 0 {
				t.Errorf("%s %q gave %d, %d checks and %d requests upstream; want 400 and none: %v", id, c.target, a.status, len(checks), len(ups), ups)
			}
			continue
		}
		if a.status != 200 || len(checks) != 1 || len(ups) != 1 {
			t.Errorf("%s %q gave %d, %d checks and %d requests upstream", id, c.target, a.status, len(checks), len(ups))
			continue
		}
		judged := checks[0].GetAttributes().GetRequest().GetHttp().GetPath()
		if judged != c.want || ups[0].path != c.want {
			t.Errorf("%s %q was judged as %q and arrived as %q, want %q", id, c.target, judged, ups[0].path, c.want)
		}
	}
}

// P12, O1 to O5: the host that is judged is the host that is routed.
func TestHostIsOneWayOnly(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	for id, c := range map[string]struct {
		host, target, want string
		status             int
	}{
		"AbsoluteForm":   {"portal.test", "http://api.test/x", "api", 200},
		"UpperCase":      {"PORTAL.TEST", "/", "portal", 200},
		"TrailingDot":    {"portal.test.", "/", "portal", 200},
		"Port":           {"portal.test:1", "/", "portal", 200},
		"DotAndPort":     {"portal.test.:8080", "/", "portal", 200},
		"Unknown":        {"evil.test", "/", "", 404},
		"Address":        {"127.0.0.1", "/", "", 404},
		"Suffix":         {"evilportal.test", "/", "", 404},
		"UserInfo":       {"x@portal.test", "/", "", 404},
		"UnmatchedPath":  {"admin.test", "/other", "", 404},
		"AboveItsPrefix": {"admin.test", "/admin/../other", "", 404},
	} {
		a := e.raw(t, request("GET", c.host, c.target, id))
		checks := e.authz.seen(id)
		if c.want == "" {
			if a.status != c.status && a.status != 400 || len(checks)+len(e.upstream.seen(id)) != 0 {
				t.Errorf("%s gave %d and %d checks, want %d and none", id, a.status, len(checks), c.status)
			}
			continue
		}
		if a.status != c.status || len(checks) != 1 || checks[0].GetAttributes().GetContextExtensions()["route"] != c.want {
			t.Errorf("%s gave %d and %v, want route %s", id, a.status, checks, c.want)
		}
	}
	two := strings.Replace(request("GET", "portal.test", "/", "twohosts"), "\r\n", "\r\nHost: api.test\r\n", 1)
	if a := e.raw(t, two); a.status != 400 && a.status != 404 || len(e.authz.seen("twohosts")) != 0 {
		t.Errorf("two Host headers gave %d", a.status)
	}
	if a := e.raw(t, "CONNECT portal.test:80 HTTP/1.1\r\nHost: portal.test:80\r\nX-Test-Id: connect\r\n\r\n"); a.status < 400 || len(e.upstream.seen("connect")) != 0 {
		t.Errorf("CONNECT gave %d", a.status)
	}
}

func TestPrefixEndsAtASegment(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	for target, want := range map[string]string{
		"/api/auth": "gate-api", "/api/auth/": "gate-api", "/api/auth/login": "gate-api", "/api/auth?x=1": "gate-api", "/api/users/me": "gate-api",
		"/api//auth/login": "gate-api", "/x/../api/auth/login": "gate-api",
		"/api/authx": "api", "/api/auth.json": "api", "/api/auth;x": "api", "/API/auth": "api", "/api": "api", "/": "api",
	} {
		e.raw(t, request("GET", "api.test", target, target))
		r := only(t, "checks of "+target, e.authz.seen(target))
		if got := r.GetAttributes().GetContextExtensions()["route"]; got != want {
			t.Errorf("%s is route %q, want %q", target, got, want)
		}
		socket := "up.sock"
		if want == "gate-api" {
			socket = "gate.sock"
		}
		if up := only(t, "requests upstream", e.upstream.seen(target)); !strings.HasSuffix(up.socket, "/"+socket) {
			t.Errorf("%s went to %s, want %s", target, up.socket, socket)
		}
	}
	e.raw(t, request("GET", "portal.test", "/exact", "exact"))
	e.raw(t, request("GET", "portal.test", "/exact/more", "more"))
	if a, b := e.authz.seen("exact"), e.authz.seen("more"); a[0].GetAttributes().GetContextExtensions()["route"] != "exact" || b[0].GetAttributes().GetContextExtensions()["route"] != "portal" {
		t.Error("an exact path matches more than itself, or not itself")
	}
}
