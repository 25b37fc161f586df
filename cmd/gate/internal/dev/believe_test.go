package dev

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/session"
)

// TestTheBackendBelievesTheAssertionAlone is about what a gate does not show:
// that it cannot be asked, and who is believed beside forged headers.
func TestTheBackendBelievesTheAssertionAlone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	keys, err := (assertion.Keys)(nil).With(now, now)
	if err != nil {
		t.Fatal(err)
	}
	o := origins
	var signer *assertion.Signer
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != strings.TrimPrefix(o.Gate, "http://") || r.URL.Path != "/.well-known/pomerium/jwks.json" {
			t.Errorf("the backend asked %s for %s", r.Host, r.URL.Path)
		}
		_, _ = w.Write(signer.JWKS())
	}))
	defer gate.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(gate.URL, "http://"), ":")
	o.Gate = "http://gate.neosc.localhost:" + port
	if signer, err = assertion.New(assertion.Options{Keys: keys, Issuer: o.Gate}); err != nil {
		t.Fatal(err)
	}
	x := &session.Session{Key: session.NewID().Key(), ExpiresAt: now.Add(time.Hour), IdleExpiresAt: now.Add(time.Hour),
		Identity: session.Identity{UserID: "u-9", Email: "ines@neosc.localhost", EmailVerified: true, Roles: []string{"user"}}}
	token, err := signer.Assertion(x, "api.portal.neosc.localhost", now)
	if err != nil {
		t.Fatal(err)
	}
	away := o
	away.Gate = "http://gate.neosc.localhost:1" // nobody listens there
	for name, c := range map[string]struct {
		o    Origins
		host string
		h    http.Header
		want int
	}{
		"Believed":     {o, "api.portal.neosc.localhost", http.Header{"X-Pomerium-Jwt-Assertion": {token}, "X-Pomerium-Email": {"ceo@company.com"}}, 200},
		"AnyCase":      {o, "API.portal.neosc.localhost:8080", http.Header{"X-Pomerium-Jwt-Assertion": {token}}, 200},
		"PlainHeaders": {o, "api.portal.neosc.localhost", vouched(), 401},
		"OtherHost":    {o, "admin.portal.neosc.localhost", http.Header{"X-Pomerium-Jwt-Assertion": {token}}, 401},
		"NoHostOfOurs": {o, "127.0.0.1:9", http.Header{"X-Pomerium-Jwt-Assertion": {token}}, 401},
		"GateIsAway":   {away, "api.portal.neosc.localhost", http.Header{"X-Pomerium-Jwt-Assertion": {token}}, 503},
	} {
		who, err := byAssertion(c.o)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.Header = c.host, c.h
		w := httptest.NewRecorder()
		newBackend().handler(who, who).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d\n%s", name, w.Code, c.want, w.Body)
		}
		if c.want == 200 && !strings.Contains(w.Body.String(), `"email": "ines@neosc.localhost"`) {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	bad := o
	bad.Gate = "http://gate.example.com"
	if _, err := StartUpstreams(UpstreamOptions{Origins: bad, Logger: slog.New(slog.DiscardHandler), AssertionOnly: true}); err == nil {
		t.Error("keys over plain http from elsewhere are believed")
	}
}
