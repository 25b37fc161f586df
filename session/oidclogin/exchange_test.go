package oidclogin

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

const appURI = "https://portal.kappa4.com/auth/callback"

func appRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, func(o *Options) {
		o.Providers[0].AppRedirectURIs = []string{appURI, "http://localhost:3000/cb"}
		o.Providers[1].AppRedirectURIs = []string{"https://other.kappa4.com/cb"}
	})
	r.idp.claims["nonce"] = appNonce
	return r
}

const appNonce = "6a1f4e0c9b7d2358"

func appRequest() session.ExchangeLogin {
	return session.ExchangeLogin{
		Provider: "one", Code: "c", Verifier: strings.Repeat("v", 43), RedirectURI: appURI, Nonce: appNonce, Origin: "https://portal.kappa4.com",
	}
}

func TestAnAppsSignInGivesABearerSessionAndNoCookie(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	l, err := r.Exchange(t.Context(), appRequest())
	if err != nil {
		t.Fatal(err)
	}
	if f := r.idp.form; f.Get("code") != "c" || f.Get("redirect_uri") != appURI || f.Get("code_verifier") != strings.Repeat("v", 43) {
		t.Errorf("the provider was asked with %v", f)
	}
	s, err := r.sessions.ByBearer(t.Context(), l.Cookie, r.clock.Now())
	if err != nil || s.Kind != session.Bearer || s.Identity.Email != "nora@kappa4.com" || s.IdPSession != "sid1" {
		t.Fatalf("%+v, %v", s, err)
	}
	if r.live(t, l.Cookie) {
		t.Error("the token opens as a cookie")
	}
	// It ends as every session does.
	if err := r.sessions.Revoke(t.Context(), s.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := r.sessions.ByBearer(t.Context(), l.Cookie, r.clock.Now()); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("after the revoke: %v", err)
	}
}

func TestAnAppsSessionEndsWithTheProviders(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	l, err := r.Exchange(t.Context(), appRequest())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.logOut(t, r.logoutToken(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.sessions.ByBearer(t.Context(), l.Cookie, r.clock.Now()); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("after the provider's logout: %v", err)
	}
}

// TestHostileExchanges: what asks wrongly never reaches the token endpoint, and
// what the provider answers wrongly opens nothing.
func TestHostileExchanges(t *testing.T) {
	t.Parallel()
	type edit func(*rig, *session.ExchangeLogin)
	claim := func(name string, v any) edit {
		return func(r *rig, _ *session.ExchangeLogin) { r.idp.claims[name] = v }
	}
	uri := func(s string) edit { return func(_ *rig, q *session.ExchangeLogin) { q.RedirectURI = s } }
	for _, c := range []struct {
		name  string
		edit  edit
		want  session.LoginReason
		calls int // of the token endpoint
	}{
		{"UnknownProvider", func(_ *rig, q *session.ExchangeLogin) { q.Provider = "three" }, session.LoginUnknown, 0},
		{"A4AnotherProvider", func(_ *rig, q *session.ExchangeLogin) { q.Provider = "two" }, session.LoginApp, 0},
		{"RedirectElsewhere", uri("https://evil.example/auth/callback"), session.LoginApp, 0},
		{"RedirectWithASlash", uri(appURI + "/"), session.LoginApp, 0},
		{"RedirectWithAQuery", uri(appURI + "?x=1"), session.LoginApp, 0},
		{"RedirectOtherCase", uri("https://Portal.kappa4.com/auth/callback"), session.LoginApp, 0},
		{"RedirectOfTheGate", uri(gateOrigin + "/callback/one"), session.LoginApp, 0},
		{"NoRedirect", uri(""), session.LoginApp, 0},
		{"ForeignOrigin", func(_ *rig, q *session.ExchangeLogin) { q.Origin = "https://evil.example" }, session.LoginApp, 0},
		{"OriginOfAnotherApp", func(_ *rig, q *session.ExchangeLogin) { q.Origin = "http://localhost:3000" }, session.LoginApp, 0},
		{"OriginNull", func(_ *rig, q *session.ExchangeLogin) { q.Origin = "null" }, session.LoginApp, 0},
		{"NoOrigin", func(_ *rig, q *session.ExchangeLogin) { q.Origin = "" }, session.LoginApp, 0},
		{"NoCode", func(_ *rig, q *session.ExchangeLogin) { q.Code = "" }, session.LoginRequest, 0},
		{"LongCode", func(_ *rig, q *session.ExchangeLogin) { q.Code = strings.Repeat("c", 4097) }, session.LoginRequest, 0},
		{"NoVerifier", func(_ *rig, q *session.ExchangeLogin) { q.Verifier = "" }, session.LoginRequest, 0},
		{"ShortVerifier", func(_ *rig, q *session.ExchangeLogin) { q.Verifier = strings.Repeat("v", 42) }, session.LoginRequest, 0},
		{"NoNonce", func(_ *rig, q *session.ExchangeLogin) { q.Nonce = "" }, session.LoginRequest, 0},
		{"NoNonceAnywhere", func(r *rig, q *session.ExchangeLogin) { q.Nonce = ""; delete(r.idp.claims, "nonce") }, session.LoginRequest, 0},
		{"ShortNonce", func(_ *rig, q *session.ExchangeLogin) { q.Nonce = "1" }, session.LoginRequest, 0},
		{"A4AnothersIssuer", func(r *rig, q *session.ExchangeLogin) { q.Issuer = r.other.URL }, session.LoginState, 0},
		{"PromisedIssuerMissing", func(r *rig, _ *session.ExchangeLogin) {
			r.idp.metadata["authorization_response_iss_parameter_supported"] = true
		}, session.LoginState, 0},
		{"A6NonceWrong", claim("nonce", "another-nonce-of-16"), session.LoginReply, 1},
		{"A6NonceAbsent", func(r *rig, _ *session.ExchangeLogin) { delete(r.idp.claims, "nonce") }, session.LoginReply, 1},
		{"A11ForeignAudience", claim("aud", "another"), session.LoginReply, 1},
		{"A11Expired", claim("exp", noon.Add(-time.Second).Unix()), session.LoginClock, 1},
		{"ForeignAzp", claim("azp", "another"), session.LoginReply, 1},
		{"WrongAtHash", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), session.LoginReply, 1},
		{"RoleWithAComma", claim("roles", []string{"user,admin"}), session.LoginIdentity, 1},
		{"CodeRefused", func(r *rig, _ *session.ExchangeLogin) {
			r.idp.answer["/token"] = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"invalid_grant"}`, 400) }
		}, session.LoginReply, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, q := appRig(t), appRequest()
			c.edit(r, &q)
			l, err := r.Exchange(t.Context(), q)
			if l != nil {
				t.Fatal("it opened a session")
			}
			wantReason(t, err, c.want)
			if n := r.idp.calls("/token") + r.other.calls("/token"); n != c.calls {
				t.Errorf("%d token calls, want %d", n, c.calls)
			}
			if n, _ := r.store.CountLive(t.Context(), noon); n != 0 {
				t.Errorf("%d sessions were left", n)
			}
		})
	}
}

// A6: a provider that takes a code twice still gives one session a nonce.
func TestAnAppsNonceCountsOnce(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	var opened atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := r.Exchange(t.Context(), appRequest()); err == nil {
				opened.Add(1)
			}
		})
	}
	all.Wait()
	if opened.Load() != 1 {
		t.Errorf("%d sessions of one nonce", opened.Load())
	}
	if n, _ := r.store.CountLive(t.Context(), noon); n != 1 {
		t.Errorf("%d sessions in the store", n)
	}
}

func TestAppOriginsAreThoseOfRedirectURIs(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	for origin, want := range map[string]bool{
		"https://portal.kappa4.com": true, "http://localhost:3000": true, "https://other.kappa4.com": true,
		"https://portal.kappa4.com:443": false, "http://portal.kappa4.com": false, "https://evil.example": false,
		"https://portal.kappa4.com.evil.example": false, "null": false, "": false, gateOrigin: false,
	} {
		if r.AppOrigin(origin) != want {
			t.Errorf("%q: %v", origin, !want)
		}
	}
}

func TestRedirectURIsOfAppsThatCannotBeAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"":                                         "is not an address",
		"/auth/callback":                           "is not an address",
		"javascript:alert(1)":                      "is not an address",
		"https://u@portal.kappa4.com/cb":           "is not an address",
		"https://portal.kappa4.com/cb#f":           "is not an address",
		"https://portal.kappa4.com/cb x":           "is not an address",
		"http://portal.kappa4.com/cb":              "is not https",
		"https://Portal.kappa4.com/cb":             "lower case",
		"https://portal.kappa4.com:443/cb":         "lower case",
		gateOrigin + "/callback/one":               "the gate's own host",
		"https://a.b/" + strings.Repeat("x", 2048): "is not an address",
	} {
		_, err := Check(t.Context(), Options{GateOrigin: gateOrigin, Providers: []Provider{{ID: "one", Issuer: "https://id.example", ClientID: "c", AppRedirectURIs: []string{uri}}}}, false)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "token_exchange.redirect_uris") {
			t.Errorf("%q: %v, want %q", uri, err, want)
		}
	}
}
