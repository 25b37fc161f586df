package oidclogin

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
)

// logoutToken are the claims of a good one.
func (r *rig) logoutToken(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": r.idp.URL, "aud": "gate", "iat": r.clock.Now().Unix(), "exp": r.clock.Now().Add(2 * time.Minute).Unix(), "jti": random(),
		"sub": "s1", "sid": "sid1", "events": map[string]any{logoutEvent: map[string]any{}},
	}
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func (r *rig) logOut(t *testing.T, claims map[string]any) error {
	t.Helper()
	return r.LogOut(t.Context(), "one", r.idp.signed(t, claims, nil))
}

func TestALogoutTokenEndsWhatItNames(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]map[string]any{
		"BySidAndSub": nil, "BySid": {"sub": nil}, "BySub": {"sid": nil}, "WithoutExpiry": {"exp": nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			l, err := r.signIn(t)
			if err != nil {
				t.Fatal(err)
			}
			r.idp.claims["sid"] = "sid2"
			second, err := r.signIn(t)
			if err != nil {
				t.Fatal(err)
			}
			r.idp.claims["sub"], r.idp.claims["sid"], r.idp.userinfo["sub"] = "s2", "sid3", "s2"
			other, err := r.signIn(t)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.logOut(t, r.logoutToken(change)); err != nil {
				t.Fatal(err)
			}
			if r.live(t, l.Cookie) {
				t.Error("the session lives on")
			}
			if want := name != "BySub"; r.live(t, second.Cookie) != want {
				t.Errorf("the user's other session lives: %v", !want)
			}
			if !r.live(t, other.Cookie) {
				t.Error("another user's session ended")
			}
		})
	}
}

// S9
func TestForgedLogoutTokensEndNothing(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for name, change := range map[string]map[string]any{
		"Nonce": {"nonce": "n"}, "ForeignAudience": {"aud": "another"}, "NoAudience": {"aud": nil}, "ForeignIssuer": {"iss": "https://evil.example"},
		"NoEvents": {"events": nil}, "OtherEvent": {"events": map[string]any{"x": map[string]any{}}}, "EventsAsText": {"events": logoutEvent},
		"EventIsNull": {"events": map[string]any{logoutEvent: nil}}, "NobodyNamed": {"sub": nil, "sid": nil}, "SidOfAnotherType": {"sid": 7}, "EmptySid": {"sid": ""},
		"NoJTI": {"jti": nil}, "NoIat": {"iat": nil}, "Old": {"iat": at(-time.Hour), "exp": at(time.Hour)}, "Future": {"iat": at(time.Hour)},
		"Expired": {"exp": at(-time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			l, err := r.signIn(t)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.logOut(t, r.logoutToken(change)); err == nil {
				t.Error("it was taken")
			}
			if !r.live(t, l.Cookie) {
				t.Error("the session ended")
			}
		})
	}
	r := newRig(t, nil)
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"StrangersKey": strangers(t, r.logoutToken(nil), "k1", nil), "IDToken": r.idp.sign(r.idp.claims), "Empty": "", "Junk": "a.b.c",
		"Large": strings.Repeat("a", 70<<10),
	} {
		if err := r.LogOut(t.Context(), "one", token); err == nil || !r.live(t, l.Cookie) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := r.LogOut(t.Context(), "two", r.idp.signed(t, r.logoutToken(nil), nil)); err == nil || !r.live(t, l.Cookie) {
		t.Error("one provider's token was taken at another's address")
	}
	if err := r.LogOut(t.Context(), "nobody", "a.b.c"); err == nil {
		t.Error("an unknown provider was believed")
	}
}

func TestALogoutTokenWorksOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	claims := r.logoutToken(map[string]any{"sid": nil})
	if err := r.logOut(t, claims); err != nil {
		t.Fatal(err)
	}
	r.clock.add(2 * time.Second)
	r.idp.claims["iat"] = r.clock.Now().Unix()
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, r.logOut(t, claims), session.LoginReply)
	if !r.live(t, l.Cookie) {
		t.Error("the old token ended the new session")
	}
}

// S10
func TestALogoutThatOvertakesTheCallbackHolds(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]map[string]any{"BySid": nil, "BySub": {"sid": nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			q := r.start(t, "one")
			if err := r.logOut(t, r.logoutToken(change)); err != nil {
				t.Fatal(err)
			}
			_, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {q.Get("state")}})
			wantReason(t, err, session.LoginEnded)
			if n, _ := r.store.CountLive(t.Context(), noon); n != 0 {
				t.Errorf("%d sessions live", n)
			}
		})
	}
}

func TestSignOutRevokesAndLeadsToTheProvider(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	if to := r.SignOut(t.Context(), l.Session, stranger.Cookie); strings.Contains(to, "id_token_hint") || r.idp.calls("/revoke") != 0 {
		t.Errorf("another session's cookie opened the tokens: %s", to)
	}
	u, err := url.Parse(r.SignOut(t.Context(), l.Session, l.Cookie))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/end" || strings.Count(q.Get("id_token_hint"), ".") != 2 || q.Get("client_id") != "gate" || q.Get("post_logout_redirect_uri") != gateOrigin+"/oauth2/signed_out" {
		t.Errorf("it leads to %s", u)
	}
	if r.idp.form.Get("token") != refreshToken || r.idp.form.Get("token_type_hint") != "refresh_token" {
		t.Errorf("revoked: %v", r.idp.form)
	}
}

func TestTroubleAtTheProviderDoesNotStandInTheWayOfASignOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	r.idp.answer["/revoke"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	if to := r.SignOut(t.Context(), l.Session, l.Cookie); !strings.Contains(to, "id_token_hint=") {
		t.Errorf("it leads to %q", to)
	}
	if to := r.SignOut(t.Context(), &session.Session{Identity: session.Identity{Provider: "local"}}, l.Cookie); to != "" {
		t.Errorf("a local session leads to %q", to)
	}
}

func TestTokensInTheStoreOpenWithTheCookieAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.store.GetNote(t.Context(), noteKey(tokensPurpose, l.Session.Key.String()), noon)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.takeTokens(t.Context(), l.Session, stranger.Cookie); err == nil {
		t.Error("another's cookie opens them")
	}
	kept, err := r.takeTokens(t.Context(), l.Session, l.Cookie)
	if err != nil || kept.Refresh != refreshToken || len(kept.ID) < 100 {
		t.Fatalf("the cookie opens %+v: %v", kept, err)
	}
	for _, secret := range []string{kept.Refresh, kept.ID[:20], kept.ID[len(kept.ID)-20:], r.idp.URL} {
		if strings.Contains(string(n.Data), secret) {
			t.Errorf("the note shows %q", secret)
		}
	}
}

func TestHowTheGateProvesWhoItIs(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Provider)
		check  func(t *testing.T, r *http.Request, issuer string)
	}{
		"Public": {func(*Provider) {}, func(t *testing.T, r *http.Request, _ string) {
			if r.PostForm.Get("client_id") != "gate" || r.Header.Get("Authorization") != "" {
				t.Errorf("%v", r.PostForm)
			}
		}},
		"Basic": {func(p *Provider) { p.ClientSecret = "a b:c%" }, func(t *testing.T, r *http.Request, _ string) {
			id, secret, _ := r.BasicAuth()
			if id != "gate" || secret != "a+b%3Ac%25" || r.PostForm.Has("client_secret") {
				t.Errorf("%q %q %v", id, secret, r.PostForm)
			}
		}},
		"Post": {func(p *Provider) { p.ClientSecret, p.ClientAuth = "s", AuthPost }, func(t *testing.T, r *http.Request, _ string) {
			if r.PostForm.Get("client_secret") != "s" || r.Header.Get("Authorization") != "" {
				t.Errorf("%v", r.PostForm)
			}
		}},
		"RSAKey": {func(p *Provider) { p.PrivateKey, p.KeyID = rsaKey, "key 1" }, checkAssertion(rsaKey.Public(), jose.RS256)},
		"ECKey":  {func(p *Provider) { p.PrivateKey, p.KeyID = ecKey, "key 1" }, checkAssertion(ecKey.Public(), jose.ES256)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) { c.change(&o.Providers[0]) })
			var seen *http.Request
			r.idp.answer["/token"] = func(w http.ResponseWriter, req *http.Request) { seen = req; w.WriteHeader(http.StatusBadRequest) }
			if _, err := r.signIn(t); err == nil || seen == nil {
				t.Fatal("the token endpoint was not asked")
			}
			c.check(t, seen, r.idp.URL)
		})
	}
}

func checkAssertion(key crypto.PublicKey, alg jose.SignatureAlgorithm) func(*testing.T, *http.Request, string) {
	return func(t *testing.T, r *http.Request, issuer string) {
		token, err := jwt.ParseSigned(r.PostForm.Get("client_assertion"), []jose.SignatureAlgorithm{alg})
		if err != nil {
			t.Fatal(err)
		}
		var c jwt.Claims
		if err := token.Claims(key, &c); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(jwt.Expected{Issuer: "gate", Subject: "gate", AnyAudience: jwt.Audience{issuer}, Time: noon}); err != nil || c.ID == "" || token.Headers[0].KeyID != "key 1" {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestProvidersThatCannotWorkAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	good := Provider{ID: "one", Issuer: "https://idp.example", ClientID: "gate"}
	for name, change := range map[string]func(*Provider){
		"id": func(p *Provider) { p.ID = "One" }, "local": func(p *Provider) { p.ID = "local" }, "issuer": func(p *Provider) { p.Issuer = "http://idp.example" },
		"issuer ": func(p *Provider) { p.Issuer = "idp.example" }, "client_id": func(p *Provider) { p.ClientID = "" },
		"client_auth": func(p *Provider) { p.ClientAuth = "magic" }, "client_secret": func(p *Provider) { p.ClientAuth = AuthBasic },
		"private_key": func(p *Provider) { p.ClientAuth = AuthPrivateKey }, "none": func(p *Provider) { p.ClientAuth, p.ClientSecret = AuthNone, "s" },
		"domains": func(p *Provider) { p.Domains = []string{"*.company.com"} }, "default_role": func(p *Provider) { p.DefaultRole = "a,b" },
		"max_age": func(p *Provider) { p.MaxAge = -1 },
	} {
		p := good
		change(&p)
		if err := p.complete(); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(strings.TrimSuffix(name, "_key"))) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
