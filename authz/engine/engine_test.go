package engine_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/session"
)

// noon is a Thursday, 12:00 in Mexico City.
var noon = time.Date(2026, 3, 5, 18, 0, 0, 0, time.UTC)

func testEdge() engine.Edge {
	return engine.Edge{
		SessionCookie:    "_pomerium",
		IdentityPrefix:   "X-Pomerium-",
		Forwarded:        []string{"accept", "authorization", "cookie", "x-request-id", "sec-fetch-*", "origin", "access-control-request-*"},
		Settable:         []string{"x-pomerium-*", "x-session-id"},
		ResponseSettable: []string{"x-pomerium-*", "www-authenticate", "x-denied-*"},
	}
}

func testRequest() *authz.Request {
	return &authz.Request{
		Time: noon, ID: "req-1", Method: "GET", Scheme: "https", Host: "portal.kappa4.com",
		Path: "/a/b?x=1&x=2&y=", Protocol: "HTTP/2",
		Headers: authz.Headers{
			{Name: "accept", Value: "text/html"},
			{Name: "cookie", Value: "theme=dark; _pomerium=secret"},
		},
		Route: &authz.Route{
			Name: "portal", PassIdentityHeaders: true,
			Policy: map[string]any{"business_hours": true, "rate_limit": true},
		},
		RouteName:  "portal",
		Extensions: map[string]string{"route": "portal"},
		Source:     authz.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:4711"), Principal: "spiffe://a"},
		Destination: authz.Peer{
			Addr: netip.MustParseAddrPort("192.0.2.1:443"),
		},
		Session: &session.Session{
			Kind: session.Browser,
			Identity: session.Identity{
				Provider: "local", UserID: "u1", Email: "ana@example.com", EmailVerified: true, Name: "Ana",
				Organization: "NeoSC", Roles: []string{"neosc"}, Groups: []string{"g"}, AMR: []string{"pwd"},
				Claims:          map[string]any{"neosc:demo_session_id": "d1", "neosc:demo_expires_at": float64(1_790_000_000)},
				AuthenticatedAt: noon.Add(-time.Hour),
			},
			ExpiresAt: noon.Add(7 * time.Hour), IdleExpiresAt: noon.Add(time.Hour),
		},
	}
}

func rego(body string) engine.Source {
	return engine.Source{
		Modules: map[string]string{"p.rego": "package neosc.authz\n\n" + body},
		Timeout: 10 * time.Second, // a busy machine is no reason to fail
	}
}

func mustCompile(t testing.TB, src engine.Source) *engine.Program {
	t.Helper()
	p, err := engine.Compile(src, testEdge())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func decide(t testing.TB, body string) (*authz.Decision, error) {
	t.Helper()
	return mustCompile(t, rego(body)).Decide(context.Background(), testRequest())
}
