package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/session/verify"
)

const (
	issuer   = "https://gate.example.com"
	audience = "api.example.com"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// world is a gate's key set and an upstream that verifies against it.
type world struct {
	t     testing.TB
	key   *ecdsa.PrivateKey
	url   string
	fetch atomic.Int64

	mu     sync.Mutex
	now    time.Time
	answer http.HandlerFunc
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, key: newKey(t, elliptic.P256()), now: noon}
	w.serve(keySet(t, "k1", w.key.Public()))
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.fetch.Add(1)
		w.mu.Lock()
		answer := w.answer
		w.mu.Unlock()
		answer(rw, r)
	}))
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

func (w *world) serve(body []byte) {
	w.answerWith(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(body) })
}

func (w *world) answerWith(f http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) verifier(change ...func(*verify.Options)) *verify.Verifier {
	w.t.Helper()
	o := verify.Options{Issuer: issuer, Audience: audience, JWKSURL: w.url, Now: w.clock}
	for _, f := range change {
		f(&o)
	}
	v, err := verify.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keySet(t testing.TB, id string, public any) []byte {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: id}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// claims are good ones at noon.
func claims(change ...func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": issuer, "sub": "u-1", "aud": audience, "iat": noon.Unix(), "exp": noon.Add(5 * time.Minute).Unix(),
		"email": "ana@example.com", "name": "Ana", "organization": "Acme", "groups": []string{"user", "staff"}, "sid": "abc",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func with(name string, value any) func(map[string]any) {
	return func(c map[string]any) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
}

// token signs by hand, so that what no library would sign can be tried.
func token(t testing.TB, key *ecdsa.PrivateKey, header map[string]any, claims any) string {
	t.Helper()
	h := map[string]any{"alg": "ES256", "kid": "k1", "typ": "JWT"}
	for k, v := range header {
		if h[k] = v; v == nil {
			delete(h, k)
		}
	}
	input := encode(t, h) + "." + encode(t, claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature(t, key, input))
}

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}
