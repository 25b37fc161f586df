package storetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/session/claims"
)

// provider issues access tokens on this machine.
type provider struct {
	url    string
	signer jose.Signer
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{}
	o := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "k1")
	if p.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, o); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	answer := func(path string, body func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(body()) })
	}
	answer("/.well-known/openid-configuration", func() any { return map[string]any{"issuer": p.url, "jwks_uri": p.url + "/keys"} })
	answer("/keys", func() any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// token returns an access token that was issued to somebody a minute ago.
func (p *provider) token(t testing.TB, subject string) string {
	t.Helper()
	now := time.Now()
	body, err := json.Marshal(map[string]any{
		"iss": p.url, "sub": subject, "aud": "api", "client_id": "app", "jti": rand.Text(),
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(), "roles": []string{"user"},
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := p.signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// user is the id under which gates know a subject of the provider.
func (p *provider) user(subject string) string { return claims.UserID(p.url, subject) }
