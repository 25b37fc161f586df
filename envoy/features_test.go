package envoy_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const featureRoutes = `
gate: http://gate.test:8080
check_headers: [x-test-id, x-test-mode]
upstreams:
  up: unix:%[1]s/up.sock
  other: {address: 'unix:%[1]s/other.sock', protocol: http2}
  two: ['unix:%[1]s/up.sock', 'unix:%[1]s/other.sock']
  gone: unix:%[1]s/gone.sock
hosts:
- origin: http://gate.test:8080
  routes:
  - {name: gate, prefix: /, upstream: gate}
- origin: http://app.test:8080
  routes:
  - {name: app, prefix: /, upstream: up}
  - {name: weighted, prefix: /weighted, upstreams: {up: 3, other: 1, gone: 0}}
  - {name: spread, prefix: /spread, upstream: two}
  - {name: moved, prefix: /moved, redirect: {prefix: /new/place, status: 308}}
  - {name: moved-root, prefix: /moved-root, redirect: {prefix: /}}
  - {name: away, path: /away, redirect: {origin: 'https://else.test', path: /there, strip_query: true}}
  - {name: robots, path: /robots.txt, public: true, respond: {status: 200, body: "User-agent: *\nDisallow: /\n"}}
  - {name: teapot, path: /teapot, respond: {status: 418, body: '{"tea":true}', content_type: application/json}}
  - {name: stripped, prefix: /strip, upstream: up, rewrite: {prefix: /, host: inner.test}}
  - {name: renamed, prefix: /old, upstream: up, rewrite: {prefix: /new}}
  - {name: fixed, prefix: /fixed, upstream: up, rewrite: {path: /one}}
  - {name: fixed-path, path: /fixed-path, upstream: up, rewrite: {path: /two}}
  - {name: assets, prefix: /static, upstream: up, public: true}
  - {name: hook, path: /hook, upstream: up, public: true, pass_authorization: true}
  - {name: versioned, regex: '/v[0-9]+/.*', upstream: other}
  - {name: nightly, regex: '/v2/nightly', upstream: up, priority: 1}
  - {name: lost, prefix: /lost, upstream: gone}
- origin: http://base.test:8080
  routes:
  - {name: base, prefix: /, upstream: up, rewrite: {prefix: /base}}
- origin: http://*.apps.test:8080
  routes:
  - {name: apps, prefix: /, upstream: up}
- origin: http://one.apps.test:8080
  routes:
  - {name: one, prefix: /, upstream: up}
- origin: http://*.deep.apps.test:8080
  routes:
  - {name: deep, prefix: /, upstream: up}
`

func startFeatures(t *testing.T) *edge {
	t.Helper()
	return startEdgeWith(t, featureRoutes, "other.sock")
}

// asked is the route by which the gate was asked about a test id, "" for none.
func (e *edge) asked(id string) string {
	if c := e.authz.seen(id); len(c) > 0 {
		return c[0].GetAttributes().GetContextExtensions()["route"]
	}
	return ""
}

func TestRedirectsAndAnswersAreCheckedUnlessPublic(t *testing.T) {
	t.Parallel()
	e := startFeatures(t)
	for i, c := range []struct {
		target, route string
		status        int
		location      string
	}{
		{"/moved", "moved", 308, "http://app.test:8080/new/place"},
		{"/moved/a?x=1", "moved", 308, "http://app.test:8080/new/place/a?x=1"},
		{"/moved-root", "moved-root", 302, "http://app.test:8080/"},
		{"/moved-root/evil.test/x", "moved-root", 302, "http://app.test:8080/evil.test/x"},
		{"/away?x=1", "away", 302, "https://else.test/there"},
		{"/teapot", "teapot", 418, ""},
		{"/robots.txt", "", 200, ""},
		{"/robots.txt/", "app", 200, ""},
	} {
		id := fmt.Sprint("redirect-", i)
		a := e.raw(t, request("GET", "app.test:8080", c.target, id))
		if a.status != c.status || a.header.Get("Location") != c.location || e.asked(id) != c.route {
			t.Errorf("%s gave %d to %q, asked as %q; want %d to %q, asked as %q", c.target, a.status, a.header.Get("Location"), e.asked(id), c.status, c.location, c.route)
		}
		denied := e.raw(t, request("GET", "app.test:8080", c.target, id+"denied", "X-Test-Mode: deny"))
		if c.route != "" && (denied.status != 403 || denied.header.Get("Location") != "") {
			t.Errorf("%s denied gave %d to %q", c.target, denied.status, denied.header.Get("Location"))
		}
	}
	if a := e.raw(t, request("GET", "app.test", "/teapot", "tea")); a.body != `{"tea":true}` || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("the answer is %q as %q", a.body, a.header.Get("Content-Type"))
	}
	if a := e.raw(t, request("GET", "app.test", "/robots.txt", "robots")); a.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.HasPrefix(a.body, "User-agent") {
		t.Errorf("the answer is %q as %q", a.body, a.header.Get("Content-Type"))
	}
}

// The gate judges what the client asked for; the upstream gets what the file
// says, in one form.
func TestRewritesReachTheUpstreamAfterTheVerdict(t *testing.T) {
	t.Parallel()
	e := startFeatures(t)
	for i, c := range []struct{ host, target, judged, path, inner string }{
		{"app.test", "/strip/a?x=1", "/strip/a?x=1", "/a?x=1", "inner.test"},
		{"app.test", "/strip", "/strip", "/", "inner.test"},
		{"app.test", "/strip/", "/strip/", "/", "inner.test"},
		{"app.test", "/strip//evil.test", "/strip/evil.test", "/evil.test", "inner.test"},
		{"app.test", "/stripped", "/stripped", "/stripped", "app.test"},
		{"app.test", "/old", "/old", "/new", "app.test"},
		{"app.test", "/old/old/x", "/old/old/x", "/new/old/x", "app.test"},
		{"app.test", "/old/../strip/x", "/strip/x", "/x", "inner.test"},
		{"app.test", "/fixed/a/b?x=1", "/fixed/a/b?x=1", "/one?x=1", "app.test"},
		{"app.test", "/fixed-path?x=1", "/fixed-path?x=1", "/two?x=1", "app.test"},
		{"base.test", "/", "/", "/base/", "base.test"},
		{"base.test", "/x", "/x", "/base/x", "base.test"},
	} {
		id := fmt.Sprint("rewrite-", i)
		e.raw(t, request("GET", c.host, c.target, id))
		up := only(t, "requests upstream for "+c.target, e.upstream.seen(id))
		judged := only(t, "checks of "+c.target, e.authz.seen(id)).GetAttributes().GetRequest().GetHttp()
		if judged.GetPath() != c.judged || judged.GetHost() != c.host || up.path != c.path || up.host != c.inner {
			t.Errorf("%s was judged as %s%s and arrived as %s%s, want %s and %s%s", c.target, judged.GetHost(), judged.GetPath(), up.host, up.path, c.judged, c.inner, c.path)
		}
	}
}

func TestWeightsShareRequests(t *testing.T) {
	t.Parallel()
	e := startFeatures(t)
	for _, path := range []string{"/weighted", "/spread"} {
		c, share := &caller{addr: e.addr}, map[string]int{}
		const n = 400
		for i := range n {
			id := fmt.Sprint(path, i)
			if status := c.ask(t, "app.test", path, id); status != 200 {
				t.Fatalf("%s gave %d", path, status)
			}
			share[filepath.Base(only(t, "requests upstream", e.upstream.seen(id)).socket)]++
		}
		low, high := n/2, n // three of four; by chance below half once in 10^27
		if path == "/spread" {
			low, high = n/2-n/8, n/2+n/8
		}
		if up := share["up.sock"]; up < low || up > high || share["other.sock"] == 0 || up+share["other.sock"] != n {
			t.Errorf("%s went to %v", path, share)
		}
	}
}

func TestHostsAndPriorityAsInTheFile(t *testing.T) {
	t.Parallel()
	e := startFeatures(t)
	for i, c := range []struct{ host, target, want string }{
		{"x.apps.test", "/", "apps"}, {"x.y.apps.test", "/", "apps"}, {"X.Apps.Test:99", "/", "apps"}, {"one.apps.test", "/", "one"}, {"x.one.apps.test", "/", "apps"},
		{"x.deep.apps.test", "/", "deep"}, {"deep.apps.test", "/", "apps"}, {"apps.test", "/", ""}, {".apps.test", "/", ""}, {"x_y.apps.test", "/", ""},
		{"a@b.apps.test", "/", ""}, {"evil.test/.apps.test", "/", ""}, {"evil.test?.apps.test", "/", ""}, {"-x.apps.test", "/", ""}, {"x..apps.test", "/", ""},
		{"app.test", "/v1/x", "versioned"}, {"app.test", "/v2/nightly", "nightly"}, {"app.test", "/v2/nightly/x", "versioned"}, {"app.test", "/v/x", "app"}, {"app.test", "/v1", "app"},
	} {
		id := fmt.Sprint("host-", i)
		a := e.raw(t, request("GET", c.host, c.target, id))
		if e.asked(id) != c.want || c.want == "" && (a.status != 404 && a.status != 400 || len(e.upstream.seen(id)) > 0) {
			t.Errorf("%s%s gave %d as %q, want %q", c.host, c.target, a.status, e.asked(id), c.want)
		}
	}
	if a := e.raw(t, request("GET", "app.test", "/lost", "lost")); a.status != 503 {
		t.Errorf("an upstream that is away gave %d", a.status)
	}
}

// What is public reaches its upstream without any credential or identity, and
// no spelling of another path does.
func TestPublicPathsOpenNothingElse(t *testing.T) {
	t.Parallel()
	e := startFeatures(t)
	spoof := []string{"Cookie: _pomerium=secret; a=b", "Authorization: Bearer secret", "X-Pomerium-Email: ceo@company.com", "X-Test-Mode: deny"}
	for target, passes := range map[string]bool{"/static": false, "/static/app.css?v=1": false, "/hook": true} {
		a := e.raw(t, request("GET", "app.test", target, "public"+target, spoof...))
		if a.status != 200 || e.asked("public"+target) != "" {
			t.Fatalf("%s gave %d, asked as %q", target, a.status, e.asked("public"+target))
		}
		up := only(t, "requests upstream", e.upstream.seen("public"+target))
		if up.header.Get("Cookie") != "" || up.header.Get("X-Pomerium-Email") != "" || (up.header.Get("Authorization") != "") != passes {
			t.Errorf("%s reached the upstream with %v", target, up.header)
		}
	}
	segments := slices.Concat(tricks, []string{"secret", "static"})
	i, c := 0, &caller{addr: e.addr}
	for _, first := range segments {
		for _, second := range []string{"", "..", "%2e%2e", "..;", `..\..`, ".%2e", "secret", "%2f..", "%5c..", "..%00"} {
			for _, form := range []string{"/static/%s/%s/admin", "/static/%s%s/admin", "/%s/static/%s", "/static%s/%s"} {
				i++
				id, target := fmt.Sprint("trick-", i), fmt.Sprintf(form, first, second)
				c.ask(t, "app.test", target, id, "X-Test-Mode: deny")
				for _, up := range e.upstream.seen(id) {
					if !inStatic(up.path) {
						t.Errorf("%s reached the upstream unasked as %s", target, up.path)
					}
				}
			}
		}
	}
}

// inStatic reports whether a path is below /static to servers of every kind:
// those that decode once more, take parameters off, or treat \ as /.
func inStatic(p string) bool {
	for range 3 {
		clean := strings.ReplaceAll(p, `\`, "/")
		var out []string
		for _, s := range strings.Split(clean, "/") {
			s, _, _ = strings.Cut(s, ";")
			switch s {
			case "..":
				out = out[:max(0, len(out)-1)]
			case ".", "":
			default:
				out = append(out, s)
			}
		}
		if len(out) == 0 || out[0] != "static" || strings.ContainsRune(p, 0) {
			return false
		}
		next, err := url.PathUnescape(p)
		if err != nil || next == p {
			return true
		}
		p = next
	}
	return true
}
