package observe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

var recentNow = time.Date(2026, 3, 5, 18, 0, 0, 0, time.UTC)

func recentRequest(id string) (*authz.Request, *authz.Outcome) {
	route := &authz.Route{Name: "admin"}
	r := &authz.Request{
		Time: recentNow, ID: id, Method: "GET", Scheme: "https", Host: "admin.portal.kappa4.com", Path: "/users?page=2", Protocol: "HTTP/2",
		Headers: authz.Headers{
			{Name: "accept", Value: "text/html"}, {Name: "cookie", Value: "_pomerium=v1.secret; theme=dark"}, {Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64)"},
			{Name: "sec-fetch-mode", Value: "navigate"}, {Name: "sec-fetch-dest", Value: "document"}, {Name: "x-request-id", Value: id},
		},
		Route: route, RouteName: "admin", Extensions: map[string]string{"route": "admin"},
		Source: authz.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:4711")},
	}
	claims := map[string]any{}
	for i := range 12 {
		claims[fmt.Sprintf("urn:example:claim:%d", i)] = "a value of some length"
	}
	s := &session.Session{Kind: session.Browser, Identity: session.Identity{UserID: "u1", Email: "nora@kappa4.com", Roles: []string{"neosc"}, Claims: claims}}
	o := &authz.Outcome{
		Verdict: authz.Denied, Status: 403, Reasons: []string{"role_required"}, Session: s,
		Decision: &authz.Decision{Revision: "7f3c9e1", Generation: 48},
	}
	return r, o
}

func newRecent(t testing.TB, n int) *Recent {
	t.Helper()
	x, err := NewRecent(n)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestRecentGivesBackWhatWasDecided(t *testing.T) {
	t.Parallel()
	x := newRecent(t, 0)
	r, o := recentRequest("id-1")
	o.Charge, o.Spent = &authz.Charge{Name: "user", Key: "u1", Rate: 10, Burst: 20, Cost: 1}, authz.Spent{RetryAfter: time.Second}
	x.Observe(r, o, 2*time.Microsecond)
	*r = authz.Request{} // the request's owner uses it again
	got, found := x.Find("id-1")
	if !found {
		t.Fatal("not found")
	}
	q := got.Request
	if q.ID != "id-1" || !q.Time.Equal(recentNow) || q.Method != "GET" || q.Host != "admin.portal.kappa4.com" || q.Path != "/users?page=2" || q.Scheme != "https" ||
		q.Protocol != "HTTP/2" || q.RouteName != "admin" || q.Route.Name != "admin" || q.Extensions["route"] != "admin" || q.Source.Addr.Port() != 4711 {
		t.Errorf("request %+v", q)
	}
	if v, n := q.Headers.Get("accept"); v != "text/html" || n != 1 || len(q.Headers) != 5 {
		t.Errorf("headers %v", q.Headers)
	}
	if got.Verdict != authz.Denied || got.Status != 403 || !slices.Equal(got.Reasons, []string{"role_required"}) || !got.JudgedByPolicy || got.Revision != "7f3c9e1" ||
		got.Generation != 48 || got.Took != 2*time.Microsecond || *got.Limit != (authz.Charge{Name: "user", Key: "u1", Rate: 10, Burst: 20, Cost: 1}) || got.Spent.RetryAfter != time.Second {
		t.Errorf("outcome %+v", got)
	}
	if s := q.Session; s.Identity.Email != "nora@kappa4.com" || len(s.Identity.Claims) != 12 {
		t.Errorf("session %+v", s)
	}
	for _, id := range []string{"id-2", "", "id-", "id-11"} {
		if _, found := x.Find(id); found {
			t.Errorf("%q was found", id)
		}
	}
}

func TestRecentLeavesSecretsOut(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-v4lue"
	x := newRecent(t, 0)
	r, o := recentRequest("id-1")
	r.Path = "/cb?code=" + secret + "&x=1&access_token=" + secret + "&flag&t%6Fken=" + secret
	r.Headers = append(r.Headers, authz.Header{Name: "authorization", Value: "Bearer " + secret}, authz.Header{Name: "x-csrf-token", Value: secret},
		authz.Header{Name: ":path", Value: r.Path}, authz.Header{Name: "referer", Value: "https://a.example/?sig=" + secret})
	o.Session.Identity.Claims = map[string]any{"password": secret, "deep": []any{map[string]any{"client_secret": secret, "seen": "yes"}}}
	x.Observe(r, o, 0)
	got, _ := x.Find("id-1")
	if s := fmt.Sprintf("%+v %+v", got.Request, got.Request.Session); strings.Contains(s, secret) || strings.Contains(s, "v1.secret") || !strings.Contains(s, "seen:yes") {
		t.Errorf("kept %s", s)
	}
	if want := "/cb?code=masked&x=1&access_token=masked&flag&t%6Fken=masked"; got.Request.Path != want {
		t.Errorf("path %q, want %q", got.Request.Path, want)
	}
	if len(got.LeftOut) != 3 {
		t.Errorf("said to be left out: %q", got.LeftOut)
	}
	for i := range x.denials.slots {
		if strings.Contains(string(x.denials.slots[i].text), secret) {
			t.Error("the secret lies in the memory of the ring")
		}
	}
	if o.Session.Identity.Claims["password"] != secret {
		t.Error("the live session was masked")
	}
}

func TestRecentKeepsDenialsApartFromEverythingElse(t *testing.T) {
	t.Parallel()
	x := newRecent(t, 8)
	see := func(id string, v authz.Verdict, at time.Duration) {
		r, o := recentRequest(id)
		r.Time, o.Verdict = recentNow.Add(at), v
		x.Observe(r, o, 0)
	}
	see("denied", authz.Denied, 0)
	see("failed", authz.Failed, time.Second)
	for i := range 100 {
		see(fmt.Sprintf("allowed-%d", i), authz.Allowed, time.Duration(i)*time.Second)
		see(fmt.Sprintf("limited-%d", i), authz.Limited, time.Duration(i)*time.Second)
		see(fmt.Sprintf("stranger-%d", i), authz.Unauthenticated, time.Duration(i)*time.Second)
	}
	for id, want := range map[string]bool{"denied": true, "failed": true, "stranger-99": true, "allowed-99": true, "allowed-97": false} {
		if _, found := x.Find(id); found != want {
			t.Errorf("%s found: %t", id, found)
		}
	}
	if got, want := x.Reach(), (Reach{Denials: 2, Others: 4, DenialsSince: recentNow, OthersSince: recentNow.Add(98 * time.Second)}); got != want {
		t.Errorf("reach %+v, want %+v", got, want)
	}
	see("denied", authz.Allowed, time.Hour) // the same id again
	if got, _ := x.Find("denied"); got.Verdict != authz.Allowed {
		t.Error("the older of two decisions was found")
	}
}

func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	x := newRecent(t, 2)
	r, o := recentRequest("id-1")
	long := strings.Repeat("x", 100_000)
	r.Method, r.Host, r.Path, r.Protocol, r.Source.Principal = long, long, "/"+long+"?"+strings.Repeat("a=b&", 10_000), long, long
	for i := range 200 {
		r.Headers = append(r.Headers, authz.Header{Name: fmt.Sprint(i), Value: long})
	}
	o.Reasons = slices.Repeat([]string{long}, 100)
	o.Session.Identity.Claims["large"] = long
	for range 10 {
		x.Observe(r, o, 0)
	}
	got, found := x.Find("id-1")
	if !found || got.Request.Session.Identity.Claims != nil || !slices.ContainsFunc(got.LeftOut, func(s string) bool { return strings.Contains(s, "claims") }) {
		t.Errorf("found %t, left out %q", found, got.LeftOut)
	}
	if n := cap(x.denials.slots[0].text); n > 2*maxRecorded {
		t.Errorf("a slot holds %d bytes", n)
	}
	if size := unsafe.Sizeof(recentSlot{}); size > 1280 {
		t.Errorf("an empty slot has %d bytes", size)
	}
	r.ID = long
	x.Observe(r, o, 0)
	r.ID = ""
	x.Observe(r, o, 0)
	if x.Reach().Denials != 1 {
		t.Error("a request without a usable id is remembered")
	}
	for _, n := range []int{-1, 1, 1 << 30} {
		if _, err := NewRecent(n); err == nil {
			t.Errorf("room for %d was made", n)
		}
	}
}

func TestRecentServesManyAtOnce(t *testing.T) {
	t.Parallel()
	x := newRecent(t, 16)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				id := fmt.Sprintf("%d-%d", g, i)
				r, o := recentRequest(id)
				r.Path = "/" + id
				x.Observe(r, o, 0)
				if got, found := x.Find(id); found && got.Request.Path != "/"+id {
					t.Errorf("the record of %s says %s", id, got.Request.Path)
				}
			}
		})
	}
	wg.Wait()
}

func TestRecentAllocatesNothing(t *testing.T) {
	x := newRecent(t, 4)
	r, o := recentRequest("6f1c2a9e-5d0b-4e57-9a41-0c7d3be8f2a4")
	for range 4 {
		x.Observe(r, o, 0)
	}
	if n := testing.AllocsPerRun(1000, func() { x.Observe(r, o, 0) }); n != 0 {
		t.Errorf("%v allocations a decision", n)
	}
}

func BenchmarkRecent(b *testing.B) {
	x := newRecent(b, 0)
	r, o := recentRequest("6f1c2a9e-5d0b-4e57-9a41-0c7d3be8f2a4")
	for b.Loop() {
		x.Observe(r, o, 0)
	}
}

func TestNoHeaderThatMayHoldASecretIsTakenForHarmless(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cookie", "authorization", "x-api-key", "x-csrf-token", "x-amz-security-token", "proxy-authorization", "x-pomerium-jwt-assertion"} {
		if !authz.SecretHeader(name) || !authz.SecretName(name) {
			t.Errorf("%s would be remembered", name)
		}
	}
	for _, name := range []string{"accept", "user-agent", "x-request-id", "sec-fetch-mode"} {
		if authz.SecretHeader(name) || authz.SecretName(name) {
			t.Errorf("%s would not be remembered", name)
		}
	}
}

func TestRecentAndTheAccessLogMaskWhatTheDecisionLogMasks(t *testing.T) {
	t.Parallel()
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2VjcmV0-_c2VjcmV0c2VjcmV0"
	const key = "k3y-0123456789"
	with := func(name, value string) func(*authz.Request) {
		return func(r *authz.Request) { r.Headers = append(r.Headers, authz.Header{Name: name, Value: value}) }
	}
	at := func(path string) func(*authz.Request) { return func(r *authz.Request) { r.Path = path } }
	for name, change := range map[string]func(*authz.Request){
		"LimitByKey":       with("x-api-key", key),
		"SemicolonInQuery": at("/a?x=1;token=" + key),
		"SessionInPath":    at("/a;jsessionid=" + key + "/b"),
		"TokenInPath":      at("/reset/" + token),
		"TokenInParameter": at("/a?x=" + token),
		"TokenInHeader":    with("sec-websocket-protocol", "v1, "+token),
		"OtherPath":        with("x-envoy-original-path", "/a?token="+key),
		"MatrixInReferer":  with("referer", "https://x/a;jsessionid="+key),
		"ReturnAddress":    at("/oauth2/sign_in?rd=https%3A%2F%2Fp%2Freset%3Ftoken%3D" + key),
		"CopiedInHeader":   func(r *authz.Request) { with("x-copy", key)(r); r.Path = "/a?token=" + key },
	} {
		x := newRecent(t, 0)
		r, o := recentRequest("id-1")
		change(r)
		o.Charge = &authz.Charge{Name: "key", Key: "of " + r.Path, Rate: 1, Burst: 1, Cost: 1}
		if name == "LimitByKey" {
			o.Charge.Key = "of " + key
		}
		x.Observe(r, o, 0)
		got, _ := x.Find("id-1")
		text := fmt.Sprintf("%+v %+v %s", *got.Request, got.Limit, appendLine(nil, r, o, 0))
		if strings.Contains(text, key) || strings.Contains(text, token) || len(got.LeftOut) == 0 {
			t.Errorf("%s: %s", name, text)
		}
	}
}
