package bearer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
	"github.com/neosc/gate/session/claims"
)

var base = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

const audience = "project-1"

// clock is a clock that tests set.
type clock struct{ ns atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ns.Add(int64(d)) }

// key is a provider's key pair.
type key struct {
	id, alg string
	private crypto.Signer
}

// The pairs are made once: an RSA key takes a good part of a second.
var (
	rsaKey  = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	weakKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 1024)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newECKey(id string) *key {
	return &key{id, "ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
}

func newEdKey(id string) *key {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return &key{id, "EdDSA", must(private, err)}
}

// jwk is the public half as it is published.
func (k *key) jwk() json.RawMessage {
	return must(json.Marshal(jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: k.alg, Use: "sig"}))
}

// sign makes a token. header replaces members of the header; nil removes one.
func (k *key) sign(t testing.TB, header map[string]any, c map[string]any) string {
	t.Helper()
	return k.signBytes(t, header, must(json.Marshal(c)))
}

func (k *key) signBytes(t testing.TB, header map[string]any, payload []byte) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", k.id)
	for n, v := range header {
		if v == nil {
			delete(o.ExtraHeaders, jose.HeaderKey(n))
		} else {
			o = o.WithHeader(jose.HeaderKey(n), v)
		}
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.alg), Key: k.private}, o)
	if err != nil {
		t.Fatal(err)
	}
	token, err := must(s.Sign(payload)).CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// idp is a provider on this machine. Its fields are read under mu.
type idp struct {
	*httptest.Server
	jwks, metadata, questions atomic.Int64

	mu       sync.Mutex
	keys     []json.RawMessage
	document map[string]any
	// fail, if not 0, is the status of every answer.
	fail int
	// answer is what introspection says of a token.
	answer func(r *http.Request) (status int, body any)
	// gate, if not nil, holds every answer up until it is closed.
	gate chan struct{}
}

func newIDP(t testing.TB, keys ...*key) *idp {
	t.Helper()
	p := &idp{}
	p.publish(keys...)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.metadata.Add(1)
		p.reply(w, func() any { return p.document })
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.jwks.Add(1)
		p.reply(w, func() any { return map[string]any{"keys": p.keys} })
	})
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		p.questions.Add(1)
		p.mu.Lock()
		answer := p.answer
		p.mu.Unlock()
		status, body := answer(r)
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		p.reply(w, func() any { return body })
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	p.document = map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "introspection_endpoint": p.URL + "/introspect"}
	return p
}

func (p *idp) reply(w http.ResponseWriter, body func() any) {
	p.mu.Lock()
	fail, gate := p.fail, p.gate
	var b []byte
	switch x := body().(type) {
	case []byte:
		b = x
	default:
		b = must(json.Marshal(x))
	}
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if fail != 0 {
		w.WriteHeader(fail)
		return
	}
	_, _ = w.Write(b)
}

func (p *idp) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *idp) publish(keys ...*key) {
	p.set(func() {
		p.keys = []json.RawMessage{}
		for _, k := range keys {
			p.keys = append(p.keys, k.jwk())
		}
	})
}

// rig is a verifier of one provider.
type rig struct {
	*bearer.Verifier
	idp   *idp
	key   *key
	clock *clock
}

func newRig(t testing.TB, change func(*bearer.Options)) *rig {
	t.Helper()
	k := newECKey("k1")
	r := &rig{idp: newIDP(t, k), key: k, clock: &clock{}}
	r.clock.ns.Store(base.UnixNano())
	o := bearer.Options{
		Providers: []bearer.Provider{r.provider()}, Clock: r.clock.Now, Own: []string{"https://gate.kappa4.com"},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&o)
	}
	v, err := bearer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	r.Verifier = v
	return r
}

func (r *rig) provider() bearer.Provider {
	return bearer.Provider{
		ID: "zitadel_onprem", Issuer: r.idp.URL, Audiences: []string{audience}, Algorithms: []string{"ES256", "RS256", "EdDSA", "PS256"},
		Identity: claims.MapOptions{ProjectID: audience, Domains: []string{"company.com"}},
	}
}

// claims are those of a good token, with changes; nil removes one.
func (r *rig) claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": r.idp.URL, "sub": "7", "aud": []string{"client", audience}, "client_id": "client", "jti": "t1",
		"iat": base.Add(-time.Minute).Unix(), "nbf": base.Add(-time.Minute).Unix(), "exp": base.Add(time.Hour).Unix(),
		"email": "ana@company.com", "name": "Ana Luz",
		"urn:zitadel:iam:org:project:" + audience + ":roles": map[string]any{"neosc": map[string]any{"O1": "company.com"}},
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (r *rig) token(t testing.TB, change map[string]any) string {
	t.Helper()
	return r.key.sign(t, nil, r.claims(change))
}

func (r *rig) ask(token string) (*session.Session, error) {
	return r.ByBearer(context.Background(), token, r.clock.Now())
}

func (r *rig) accept(t testing.TB, token string) *session.Session {
	t.Helper()
	s, err := r.ask(token)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return s
}

// refuse checks that a token is refused, and for which reason.
func (r *rig) refuse(t testing.TB, token, reason string) {
	t.Helper()
	s, err := r.ask(token)
	if err == nil {
		t.Fatalf("accepted as %+v", s.Identity)
	}
	if !errors.Is(err, session.ErrInvalid) || !strings.HasSuffix(err.Error(), ": "+reason) {
		t.Fatalf("refused with %q, want the reason %q", err, reason)
	}
}

func (r *rig) unavailable(t testing.TB, token string) {
	t.Helper()
	if _, err := r.ask(token); !errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrInvalid) {
		t.Fatalf("got %v, want %v", err, session.ErrUnavailable)
	}
}
