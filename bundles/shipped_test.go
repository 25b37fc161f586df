package bundles_test

import (
	"context"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/policies"
	"github.com/neosc/gate/session"
)

// noon is a Thursday, 12:00 in Mexico City.
var noon = time.Date(2026, 3, 5, 18, 0, 0, 0, time.UTC)

func testEdge() engine.Edge {
	return engine.Edge{
		SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-",
		Forwarded: []string{"accept", "cookie", "authorization", "origin", "access-control-request-method"},
		Settable:  []string{"x-pomerium-*", "x-session-id", "x-user-email", "x-workspace-type"},
	}
}

func request(route string, roles ...string) *authz.Request {
	return &authz.Request{
		Time: noon, ID: "r", Method: "GET", Scheme: "https", Host: "portal.kappa4.com", Path: "/a", Protocol: "HTTP/2",
		Headers:   authz.Headers{{Name: "accept", Value: "text/html"}, {Name: "cookie", Value: "_pomerium=secret"}},
		Route:     &authz.Route{Name: route, PassIdentityHeaders: true, Policy: map[string]any{"business_hours": true, "rate_limit": true}},
		RouteName: route, Extensions: map[string]string{"route": route},
		Session: &session.Session{
			Kind: session.Browser, ExpiresAt: noon.Add(time.Hour), IdleExpiresAt: noon.Add(time.Hour),
			Identity: session.Identity{
				Provider: "local", UserID: "u1", Email: "ana@example.com", EmailVerified: true, Name: "Ana",
				Organization: "NeoSC", Roles: roles, AMR: []string{"pwd"}, AuthenticatedAt: noon.Add(-time.Hour),
				Claims: map[string]any{"neosc:demo_session_id": "d1", "neosc:workspace_type": "linux"},
			},
		},
	}
}

func shipped(t testing.TB) *engine.Program {
	t.Helper()
	src, err := bundles.Load(policies.Files())
	if err != nil {
		t.Fatal(err)
	}
	src.Timeout = 10 * time.Second // a busy machine is no reason to fail
	p, err := engine.Compile(src, testEdge())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestShippedPoliciesDecide(t *testing.T) {
	p := shipped(t)
	for _, c := range []struct {
		route, role string
		allowed     bool
	}{
		{"portal", "neosc", true}, {"portal", "demo-user", false}, {"admin", "neosc", false}, {"admin", "admin", true},
		{"workspace", "neosc", true}, {"nowhere", "admin", false},
	} {
		d, err := p.Decide(context.Background(), request(c.route, c.role))
		if err != nil {
			t.Fatal(err)
		}
		if d.Allowed != c.allowed {
			t.Errorf("%s for %s: %+v", c.route, c.role, d)
		}
	}
}

func BenchmarkDecideShipped(b *testing.B) {
	p := shipped(b)
	r := request("portal", "neosc")
	b.ReportAllocs()
	for b.Loop() {
		if d, err := p.Decide(context.Background(), r); err != nil || !d.Allowed || len(d.Charges) != 1 {
			b.Fatal(d, err)
		}
	}
}

// BenchmarkDecideParallel is the shipped policies under as many callers as
// there are processors.
func BenchmarkDecideParallel(b *testing.B) {
	p := shipped(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := request("portal", "neosc")
		for pb.Next() {
			if d, err := p.Decide(context.Background(), r); err != nil || !d.Allowed {
				b.Error(d, err)
				return
			}
		}
	})
}
