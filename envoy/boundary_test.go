package envoy_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// only returns the one element, or fails.
func only[T any](t *testing.T, what string, list []T) T {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("%d %s, want 1", len(list), what)
	}
	return list[0]
}

func TestCheckSeesForwardedHeadersAndRouteOnly(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	e.raw(t, request("GET", "portal.test:8080", "/a?x=1", "fwd", "Cookie: a=1", "Accept: text/html", "Origin: http://portal.test:8080",
		"User-Agent: probe", "Authorization: Bearer t", "Sec-Fetch-Mode: navigate", "X-Secret-Thing: no", "Referer: http://else.test/", "X-Test-Mode: x"))
	r := only(t, "checks", e.authz.seen("fwd"))
	if got := r.GetAttributes().GetContextExtensions()["route"]; got != "portal" {
		t.Errorf("the check names route %q, want portal", got)
	}
	allowed := []string{
		"accept", "authorization", "cookie", "origin", "sec-fetch-mode", "user-agent",
		"x-envoy-external-address", "x-request-id", "x-test-id", "x-test-mode",
	}
	var got []string
	for _, h := range r.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		got = append(got, h.GetKey())
	}
	slices.Sort(got)
	if !slices.Equal(got, allowed) {
		t.Errorf("the check carries %v, want %v", got, allowed)
	}
	if host := r.GetAttributes().GetRequest().GetHttp().GetHost(); host != "portal.test" {
		t.Errorf("the check has host %q, want it without its port", host)
	}
	if ip := r.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress(); ip != "127.0.0.1" {
		t.Errorf("the check has source %q", ip)
	}
}

func TestAnswersMutationsReachTheUpstream(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	a := e.raw(t, request("GET", "portal.test", "/", "mut", "Cookie: _pomerium=secret; theme=dark", "Authorization: Bearer t", "X-Pomerium-Email: ceo@company.com"))
	up := only(t, "requests upstream", e.upstream.seen("mut"))
	if got := up.header.Values("X-Pomerium-Email"); !slices.Equal(got, []string{"ada@company.com"}) {
		t.Errorf("the upstream got X-Pomerium-Email %q", got)
	}
	if got := up.header.Get("Cookie"); got != "theme=dark" {
		t.Errorf("the upstream got Cookie %q", got)
	}
	if up.header.Get("Authorization") != "" {
		t.Error("Authorization reached the upstream")
	}
	for name := range up.header {
		if strings.HasPrefix(name, "X-Envoy") && name != "X-Envoy-External-Address" {
			t.Errorf("%s reached the upstream", name)
		}
	}
	if a.header.Get("Server") != "neosc" || a.header.Get("X-Request-Id") == "" {
		t.Errorf("the answer has Server %q and X-Request-Id %q", a.header.Get("Server"), a.header.Get("X-Request-Id"))
	}
}

// What the gate may not change is an error, not a change: a policy that could
// set :path would send the request past its own verdict.
func TestForbiddenMutationIsAnError(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	for _, mode := range []string{":path=/other", "host=other.test", "x-other=1", "x-forwarded-for=1.2.3.4", "x-envoy-original-path=/x", "transfer-encoding=chunked"} {
		a := e.raw(t, request("GET", "portal.test", "/", "forbid"+mode, "X-Test-Mode: "+mode))
		if a.status < 500 || len(e.upstream.seen("forbid"+mode)) != 0 {
			t.Errorf("setting %s gave %d and %d requests upstream", mode, a.status, len(e.upstream.seen("forbid"+mode)))
		}
	}
	a := e.raw(t, request("GET", "portal.test", "/", "fine", "X-Test-Mode: x-envoy-upstream-stream-duration-ms=5000"))
	if a.status != 200 {
		t.Errorf("a stream's limit gave %d", a.status)
	}
}

// spoofs are ways to say who one is, or where one comes from, that only the
// edge may use (attack cases H1 to H8).
var spoofs = []string{
	"X-Pomerium-Email", "x-pomerium-claim-anything", "X-POMERIUM-JWT-ASSERTION", "X-Pomerium", "X--Pomerium-Email", "X-Pomerium--Email",
	"X.Pomerium.Email", "X-Pomerium.Email", "X~Pomerium-User", "X-Session-ID", "X.Session-Id", "X-User-Email", "X-User-Roles",
	"X-Workspace-Type", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Forwarded-User", "X-Original-URL",
	"X-Original-URI", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Grpc-Timeout", "Forwarded",
	"X-Real-IP", "True-Client-IP", "Proxy", "X-Envoy-Internal", "X-Envoy-Original-Path", "X-Envoy-Upstream-Rq-Timeout-Ms",
	"X-Envoy-Decorator-Operation", "X-Envoy-Force-Trace", "X-Middleware-Subrequest", "X-Remote-User", "X-Auth-Request-Email", "X-Client-Trace-Id",
}

func TestSpoofedHeadersReachNobody(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	const mark = "spoofed.example"
	for _, name := range spoofs {
		id := "spoof-" + name
		if a := e.raw(t, request("GET", "portal.test", "/", id, name+": "+mark, name+": "+mark)); a.status != 200 {
			t.Errorf("%s gave %d", name, a.status)
			continue
		}
		if r := only(t, "checks", e.authz.seen(id)); strings.Contains(r.String(), mark) {
			t.Errorf("the check saw %s", name)
		}
		assertUnmarked(t, name, only(t, "requests upstream", e.upstream.seen(id)), mark)
	}
	for _, name := range []string{"X_Pomerium_Email", "x-pomerium_email", "X_User_Email"} {
		a := e.raw(t, request("GET", "portal.test", "/", "under-"+name, name+": "+mark))
		if a.status != 400 || len(e.authz.seen("under-"+name)) != 0 {
			t.Errorf("%s gave %d and %d checks, want 400 and none", name, a.status, len(e.authz.seen("under-"+name)))
		}
	}
}

func assertUnmarked(t *testing.T, name string, up arrived, mark string) {
	t.Helper()
	for k, values := range up.header {
		if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, mark) }) {
			t.Errorf("the upstream got %s as %s", name, k)
		}
	}
}

func TestSpoofedHeadersReachNobodyOverHTTP2(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", e.addr)
	}}}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://portal.test:8080/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Test-Id", "h2")
	for _, name := range spoofs {
		req.Header.Set(name, "spoofed.example")
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if r := only(t, "checks", e.authz.seen("h2")); res.StatusCode != 200 || strings.Contains(r.String(), "spoofed") {
		t.Errorf("status %d, the check was %v", res.StatusCode, r)
	}
	assertUnmarked(t, "a header", only(t, "requests upstream", e.upstream.seen("h2")), "spoofed")
}

// H7: nobody passes by looking like a health checker. H11: Connection cannot
// take our headers off.
func TestNoPassByUserAgentOrConnection(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	for _, agent := range []string{"Envoy/HC", "kube-probe/1.30", "ELB-HealthChecker/2.0", "GoogleHC/1.0"} {
		e.raw(t, request("GET", "portal.test", "/healthz", "agent"+agent, "User-Agent: "+agent))
		only(t, "checks for "+agent, e.authz.seen("agent"+agent))
	}
	raw := strings.Replace(request("GET", "portal.test", "/", "conn"), "Connection: close", "Connection: close, x-pomerium-email, cookie", 1)
	if a := e.raw(t, raw); a.status != 400 {
		up := only(t, "requests upstream", e.upstream.seen("conn"))
		if up.header.Get("X-Pomerium-Email") != "ada@company.com" {
			t.Errorf("Connection took our header off: status %d, %v", a.status, up.header)
		}
	}
}

func TestSizeLimitsAreKept(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	big := "X-Big: " + string(bytes.Repeat([]byte("a"), 64<<10))
	if a := e.raw(t, request("GET", "portal.test", "/", "big", big)); a.status != 431 {
		t.Errorf("64 KiB of headers gave %d, want 431", a.status)
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = "X-Many: 1"
	}
	if a := e.raw(t, request("GET", "portal.test", "/", "many", many...)); a.status != 431 && a.status != 400 {
		t.Errorf("100 headers gave %d, want 431", a.status)
	}
	cookies := "Cookie: " + strings.Repeat("_pomerium=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; ", 1000)
	if a := e.raw(t, request("GET", "portal.test", "/", "cookies", cookies)); a.status != 431 {
		t.Errorf("1,000 cookies gave %d, want 431", a.status)
	}
	if a := e.raw(t, request("GET", "portal.test", "/", "deny", "X-Test-Mode: deny")); a.status != 403 || len(a.body) > 16384 {
		t.Errorf("a denial with 20,000 bytes gave %d with %d", a.status, len(a.body))
	}
}

// H4: with one trusted proxy in front, its last X-Forwarded-For entry is the
// client, and what the client put before it counts for nothing.
func TestClientAddressByTrustedHopsOnly(t *testing.T) {
	t.Parallel()
	e := startEdgeWith(t, "trusted_hops: 1\n"+testRoutes)
	e.raw(t, request("GET", "portal.test", "/", "hops", "X-Forwarded-For: 1.2.3.4, 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test"))
	r := only(t, "checks", e.authz.seen("hops"))
	if got := header(r, "x-envoy-external-address"); !slices.Equal(got, []string{"203.0.113.9"}) {
		t.Errorf("the client's address is %q", got)
	}
	up := only(t, "requests upstream", e.upstream.seen("hops"))
	if up.header.Get("X-Forwarded-Host") != "" || up.header.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("behind a trusted proxy the upstream got %v", up.header)
	}
	direct := startEdge(t)
	direct.raw(t, request("GET", "portal.test", "/", "direct", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"))
	if got := header(only(t, "checks", direct.authz.seen("direct")), "x-envoy-external-address"); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("without a trusted proxy the client's address is %q", got)
	}
	if up := only(t, "requests upstream", direct.upstream.seen("direct")); up.header.Get("X-Forwarded-Proto") != "http" || strings.Contains(up.header.Get("X-Forwarded-For"), "203.0.113.9") {
		t.Errorf("without a trusted proxy the upstream got %v", up.header)
	}
}
