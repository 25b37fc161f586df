package authz_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
)

// encodedCertificate is a certificate as Envoy sends it, valid for the hour
// around now.
func encodedCertificate(t testing.TB, now time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := url.Parse("spiffe://edge/app")
	c := &x509.Certificate{SerialNumber: big.NewInt(0x0a0b), Subject: pkix.Name{CommonName: "app"}, DNSNames: []string{"app.edge.svc"}, URIs: []*url.URL{id},
		NotBefore: now.Add(-30 * time.Minute), NotAfter: now.Add(30 * time.Minute)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func TestClientCertificatesAreJudgedWithEveryRequest(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 5, 10, 0, 0, 0, time.UTC)
	good := encodedCertificate(t, now)
	for name, c := range map[string]struct {
		use       authz.CertificateUse
		cert, sni string
		at        time.Time
		status    int
		reason    string
		seen      bool
	}{
		"Required":        {authz.CertificateRequired, good, "app.test", now, 200, "", true},
		"Optional":        {authz.CertificateOptional, good, "app.test", now, 200, "", true},
		"Ignored":         {authz.CertificateIgnored, good, "app.test", now, 200, "", false},
		"NoneOptional":    {authz.CertificateOptional, "", "app.test", now, 200, "", false},
		"NoneRequired":    {authz.CertificateRequired, "", "app.test", now, 421, authz.ReasonCertificateRequired, false},
		"OtherHost":       {authz.CertificateRequired, good, "other.test", now, 421, authz.ReasonCertificateRequired, false},
		"OtherHostMay":    {authz.CertificateOptional, good, "other.test", now, 200, "", false},
		"NoServerName":    {authz.CertificateRequired, good, "", now, 421, authz.ReasonCertificateRequired, false},
		"Expired":         {authz.CertificateRequired, good, "app.test", now.Add(31 * time.Minute), 401, authz.ReasonCertificateExpired, false},
		"ExpiredOptional": {authz.CertificateOptional, good, "app.test", now.Add(31 * time.Minute), 401, authz.ReasonCertificateExpired, false},
		"NotYet":          {authz.CertificateRequired, good, "app.test", now.Add(-31 * time.Minute), 401, authz.ReasonCertificateExpired, false},
		"Garbage":         {authz.CertificateRequired, "nonsense", "app.test", now, 400, authz.ReasonBadRequest, false},
		"BadEscape":       {authz.CertificateRequired, "%zz", "app.test", now, 400, authz.ReasonBadRequest, false},
		"TooLarge":        {authz.CertificateRequired, strings.Repeat("A", 33<<10), "app.test", now, 400, authz.ReasonBadRequest, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen *authz.Certificate
			e := &fakeEngine{decide: func(r *authz.Request) (*authz.Decision, error) {
				seen = r.Certificate
				return &authz.Decision{Allowed: true, Reasons: []string{"x"}}, nil
			}}
			d, err := authz.NewDecider(authz.Options{Sessions: &fakeSessions{}, Engine: e, Limiter: &fakeLimiter{}, CookieName: "_pomerium"})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // parsed, and remembered
				seen = nil
				o := d.Decide(context.Background(), &authz.Request{
					Time: c.at, Method: "GET", Path: "/", Host: "app.test", SNI: c.sni, Source: authz.Peer{Certificate: c.cert},
					Route: &authz.Route{Name: "app", ClientCertificate: c.use},
				})
				if o.Status != c.status || c.reason != "" && o.Reasons[0] != c.reason || (seen != nil) != c.seen {
					t.Fatalf("status %d %q, certificate %+v", o.Status, o.Reasons, seen)
				}
			}
			if c.seen && (seen.Subject != "CN=app" || seen.DNSNames[0] != "app.edge.svc" || seen.URINames[0] != "spiffe://edge/app" || len(seen.Fingerprint) != 64 || seen.Serial != "0a0b") {
				t.Errorf("policy sees %+v", seen)
			}
		})
	}
}

// TestARevokedCertificateIsRefused with every request, and when a stream that it
// opened is judged again; a stream ends with its certificate at the latest.
func TestARevokedCertificateIsRefused(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 5, 10, 0, 0, 0, time.UTC)
	good := encodedCertificate(t, now)
	revoked := false
	policy := true
	d, err := authz.NewDecider(authz.Options{
		Sessions: &fakeSessions{}, Limiter: &fakeLimiter{}, CookieName: "_pomerium",
		Engine: &fakeEngine{decide: func(r *authz.Request) (*authz.Decision, error) {
			return &authz.Decision{Allowed: policy && r.Certificate != nil, Reasons: []string{"x"}}, nil
		}},
		Revoked: func(list string, c *authz.Certificate) bool {
			return revoked && list == "people.crl" && c.Serial == "0a0b" && c.RawIssuer != ""
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := func(list string, at time.Time) *authz.Request {
		return &authz.Request{
			Time: at, Method: "GET", Path: "/", Host: "app.test", SNI: "app.test", Source: authz.Peer{Certificate: good},
			Route: &authz.Route{Name: "app", ClientCertificate: authz.CertificateOptional, RevocationList: list},
		}
	}
	want := func(what string, o *authz.Outcome, status int, reason string) {
		t.Helper()
		if o.Status != status || reason != "" && o.Reasons[0] != reason {
			t.Errorf("%s: %d %q, want %d %q", what, o.Status, o.Reasons, status, reason)
		}
	}
	o := d.Decide(t.Context(), request("people.crl", now))
	if want("Good", o, 200, ""); o.StreamFor != 30*time.Minute {
		t.Errorf("a stream may live %v, and the certificate holds for 30m", o.StreamFor)
	}
	want("Again", d.Rejudge(t.Context(), request("people.crl", now)), 200, "")
	policy = false
	want("CertificateAlone", d.Recertify(request("people.crl", now)), 200, "")
	want("AgainDenied", d.Rejudge(t.Context(), request("people.crl", now)), 403, "x")
	policy, revoked = true, true
	for what, ask := range map[string]func(r *authz.Request) *authz.Outcome{
		"Decide":    func(r *authz.Request) *authz.Outcome { return d.Decide(t.Context(), r) },
		"Rejudge":   func(r *authz.Request) *authz.Outcome { return d.Rejudge(t.Context(), r) },
		"Recertify": d.Recertify,
	} {
		want(what, ask(request("people.crl", now)), 401, authz.ReasonCertificateRevoked)
		want(what+"OtherList", ask(request("others.crl", now)), 200, "")
		want(what+"NoList", ask(request("", now)), 200, "")
		want(what+"Expired", ask(request("", now.Add(time.Hour))), 401, authz.ReasonCertificateExpired)
	}
	gone := request("people.crl", now)
	gone.Route = nil
	want("NoRoute", d.Recertify(gone), 403, authz.ReasonUnknownRoute)
}
