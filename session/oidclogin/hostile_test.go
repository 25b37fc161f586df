package oidclogin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// TestHostileTokens has a provider send what must open nothing.
func TestHostileTokens(t *testing.T) {
	t.Parallel()
	set := func(name string, v any) func(*testing.T, *rig) {
		return func(_ *testing.T, r *rig) { r.idp.claims[name] = v }
	}
	unset := func(name string) func(*testing.T, *rig) {
		return func(_ *testing.T, r *rig) {
			sign := r.idp.sign
			r.idp.sign = func(c map[string]any) string { delete(c, name); return sign(c) }
		}
	}
	signs := func(f func(t *testing.T, h *hostile, claims map[string]any) string) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) {
			r.idp.sign = func(c map[string]any) string { return f(t, r.idp, c) }
		}
	}
	none := func(alg string) func(*testing.T, *rig) {
		return signs(func(t *testing.T, _ *hostile, c map[string]any) string {
			body, _ := json.Marshal(c)
			return b64(`{"alg":"`+alg+`","kid":"k1"}`) + "." + b64(string(body)) + "."
		})
	}
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	reply, clock := session.LoginReply, session.LoginClock
	for _, c := range []struct {
		name   string
		change func(*testing.T, *rig)
		want   session.LoginReason
	}{
		{"A6NonceAbsent", unset("nonce"), reply},
		{"A6NonceWrong", set("nonce", "another"), reply},
		{"A6NonceEmpty", set("nonce", ""), reply},
		{"A7AlgNone", none("none"), reply},
		{"A7AlgNoneOtherCase", none("nOnE"), reply},
		{"A7AlgEmpty", none(""), reply},
		{"A8HS256WithThePublishedKey", signs(hmacWithPublicKey), reply},
		{"A9UnknownKid", signs(func(t *testing.T, h *hostile, c map[string]any) string {
			return strangers(t, c, "nobody", nil)
		}), reply},
		{"A9KnownKidOfAnotherKey", signs(func(t *testing.T, h *hostile, c map[string]any) string {
			return strangers(t, c, "k1", nil)
		}), reply},
		{"A10EmbeddedKey", signs(func(t *testing.T, h *hostile, c map[string]any) string {
			return strangers(t, c, "", (&jose.SignerOptions{EmbedJWK: true}))
		}), reply},
		{"A10KeyAddress", signs(func(t *testing.T, h *hostile, c map[string]any) string {
			return strangers(t, c, "k1", (&jose.SignerOptions{}).WithHeader("jku", h.URL+"/evil").WithHeader("x5u", h.URL+"/evil"))
		}), reply},
		{"A11IssuerWithASlash", func(_ *testing.T, r *rig) { r.idp.claims["iss"] = r.idp.URL + "/" }, reply},
		{"A11ForeignAudience", set("aud", "another"), reply},
		{"A11NoAudience", unset("aud"), reply},
		{"A11Expired", set("exp", at(-time.Second)), clock},
		{"A11NoExpiry", unset("exp"), clock},
		{"A11IssuedInTheFuture", set("iat", at(2*time.Minute)), clock},
		{"A11NotIssued", unset("iat"), reply},
		{"ExtraAudience", set("aud", []string{"gate", "another"}), reply},
		{"ExtraAudienceWithOurAzp", func(_ *testing.T, r *rig) {
			r.idp.claims["aud"], r.idp.claims["azp"] = []string{"gate", "another"}, "gate"
		}, reply},
		{"ForeignAzp", set("azp", "another"), reply},
		{"AzpOfAnotherType", set("azp", 7), reply},
		{"EmptySubject", set("sub", ""), reply},
		{"NoSubject", unset("sub"), reply},
		{"LongSubject", set("sub", strings.Repeat("s", 256)), reply},
		{"SubjectWithALineEnd", set("sub", "a\nb"), reply},
		{"WrongAtHash", set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), reply},
		{"EmptyAtHash", set("at_hash", ""), reply},
		{"A15Encrypted", signs(func(*testing.T, *hostile, map[string]any) string { return "a.b.c.d.e" }), reply},
		{"A15Zip", signs(func(t *testing.T, h *hostile, c map[string]any) string {
			return h.signed(t, c, map[jose.HeaderKey]any{"zip": "DEF"})
		}), reply},
		{"A15Critical", signs(func(t *testing.T, h *hostile, c map[string]any) string {
			return h.signed(t, c, map[jose.HeaderKey]any{"crit": []string{"exp"}})
		}), reply},
		{"A15Large", set("filler", strings.Repeat("x", 65<<10)), reply},
		{"NoToken", signs(func(*testing.T, *hostile, map[string]any) string { return "" }), reply},
		{"UserinfoOfSomebodyElse", func(_ *testing.T, r *rig) {
			delete(r.idp.claims, "email")
			r.idp.userinfo = map[string]any{"sub": "s2", "email": "ceo@kappa4.com"}
		}, reply},
		{"RoleWithAComma", set("roles", []string{"user,admin"}), session.LoginIdentity},
		{"RoleWithALineEnd", set("roles", []string{"user\r\nx-evil: 1"}), session.LoginIdentity},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			q := r.start(t, "one")
			c.change(t, r)
			l, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {q.Get("state")}})
			if l != nil {
				t.Fatal("it opened a session")
			}
			wantReason(t, err, c.want)
			if n, _ := r.store.CountLive(t.Context(), noon); n != 0 {
				t.Errorf("%d sessions were left", n)
			}
			if n := r.idp.calls("/evil"); n != 0 {
				t.Errorf("the token's own key address was fetched")
			}
		})
	}
}

// hmacWithPublicKey signs with HS256 and the published key's bytes as secret.
func hmacWithPublicKey(t *testing.T, h *hostile, c map[string]any) string {
	secret, err := json.Marshal(h.public())
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// strangers signs with a key that is not the provider's.
func strangers(t *testing.T, c map[string]any, kid string, o *jose.SignerOptions) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if o == nil {
		o = &jose.SignerOptions{}
	}
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestHostileCallbacks: none of them reaches the token endpoint.
func TestHostileCallbacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		provider string
		browsers []string
		query    func(r *rig, state string) url.Values
		want     session.LoginReason
	}{
		{"A1Empty", "one", []string{browser}, func(*rig, string) url.Values { return nil }, session.LoginState},
		{"A1NoState", "one", []string{browser}, func(*rig, string) url.Values { return url.Values{"code": {"c"}} }, session.LoginState},
		{"A1ForeignState", "one", []string{browser}, func(*rig, string) url.Values {
			return url.Values{"code": {"c"}, "state": {strings.Repeat("x", 43)}}
		}, session.LoginState},
		{"A1StateTwice", "one", []string{browser}, func(_ *rig, s string) url.Values { return url.Values{"code": {"c"}, "state": {s, s}} }, session.LoginState},
		{"A2AnotherBrowser", "one", []string{"mallory"}, func(_ *rig, s string) url.Values { return url.Values{"code": {"c"}, "state": {s}} }, session.LoginState},
		{"A2NoBrowser", "one", nil, func(_ *rig, s string) url.Values { return url.Values{"code": {"c"}, "state": {s}} }, session.LoginState},
		{"A4AnotherCallback", "two", []string{browser}, func(_ *rig, s string) url.Values { return url.Values{"code": {"c"}, "state": {s}} }, session.LoginState},
		{"A4AnothersIssuer", "one", []string{browser}, func(r *rig, s string) url.Values {
			return url.Values{"code": {"c"}, "state": {s}, "iss": {r.other.URL}}
		}, session.LoginState},
		{"A4IssuerTwice", "one", []string{browser}, func(r *rig, s string) url.Values {
			return url.Values{"code": {"c"}, "state": {s}, "iss": {r.idp.URL, r.other.URL}}
		}, session.LoginState},
		{"NoCode", "one", []string{browser}, func(_ *rig, s string) url.Values { return url.Values{"state": {s}} }, session.LoginReply},
		{"Denied", "one", []string{browser}, func(_ *rig, s string) url.Values {
			return url.Values{"state": {s}, "error": {"access_denied"}, "error_description": {"<script>"}}
		}, session.LoginDenied},
		{"A19OddError", "one", []string{browser}, func(_ *rig, s string) url.Values {
			return url.Values{"state": {s}, "error": {"<script>alert(1)</script>"}}
		}, session.LoginReply},
		{"UnknownProvider", "three", []string{browser}, func(_ *rig, s string) url.Values { return url.Values{"code": {"c"}, "state": {s}} }, session.LoginUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			state := r.start(t, "one").Get("state")
			_, err := r.Finish(t.Context(), session.FinishLogin{Provider: c.provider, Query: c.query(r, state), Browsers: c.browsers})
			wantReason(t, err, c.want)
			if n := r.idp.calls("/token") + r.other.calls("/token"); n != 0 {
				t.Errorf("%d token calls", n)
			}
			if err != nil && strings.Contains(err.Error(), "<script>") {
				t.Errorf("the error repeats what the address said: %v", err)
			}
			if c.want != session.LoginState {
				return
			}
			// Whose it is can still use it.
			if _, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {state}}); err != nil {
				t.Errorf("the state was used up: %v", err)
			}
		})
	}
}

// A3
func TestACallbackIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	state := r.start(t, "one").Get("state")
	var opened atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {state}}); err == nil {
				opened.Add(1)
			}
		})
	}
	all.Wait()
	if opened.Load() != 1 || r.idp.calls("/token") != 1 {
		t.Errorf("%d sessions, %d token calls, want one each", opened.Load(), r.idp.calls("/token"))
	}
}

func TestAStateIsTooOldAfterTenMinutes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	state := r.start(t, "one").Get("state")
	r.clock.add(10 * time.Minute)
	_, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {state}})
	wantReason(t, err, session.LoginState)
}

func TestAPromisedIssuerMustCome(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.idp.metadata["authorization_response_iss_parameter_supported"] = true
	state := r.start(t, "one").Get("state")
	_, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {state}})
	wantReason(t, err, session.LoginState)
	if _, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {state}, "iss": {r.idp.URL}}); err != nil {
		t.Error(err)
	}
}

func TestTheChallengeIsThatOfTheVerifier(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	q := r.start(t, "one")
	if _, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {q.Get("state")}}); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(r.idp.form.Get("code_verifier")))
	if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("challenge %q by %q", q.Get("code_challenge"), q.Get("code_challenge_method"))
	}
	if q.Get("redirect_uri") != gateOrigin+"/callback/one" || r.idp.form.Get("redirect_uri") != q.Get("redirect_uri") {
		t.Errorf("redirect URIs %q and %q", q.Get("redirect_uri"), r.idp.form.Get("redirect_uri"))
	}
}
