package decisionlog

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// browsed is a page that a signed-in person opens.
func browsed() (*authz.Request, *authz.Outcome) {
	at := time.Date(2026, 3, 5, 18, 0, 0, 123456789, time.UTC)
	s := &session.Session{
		Key: session.Key{1, 2}, Kind: session.Browser, ExpiresAt: at.Add(time.Hour),
		Identity: session.Identity{Provider: "local", UserID: "operator:user0420@example.com", Email: "user0420@example.com", EmailVerified: true, Roles: []string{"admin"}, AuthenticatedAt: at.Add(-time.Minute)},
	}
	r := &authz.Request{
		Time: at, ID: "7c1f5a2e-0000-4000-8000-000000000420", Method: "GET", Scheme: "https", Host: "admin.portal.kappa4.com", Protocol: "HTTP/2", Path: "/settings/420?tab=limits",
		Headers: authz.Headers{
			{Name: ":authority", Value: "admin.portal.kappa4.com"}, {Name: ":method", Value: "GET"}, {Name: ":path", Value: "/settings/420?tab=limits"}, {Name: ":scheme", Value: "https"},
			{Name: "accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}, {Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
			{Name: "accept-language", Value: "es-MX,es;q=0.9,en;q=0.8"}, {Name: "cookie", Value: "_pomerium=x"}, {Name: "origin", Value: "https://portal.kappa4.com"},
			{Name: "sec-fetch-dest", Value: "document"}, {Name: "sec-fetch-mode", Value: "navigate"}, {Name: "sec-fetch-site", Value: "same-site"},
			{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"},
			{Name: "x-envoy-external-address", Value: "203.0.113.7"}, {Name: "x-forwarded-proto", Value: "https"}, {Name: "x-request-id", Value: "7c1f5a2e-0000-4000-8000-000000000420"},
		},
		Route: &authz.Route{Name: "admin", PassIdentityHeaders: true}, RouteName: "admin", Extensions: map[string]string{"route": "admin"},
		Source: authz.Peer{Addr: netip.MustParseAddrPort("203.0.113.7:30420")}, Destination: authz.Peer{Addr: netip.MustParseAddrPort("10.9.9.9:443")}, Session: s,
	}
	rules := make([]authz.Rule, 20)
	for i := range rules {
		rules[i] = authz.Rule{Name: "neosc.lib.identity.identity_headers", At: "lib/identity.rego:63"}
	}
	d := &authz.Decision{
		Allowed: true, Reasons: []string{"matched_policy"}, Revision: "c92326a79a135e46", Generation: 1,
		Headers: []authz.Header{{Name: "x-pomerium-email", Value: "user0420@example.com"}, {Name: "x-pomerium-groups", Value: "admin"}, {Name: "x-pomerium-user", Value: "operator:user0420@example.com"}},
		Trace:   authz.Trace{Rules: rules, Held: [4]uint64{0x7ff}, Until: math.MaxInt64},
	}
	return r, &authz.Outcome{Verdict: authz.Allowed, Status: 200, Reasons: d.Reasons, Decision: d, Session: s}
}

// What is known of a name is not taken for another's in the same place.
func TestNamesOfOneLengthAreToldApart(t *testing.T) {
	t.Parallel()
	e := encoder{}
	for range 3 {
		for name, want := range map[string]bool{"x-api-token": true, "x-workspace": false, "": false, "cookie": true, "accept": false, "x-sixteen-longer-than-most": false} {
			if got := e.secretName(name); got != want || e.secretName(name) != want {
				t.Errorf("%q is a secret's: %v", name, got)
			}
		}
	}
	if e.forget(); e.named != [len(e.named)]nameSeen{} {
		t.Error("names are held on to")
	}
}

// A path is recorded as it is without the header that repeats it.
func TestAPathIsTheSameWithAndWithoutItsHeader(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/a?tab=x", "/a?token=s3cr3t", "/a\"b", "/é", "/\xff", "/" + strings.Repeat("a", maxPath)} {
		r, o := browsed()
		encoded := func() (text, masked string) {
			e := encoder{}
			e.encode(&constant{boot: bootID([8]byte{1}), labels: []byte(`"labels":{},`), path: []byte(`"path":"p",`)}, &shared{}, 1, r, o, 0)
			var x struct {
				Masked []string
				Input  struct {
					Attributes struct {
						Request struct{ HTTP struct{ Path string } }
					}
				}
			}
			if err := json.Unmarshal(e.b, &x); err != nil {
				t.Fatalf("%s: %v", e.b, err)
			}
			x.Masked = slices.DeleteFunc(x.Masked, func(p string) bool { return p == headerPointer+"/:path" })
			return x.Input.Attributes.Request.HTTP.Path, fmt.Sprint(x.Masked)
		}
		r.Path, r.Headers[2].Value = path, path
		text, masked := encoded()
		r.Headers = slices.Delete(r.Headers, 2, 3)
		if want, hidden := encoded(); text != want || masked != hidden {
			t.Errorf("%q: %q, %s, without the header %q, %s", path, text, masked, want, hidden)
		}
	}
}

// BenchmarkEncode makes one record.
func BenchmarkEncode(b *testing.B) {
	r, o := browsed()
	c, parts, e := &constant{boot: bootID([8]byte{1}), labels: []byte(`"labels":{},`), path: []byte(`"path":"neosc/authz/decision",`)}, &shared{prefix: "x-pomerium-"}, &encoder{}
	b.ReportAllocs()
	for b.Loop() {
		e.encode(c, parts, 1, r, o, 85*time.Microsecond)
	}
	b.SetBytes(int64(len(e.b)))
}
