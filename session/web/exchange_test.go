package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// exchanger answers by the code that it is sent.
type exchanger struct {
	sessions *sessions
	mu       sync.Mutex
	got      []session.ExchangeLogin
}

func (f *exchanger) AppOrigin(origin string) bool { return origin == portal }

func (f *exchanger) Exchange(ctx context.Context, q session.ExchangeLogin) (*session.Login, error) {
	f.mu.Lock()
	f.got = append(f.got, q)
	f.mu.Unlock()
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("nothing bounds the exchange")
	}
	switch q.Code {
	case "good":
		id := session.Identity{Provider: "one", UserID: "idp-1", Email: "nora@kappa4.com", EmailVerified: true, Name: "Nora", Organization: "o1", Roles: []string{"neosc", "ops"}, AMR: []string{"pwd", "mfa"}}
		s, value, err := f.sessions.Create(ctx, id, session.Bearer, 0)
		return &session.Login{Session: s, Cookie: value}, err
	case "down":
		return nil, fmt.Errorf("login state: %w", session.ErrUnavailable)
	case "odd":
		return nil, errors.New("disk on fire at sector 7")
	}
	return nil, &session.LoginError{Reason: session.LoginReason(q.Code), Provider: q.Provider, Err: errors.New("redirect_uri is none of these")}
}

// purse holds so many tokens.
type purse struct {
	mu   sync.Mutex
	left int
	keys []string
	down error
}

func (p *purse) Take(_ context.Context, _ time.Time, name, key string, rate float64, burst int) (bool, time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, fmt.Sprintf("%s %s %.2f %d", name, key, rate, burst))
	p.left--
	return p.left >= 0, 41500 * time.Millisecond, p.down
}

func newAppHouse(t *testing.T, change ...func(*Options)) (*house, *exchanger, *purse) {
	t.Helper()
	f, p := &exchanger{}, &purse{left: 100}
	logins := &logins{infos: []session.ProviderInfo{{ID: "one", Name: "One"}}}
	x := newHouse(t, append(change, func(o *Options) {
		o.Logins, o.Exchange = logins, &Exchange{Exchanger: f, Budget: p, Burst: 30, Every: 6 * time.Second}
	})...)
	f.sessions = x.sessions
	return x, f, p
}

func exchangeBody(code string) string {
	return `{"code":"` + code + `","code_verifier":"v","redirect_uri":"https://portal.kappa4.com/auth/callback","provider":"one","nonce":"n"}`
}

func (x *house) post(body string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", exchangePath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", portal)
	r.Header.Set("X-Request-Id", "req-1")
	r.Header.Set("X-Envoy-External-Address", "2001:db8:1:2:3:4:5:6")
	r.Header.Set("Cookie", "_pomerium=sealed-1")
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	x.h.ServeHTTP(w, r)
	return w
}

func TestAnAppGetsABearerTokenAndNoCookie(t *testing.T) {
	t.Parallel()
	x, f, p := newAppHouse(t)
	w := x.post(exchangeBody("good"))
	var got exchanged
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	u := got.User
	if got.AccessToken != "sealed-1" || got.TokenType != "bearer" || got.ExpiresIn != 8*3600 || u.ID != "idp-1" || u.Email != "nora@kappa4.com" || !u.EmailVerified ||
		u.Name != "Nora" || u.Organization != "o1" || u.Role != "neosc" || len(u.Roles) != 2 || !u.MFA {
		t.Errorf("%s", w.Body)
	}
	h := w.Header()
	if len(h["Set-Cookie"]) != 0 {
		t.Errorf("cookies %q", h["Set-Cookie"])
	}
	if h.Get("Access-Control-Allow-Origin") != portal || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Vary") != "Origin" || h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	want := session.ExchangeLogin{Provider: "one", Code: "good", Verifier: "v", RedirectURI: "https://portal.kappa4.com/auth/callback", Nonce: "n", Origin: portal}
	if len(f.got) != 1 || f.got[0] != want {
		t.Errorf("asked for %+v", f.got)
	}
	if len(p.keys) != 1 || p.keys[0] != "exchange_address 2001:db8:1:2::/64 0.17 30" {
		t.Errorf("charged %q", p.keys)
	}
	if x.metric("pomerium_authenticate_success_total", "one") != 1 || x.metric("pomerium_authenticate_outcomes_total", "success one") != 1 {
		t.Error("it was not counted")
	}
	if log := x.log.String(); !strings.Contains(log, "signed in") || !strings.Contains(log, "token_exchange") || strings.Contains(log, "sealed-1") {
		t.Errorf("log: %s", log)
	}
}

func TestExchangesThatAreRefused(t *testing.T) {
	t.Parallel()
	head := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	none := func(*http.Request) {}
	for _, c := range []struct {
		name, body string
		edit       func(*http.Request)
		status     int
		reason     string
		asked      int
	}{
		{"ForeignOrigin", exchangeBody("good"), head("Origin", "https://evil.example"), 403, "app_unknown", 0},
		{"OriginNull", exchangeBody("good"), head("Origin", "null"), 403, "app_unknown", 0},
		{"NoOrigin", exchangeBody("good"), func(r *http.Request) { r.Header.Del("Origin") }, 403, "app_unknown", 0},
		{"TwoOrigins", exchangeBody("good"), func(r *http.Request) { r.Header.Add("Origin", "https://evil.example") }, 403, "app_unknown", 0},
		{"FakePreflight", "", func(r *http.Request) { r.Method = "OPTIONS" }, 405, "method_not_allowed", 0},
		{"Get", "", func(r *http.Request) { r.Method = "GET" }, 405, "method_not_allowed", 0},
		{"L8JSONAsText", exchangeBody("good"), head("Content-Type", "text/plain"), 415, "request_invalid", 0},
		{"Form", "code=good", head("Content-Type", "application/x-www-form-urlencoded"), 415, "request_invalid", 0},
		{"NotJSON", "{", none, 400, "request_invalid", 0},
		{"UnknownField", `{"code":"good","nounce":"n"}`, none, 400, "request_invalid", 0},
		{"NumberForText", `{"code":7}`, none, 400, "request_invalid", 0},
		{"SomethingFollows", exchangeBody("good") + "{}", none, 400, "request_invalid", 0},
		{"Large", `{"code":"` + strings.Repeat("c", maxExchange) + `"}`, none, 413, "request_invalid", 0},
		{"RedirectUnknown", exchangeBody("app_unknown"), none, 403, "app_unknown", 1},
		{"Incomplete", exchangeBody("request_invalid"), none, 400, "request_invalid", 1},
		{"ProviderUnknown", exchangeBody("provider_unknown"), none, 404, "provider_unknown", 1},
		{"ProviderAway", exchangeBody("provider_unavailable"), none, 503, "provider_unavailable", 1},
		{"CodeRefused", exchangeBody("provider_reply_invalid"), none, 400, "provider_reply_invalid", 1},
		{"Issuer", exchangeBody("login_state_invalid"), none, 400, "login_state_invalid", 1},
		{"Clock", exchangeBody("clock_off"), none, 503, "clock_off", 1},
		{"Identity", exchangeBody("identity_refused"), none, 403, "identity_refused", 1},
		{"StoreDown", exchangeBody("down"), none, 503, "session_store_unavailable", 1},
		{"Odd", exchangeBody("odd"), none, 503, "internal_error", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x, f, _ := newAppHouse(t)
			w := x.post(c.body, c.edit)
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != c.status || p.Status != c.status || len(p.Reasons) != 1 || p.Reasons[0] != c.reason || p.Detail == "" || p.RequestID != "req-1" || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if w.Code == 503 && w.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if len(f.got) != c.asked {
				t.Errorf("asked %d times, want %d", len(f.got), c.asked)
			}
			if len(w.Header()["Set-Cookie"]) != 0 || len(x.sessions.values()) != 0 {
				t.Error("a cookie or a session came of it")
			}
			if strings.Contains(w.Body.String(), "sector 7") {
				t.Error("the answer tells what is the log's")
			}
			if allowed := w.Header().Get("Access-Control-Allow-Origin"); allowed != "" && allowed != portal {
				t.Errorf("origin %q may read it", allowed)
			}
		})
	}
}

func TestExchangesHaveABudgetForEachAddress(t *testing.T) {
	t.Parallel()
	x, f, p := newAppHouse(t)
	p.left = 2
	for i, want := range []int{200, 200, 429, 429} {
		w := x.post(exchangeBody("good"))
		if w.Code != want {
			t.Fatalf("attempt %d: %d %s", i, w.Code, w.Body)
		}
		if want == 429 && (w.Header().Get("Retry-After") != "42" || !strings.Contains(w.Body.String(), "#quota-exceeded") || w.Header().Get("Access-Control-Allow-Origin") != portal) {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
	}
	if len(f.got) != 2 {
		t.Errorf("asked %d times", len(f.got))
	}
	p.down = errors.New("no budget store")
	if w := x.post(exchangeBody("good")); w.Code != 503 || strings.Contains(w.Body.String(), "budget store") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAnAppsPreflightIsAnswered(t *testing.T) {
	t.Parallel()
	x, _, p := newAppHouse(t)
	w := x.post("", func(r *http.Request) { r.Method = "OPTIONS"; r.Header.Set("Access-Control-Request-Method", "POST") })
	h := w.Header()
	if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != portal || h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Allow-Headers") != "content-type" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", w.Code, h)
	}
	w = x.post("", func(r *http.Request) {
		r.Method = "OPTIONS"
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Origin", "https://evil.example")
	})
	if w.Code != 403 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if len(p.keys) != 0 {
		t.Error("a preflight was charged")
	}
}

func TestWithoutAppsThereIsNoExchange(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	if w := x.post(exchangeBody("good")); w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestRefusedExchangesAreInTheTrail: one that comes about is kept with the
// beginning of its session.
func TestRefusedExchangesAreInTheTrail(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	x, _, _ := newAppHouse(t, audited(kept))
	x.post(exchangeBody("good"), func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
	x.post("{")
	x.post(exchangeBody("provider_reply_invalid"))
	x.post(exchangeBody("good"))
	// What anybody can send without a provider having been asked fills no disk.
	if len(kept.events) != 1 {
		t.Fatalf("%d events: %+v", len(kept.events), kept.events)
	}
	refused := kept.events[0]
	if refused.Action != session.ActionSSOLogin || refused.Outcome != session.OutcomeDenied || refused.Details["reason"] != "provider_reply_invalid" || refused.RequestID != "req-1" {
		t.Errorf("%+v", refused)
	}
}
