package oidclogin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

const (
	gateOrigin = "https://gate.kappa4.com"
	browser    = "one browser's secret"
	portal     = "https://portal.kappa4.com/deep"
)

// clock is an injected one.
type clock struct{ ns atomic.Int64 }

func (c *clock) Now() time.Time      { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) add(d time.Duration) { c.ns.Add(int64(d)) }

// hostile is a provider that can be told to misbehave in any way. By itself it
// behaves.
type hostile struct {
	*httptest.Server
	key  *ecdsa.PrivateKey
	now  func() time.Time
	mu   sync.Mutex
	call map[string]int

	// What a test changes before it asks.
	metadata map[string]any
	keys     func() any
	claims   map[string]any // of the ID token
	sign     func(claims map[string]any) string
	userinfo map[string]any
	answer   map[string]http.HandlerFunc // in place of an endpoint
	form     url.Values                  // the last one at the token endpoint
}

// refreshToken is what the hostile provider gives out: too long to stand in random
// bytes by chance.
const refreshToken = "refresh-token-of-nora"

func newHostile(t *testing.T, now func() time.Time) *hostile {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{key: key, now: now, call: map[string]int{}, answer: map[string]http.HandlerFunc{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	h.metadata = map[string]any{
		"issuer": h.URL, "authorization_endpoint": h.URL + "/auth", "token_endpoint": h.URL + "/token", "jwks_uri": h.URL + "/keys",
		"userinfo_endpoint": h.URL + "/userinfo", "revocation_endpoint": h.URL + "/revoke", "end_session_endpoint": h.URL + "/end",
		"code_challenge_methods_supported": []string{"S256"}, "id_token_signing_alg_values_supported": []string{"ES256", "RS256"},
	}
	h.keys = func() any { return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{h.public()}} }
	h.sign = func(c map[string]any) string { return h.signed(t, c, nil) }
	h.claims = map[string]any{
		"iss": h.URL, "aud": "gate", "sub": "s1", "iat": now().Unix(), "exp": now().Add(time.Hour).Unix(), "sid": "sid1",
		"email": "nora@kappa4.com", "email_verified": true, "name": "Nora", "roles": []string{"neosc"},
	}
	h.userinfo = map[string]any{"sub": "s1"}
	return h
}

func (h *hostile) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: h.key.Public(), KeyID: "k1", Use: "sig", Algorithm: "ES256"}
}

// signed signs claims with the provider's key and more header fields.
func (h *hostile) signed(t *testing.T, claims map[string]any, head map[jose.HeaderKey]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1")
	for k, v := range head {
		o.WithHeader(k, v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: h.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (h *hostile) calls(endpoint string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.call[endpoint]
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.call[r.URL.Path]++
	if r.URL.Path == "/token" || r.URL.Path == "/revoke" {
		_ = r.ParseForm()
		h.form = maps.Clone(r.PostForm)
	}
	answer := h.answer[r.URL.Path]
	h.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	var v any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		v = h.metadata
	case "/keys":
		v = h.keys()
	case "/token":
		v = map[string]any{"access_token": "at", "token_type": "Bearer", "refresh_token": refreshToken, "expires_in": 3600, "id_token": h.sign(h.claims)}
	case "/userinfo":
		v = h.userinfo
	case "/revoke":
		v = map[string]any{}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// rig is Logins with hostile providers and a real session manager.
type rig struct {
	*Logins
	sessions *session.Manager
	store    *memstore.Store
	clock    *clock
	idp      *hostile
	other    *hostile
	shared   *fed
	sealer   session.Sealer
	options  Options
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	r := &rig{store: memstore.New(), clock: &clock{}}
	r.clock.ns.Store(noon.UnixNano())
	r.idp, r.other = newHostile(t, r.clock.Now), newHostile(t, r.clock.Now)
	ring, err := cookie.OpenRing(filepath.Join(t.TempDir(), "keys.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if r.sealer, err = cookie.New(ring, "_pomerium", "session"); err != nil {
		t.Fatal(err)
	}
	r.shared = &fed{Store: r.store, now: r.clock.Now}
	if r.sessions, err = session.NewManager(session.Options{Store: r.shared, Sealer: r.sealer, Clock: r.clock.Now}); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Providers:  []Provider{{ID: "one", Issuer: r.idp.URL, ClientID: "gate"}, {ID: "two", Issuer: r.other.URL, ClientID: "gate"}},
		GateOrigin: gateOrigin, Sessions: r.sessions, Notes: r.store, Clock: r.clock.Now, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	r.options = o
	if r.Logins, err = New(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// fed is a memory store that tells several managers of changes.
type fed struct {
	*memstore.Store
	now   func() time.Time
	mu    sync.Mutex
	watch []func(session.Key)
}

func (f *fed) Watch(w func(session.Key)) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = append(f.watch, w)
	return func() {}
}

func (f *fed) FreshUntil() time.Time { return f.now().Add(session.FeedPromise) }

func (f *fed) tell(k session.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watch {
		w(k)
	}
}

func (f *fed) Update(ctx context.Context, s *session.Session) (uint64, error) {
	v, err := f.Store.Update(ctx, s)
	f.tell(s.Key)
	return v, err
}

func (f *fed) Delete(ctx context.Context, k session.Key) error {
	err := f.Store.Delete(ctx, k)
	f.tell(k)
	return err
}

// replica returns another gate over the same store, which refreshes.
func (r *rig) replica(t *testing.T) *rig {
	t.Helper()
	c := *r
	var err error
	c.sessions, err = session.NewManager(session.Options{
		Store: r.shared, Sealer: r.sealer, Clock: r.clock.Now, Due: func(s *session.Session, value string) { c.Refresh(s, value) },
	})
	if err != nil {
		t.Fatal(err)
	}
	o := r.options
	o.Sessions = c.sessions
	if c.Logins, err = New(o); err != nil {
		t.Fatal(err)
	}
	return &c
}

// start begins a sign-in and has the provider answer with its nonce.
func (r *rig) start(t *testing.T, provider string) url.Values {
	t.Helper()
	to, err := r.Start(t.Context(), session.StartLogin{Provider: provider, ReturnTo: portal, Browser: browser})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	h := r.idp
	if provider == "two" {
		h = r.other
	}
	if _, set := h.claims["nonce"]; !set {
		h.claims["nonce"] = q.Get("nonce")
	}
	return q
}

// finish comes back from a provider.
func (r *rig) finish(ctx context.Context, provider string, query url.Values) (*session.Login, error) {
	return r.Finish(ctx, session.FinishLogin{Provider: provider, Query: query, Browsers: []string{"another", browser}})
}

// signIn does both at the first provider.
func (r *rig) signIn(t *testing.T) (*session.Login, error) {
	t.Helper()
	delete(r.idp.claims, "nonce")
	q := r.start(t, "one")
	return r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {q.Get("state")}})
}

func wantReason(t *testing.T, err error, want session.LoginReason) {
	t.Helper()
	e, ok := errors.AsType[*session.LoginError](err)
	if !ok || e.Reason != want {
		t.Errorf("error %v, want reason %s", err, want)
	}
}

// live reports whether the cookie still opens a session.
func (r *rig) live(t *testing.T, cookie string) bool {
	t.Helper()
	_, err := r.sessions.ByCookies(t.Context(), []string{cookie}, r.clock.Now())
	if err != nil && !errors.Is(err, session.ErrInvalid) {
		t.Fatal(err)
	}
	return err == nil
}
