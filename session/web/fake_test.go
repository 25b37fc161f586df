package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

const (
	gateOrigin = "https://gate.kappa4.com"
	portal     = "https://portal.kappa4.com"
)

var origins = map[string]bool{gateOrigin: true, portal: true, "https://admin.portal.kappa4.com": true, "http://dev.localhost:8080": true}

func isOrigin(o string) bool { return origins[o] }

// sessions is an Issuer whose cookie values are the sessions' keys.
type sessions struct {
	mu   sync.Mutex
	live map[string]*session.Session
	n    int
	down error
	// clock is when sessions begin; nil means noon.
	clock func() time.Time
}

func (f *sessions) Create(_ context.Context, id session.Identity, kind session.Kind, lifetime time.Duration) (*session.Session, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return nil, "", f.down
	}
	f.n++
	value := fmt.Sprintf("sealed-%d", f.n)
	now := noon
	if f.clock != nil {
		now = f.clock()
	}
	if lifetime == 0 {
		lifetime = 8 * time.Hour
	}
	if id.AuthenticatedAt.IsZero() {
		id.AuthenticatedAt = now
	}
	s := &session.Session{Key: session.ID{byte(f.n)}.Key(), Kind: kind, Identity: id, CreatedAt: now, ExpiresAt: now.Add(lifetime)}
	f.live[value] = s
	return s, value, nil
}

func (f *sessions) ByCookies(_ context.Context, values []string, _ time.Time) (*session.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return nil, f.down
	}
	var found *session.Session
	for _, v := range values {
		if s := f.live[v]; s != nil {
			if found != nil && found != s {
				return nil, session.ErrAmbiguous
			}
			found = s
		}
	}
	if found == nil {
		return nil, session.ErrInvalid
	}
	return found, nil
}

func (f *sessions) Revoke(_ context.Context, k session.Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for v, s := range f.live {
		if s.Key == k {
			delete(f.live, v)
		}
	}
	return f.down
}

func (f *sessions) EndBy(_ context.Context, k session.Key, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.live {
		if s.Key == k {
			s.ExpiresAt = at
		}
	}
	return f.down
}

func (f *sessions) values() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for v := range f.live {
		out = append(out, v)
	}
	return out
}

// accounts knows nora, and answers other emails by what they are called.
type accounts struct{}

func (accounts) SignIn(_ context.Context, email, password, _ string) (session.Identity, error) {
	switch {
	case email == "busy@kappa4.com":
		return session.Identity{}, session.ErrBusy
	case email == "guessed@kappa4.com":
		return session.Identity{}, &session.TooManyGuessesError{RetryAfter: 89500 * time.Millisecond}
	case email == "away@kappa4.com":
		return session.Identity{}, fmt.Errorf("accounts: %w", session.ErrUnavailable)
	case email == "odd@kappa4.com":
		return session.Identity{}, errors.New("disk on fire at sector 7")
	case email == "panic@kappa4.com":
		panic("a defect")
	case email == "nora@kappa4.com" && password == "right & long":
		return session.Identity{Provider: "local", UserID: "u1", Email: email, Name: "Nora Villaseñor", Roles: []string{"neosc"}}, nil
	}
	return session.Identity{}, session.ErrCredentials
}

type house struct {
	t        testing.TB
	h        *Handler
	sessions *sessions
	log      *strings.Builder
	reg      *prometheus.Registry
}

func newHouse(t testing.TB, change ...func(*Options)) *house {
	t.Helper()
	p, err := pages.New(pages.Options{GateOrigin: gateOrigin, FormTargets: []string{portal}})
	if err != nil {
		t.Fatal(err)
	}
	x := &house{t: t, sessions: &sessions{live: map[string]*session.Session{}}, log: &strings.Builder{}, reg: prometheus.NewRegistry()}
	o := Options{
		Pages: p, Accounts: accounts{}, Sessions: x.sessions, GateOrigin: gateOrigin, IsOrigin: isOrigin,
		JWKS: func() []byte { return []byte(`{"keys":[]}`) },
		Apps: func(context.Context, *session.Session) []App {
			return []App{{Title: "Portal", URL: portal + "/", Host: "portal.kappa4.com", Open: true}}
		},
		Cookie: session.CookieSpec{Name: "_pomerium", Domain: ".kappa4.com", Secure: true}, FormKeys: formKeys(strings.Repeat("k", 32)),
		Logger: slog.New(slog.NewTextHandler(x.log, nil)), Clock: func() time.Time { return noon }, Registerer: x.reg,
	}
	for _, f := range change {
		f(&o)
	}
	if x.h, err = New(o); err != nil {
		t.Fatal(err)
	}
	return x
}

// browser keeps cookies by name, as far as these tests need.
type browser struct {
	*house
	cookies map[string]string
	// raw is sent before the kept cookies.
	raw string
}

func (x *house) browser() *browser { return &browser{house: x, cookies: map[string]string{}} }

func (b *browser) do(method, target string, form url.Values, edit ...func(*http.Request)) *http.Response {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, target, body)
	r.Host = "gate.kappa4.com"
	r.Header.Set("X-Request-Id", "req-1")
	r.Header.Set("X-Envoy-External-Address", "203.0.113.9")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", gateOrigin)
	}
	line := b.raw
	for name, value := range b.cookies {
		line += "; " + name + "=" + value
	}
	if line = strings.TrimPrefix(line, "; "); line != "" {
		r.Header.Set("Cookie", line)
	}
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	resp := w.Result()
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			if strings.TrimPrefix(c.Domain, ".") == "kappa4.com" || c.Domain == "" && strings.HasPrefix(c.Name, "__Host-") {
				delete(b.cookies, c.Name)
			}
			continue
		}
		b.cookies[c.Name] = c.Value
	}
	return resp
}

func text(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// token reads the form token out of a page.
func token(t testing.TB, body string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `name="csrf" value="`)
	v, _, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 {
		t.Fatalf("no form token on:\n%s", body)
	}
	return v
}

// signIn does what a person does and returns the answer to the form.
func (b *browser) signIn(rd string) *http.Response {
	b.t.Helper()
	page := text(b.t, b.do("GET", "/oauth2/sign_in?rd="+url.QueryEscape(rd), nil))
	return b.do("POST", "/oauth2/sign_in", url.Values{"email": {"nora@kappa4.com"}, "password": {"right & long"}, "csrf": {token(b.t, page)}, "rd": {rd}})
}

// metric returns a counter's value; labels are its label values in order of
// their names, with spaces between.
func (x *house) metric(name, labels string) float64 {
	x.t.Helper()
	families, err := x.reg.Gather()
	if err != nil {
		x.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values := []string{}
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && strings.Join(values, " ") == labels {
				return m.GetCounter().GetValue()
			}
		}
	}
	x.t.Fatalf("no metric %s{%s}", name, labels)
	return 0
}
