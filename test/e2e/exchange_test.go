package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/neosc/gate/test/idp"
	"github.com/neosc/gate/test/kit"
)

const exchangePath = "/api/auth/token-exchange"

// appHouse is a demo whose portal signs people in by itself.
type appHouse struct {
	*house
	redirectURI string
}

func startAppHouse(t *testing.T) *appHouse {
	t.Helper()
	port := kit.FreePort(t)
	redirect := fmt.Sprintf("http://portal.%s:%d/auth/callback", kit.Domain, port)
	gate := fmt.Sprintf("http://gate.%s:%d/callback/zitadel_onprem", kit.Domain, port)
	h := &house{onprem: idp.Start(t, idp.Settings{Alg: "ES256", Accounts: staff, Clients: []idp.Client{client("zitadel_onprem", port, idp.Client{
		"client_secret": nil, "token_endpoint_auth_method": "none", "redirect_uris": []string{gate, redirect},
	})}})}
	h.Demo = kit.StartDemo(t, kit.DemoOptions{Port: port, Policy: "raised", Providers: fmt.Sprintf(`providers:
  - id: zitadel_onprem
    issuer: %s
    client_id: gate
    project_id: P1
    token_exchange:
      redirect_uris: [%q]
`, h.onprem.Issuer, redirect)})
	return &appHouse{h, redirect}
}

// begin runs an app's own flow up to its callback, and returns the body for the
// gate.
func (h *appHouse) begin(t *testing.T, login string) map[string]string {
	t.Helper()
	verifier, nonce := rand.Text()+rand.Text(), rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	at := h.onprem.Issuer + "/auth?" + url.Values{
		"response_type": {"code"}, "client_id": {"gate"}, "redirect_uri": {h.redirectURI}, "scope": {"openid profile email"}, "state": {"s"}, "nonce": {nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	p := h.Stranger(t)
	reply := p.Get(t, at)
	for range 20 {
		switch {
		case reply.StatusCode >= 300 && reply.StatusCode < 400:
			next, err := reply.Request.URL.Parse(reply.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			if at = next.String(); strings.HasPrefix(at, h.redirectURI+"?") {
				q := next.Query()
				return map[string]string{"code": q.Get("code"), "code_verifier": verifier, "redirect_uri": h.redirectURI, "provider": "zitadel_onprem", "nonce": nonce, "iss": q.Get("iss")}
			}
			reply = p.Get(t, at)
		case strings.Contains(reply.Text, `name="login"`):
			reply = p.Do(t, http.MethodPost, at, strings.NewReader(url.Values{"login": {login}}.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		default:
			t.Fatalf("%s at %s\n%s", reply.Status, at, reply.Text)
		}
	}
	t.Fatal("more than 20 steps")
	return nil
}

// exchange sends a body as the portal's page does.
func (h *appHouse) exchange(t *testing.T, p *kit.Person, host string, body map[string]string, origin string) *kit.Reply {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return p.Do(t, http.MethodPost, h.Origin(host)+exchangePath, strings.NewReader(string(b)), "Content-Type", "application/json", "Origin", origin, "Accept", "application/json")
}

func TestAppsSignPeopleInByThemselves(t *testing.T) {
	t.Parallel()
	h := startAppHouse(t)
	t.Run("Token", h.testToken)
	t.Run("Refused", h.testExchangesRefused)
	t.Run("Preflights", h.testExchangePreflights)
}

func (h *appHouse) testToken(t *testing.T) {
	for _, host := range []string{"api.portal", "gate"} {
		p := h.Stranger(t)
		body := h.begin(t, "nora")
		reply := h.exchange(t, p, host, body, h.Origin("portal"))
		var got struct {
			Token   string `json:"access_token"`
			Type    string `json:"token_type"`
			Expires int    `json:"expires_in"`
			Refresh string `json:"refresh_token"`
			User    struct {
				ID, Email, Role string
			} `json:"user"`
		}
		if err := json.Unmarshal([]byte(reply.Text), &got); err != nil || reply.StatusCode != http.StatusOK || got.Type != "bearer" || got.User.Email != "nora@kappa4.com" || got.User.Role != "neosc" || got.Expires > 1800 || got.Expires < 1700 {
			t.Fatalf("%s: %s\n%s\n%s", host, reply.Status, reply.Text, h.Output())
		}
		next := into[apiTokens](t, send(t, p, "POST", h.Origin(host)+"/api/auth/refresh", "", `{"refresh_token": "`+got.Refresh+`"}`), http.StatusOK)
		if next.User.ID != got.User.ID || next.Access == got.Token {
			t.Errorf("%s: refreshed as %+v", host, next.User)
		}
		if cors := reply.Header.Values("Access-Control-Allow-Origin"); len(cors) != 1 || cors[0] != h.Origin("portal") {
			t.Errorf("%s: origins that may read it: %q", host, cors)
		}
		if len(reply.Header.Values("Set-Cookie")) != 0 || p.Session() != "" {
			t.Errorf("%s: cookies %q", host, reply.Header.Values("Set-Cookie"))
		}
		whoami := h.Origin("api.portal") + "/api/whoami"
		in := p.Do(t, http.MethodGet, whoami, nil, "Authorization", "Bearer "+got.Token)
		if in.StatusCode != http.StatusOK || !strings.Contains(in.Text, "nora@kappa4.com") {
			t.Errorf("%s: with the token: %s %s", host, in.Status, in.Text)
		}
		if out := p.Do(t, http.MethodGet, whoami, nil, "Cookie", "_pomerium="+got.Token); out.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: with the token as a cookie: %s", host, out.Status)
		}
		if again := h.exchange(t, p, host, body, h.Origin("portal")); again.StatusCode != http.StatusBadRequest || !strings.Contains(again.Text, "provider_reply_invalid") {
			t.Errorf("%s: the code again: %s %s", host, again.Status, again.Text)
		}
		if users := h.Run(t, "user", "list"); !strings.Contains(users, "nora@kappa4.com") || !strings.Contains(users, got.User.ID) || strings.Count(users, "nora@kappa4.com") != 1 {
			t.Errorf("%s: users\n%s", host, users)
		}
		h.Run(t, "session", "revoke", "-user", got.User.ID)
		if out := p.Do(t, http.MethodGet, whoami, nil, "Authorization", "Bearer "+got.Token); out.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: after its end: %s", host, out.Status)
		}
	}
}

func (h *appHouse) testExchangesRefused(t *testing.T) {
	p := h.Stranger(t)
	for _, c := range []struct {
		name, origin, reason string
		edit                 func(map[string]string)
		status               int
	}{
		{"ForeignOrigin", "https://evil.example", "app_unknown", func(map[string]string) {}, 403},
		{"OriginOfAnotherHost", h.Origin("admin.portal"), "app_unknown", func(map[string]string) {}, 403},
		{"RedirectOfTheGate", h.Origin("portal"), "app_unknown", func(b map[string]string) { b["redirect_uri"] = h.Origin("gate") + "/callback/zitadel_onprem" }, 403},
		{"NoNonce", h.Origin("portal"), "request_invalid", func(b map[string]string) { delete(b, "nonce") }, 400},
		{"NonceOfAnother", h.Origin("portal"), "provider_reply_invalid", func(b map[string]string) { b["nonce"] = rand.Text() }, 400},
		{"VerifierOfAnother", h.Origin("portal"), "provider_reply_invalid", func(b map[string]string) { b["code_verifier"] = rand.Text() + rand.Text() }, 400},
		{"NoIssuer", h.Origin("portal"), "login_state_invalid", func(b map[string]string) { delete(b, "iss") }, 400},
	} {
		body := h.begin(t, "nora")
		c.edit(body)
		reply := h.exchange(t, p, "api.portal", body, c.origin)
		if reply.StatusCode != c.status || !strings.Contains(reply.Text, c.reason) || reply.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(reply.Text, "access_token") {
			t.Errorf("%s: %s %s", c.name, reply.Status, reply.Text)
		}
	}
	if sessions := h.Run(t, "session", "list"); strings.Contains(sessions, "nora@kappa4.com") {
		t.Errorf("sessions\n%s", sessions)
	}
}

func (h *appHouse) testExchangePreflights(t *testing.T) {
	p := h.Stranger(t)
	for _, host := range []string{"api.portal", "gate"} {
		for origin, want := range map[string]string{h.Origin("portal"): h.Origin("portal"), "https://evil.example": ""} {
			reply := p.Do(t, http.MethodOptions, h.Origin(host)+exchangePath, nil, "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
			if got := strings.Join(reply.Header.Values("Access-Control-Allow-Origin"), "|"); got != want {
				t.Errorf("%s for %s: %s, allowed %q, want %q", host, origin, reply.Status, got, want)
			}
			if want != "" && (reply.StatusCode/100 != 2 || !strings.Contains(strings.ToLower(reply.Header.Get("Access-Control-Allow-Headers")), "content-type")) {
				t.Errorf("%s: %s %v", host, reply.Status, reply.Header)
			}
		}
	}
}
