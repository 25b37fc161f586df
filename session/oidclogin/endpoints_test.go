package oidclogin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
)

// A5, A16: under such metadata nobody is sent anywhere.
func TestHostileMetadata(t *testing.T) {
	t.Parallel()
	set := func(name string, v any) func(*hostile) { return func(h *hostile) { h.metadata[name] = v } }
	answer := func(f http.HandlerFunc) func(*hostile) {
		return func(h *hostile) { h.answer["/.well-known/openid-configuration"] = f }
	}
	for _, c := range []struct {
		name   string
		change func(*hostile)
	}{
		{"A5PlainOnly", set("code_challenge_methods_supported", []string{"plain"})},
		{"A5NoMethod", set("code_challenge_methods_supported", []string{})},
		{"A16WrongIssuer", set("issuer", "https://evil.example")},
		{"A16IssuerWithASlash", func(h *hostile) { h.metadata["issuer"] = h.URL + "/" }},
		{"A16TenMegabytes", answer(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte(" "), 10<<20))
		})},
		{"A16Redirect", answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })},
		{"A16NotJSON", answer(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })},
		{"A16Error", answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })},
		{"PlainHTTPEndpoint", set("token_endpoint", "http://idp.example/token")},
		{"ScriptAddress", set("authorization_endpoint", "javascript:alert(1)")},
		{"NoKeys", set("jwks_uri", "")},
		{"SymmetricAlgorithmsOnly", set("id_token_signing_alg_values_supported", []string{"HS256", "none"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			c.change(r.idp)
			_, err := r.Start(t.Context(), session.StartLogin{Provider: "one", Browser: browser})
			wantReason(t, err, session.LoginAway)
			if r.idp.calls("/elsewhere") != 0 {
				t.Error("the redirect was followed")
			}
			r.start(t, "two") // the other provider is not touched
		})
	}
}

func TestAProviderThatIsAwayIsAskedAgainWithPauses(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	path := "/.well-known/openid-configuration"
	r.idp.answer[path] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	try := func() error {
		_, err := r.Start(t.Context(), session.StartLogin{Provider: "one", Browser: browser})
		return err
	}
	for range 600 { // ten minutes of a try a second
		wantReason(t, try(), session.LoginAway)
		r.clock.add(time.Second)
	}
	if n := r.idp.calls(path); n < 10 || n > 20 {
		t.Errorf("it was asked %d times in ten minutes", n)
	}
	r.idp.mu.Lock()
	delete(r.idp.answer, path)
	r.idp.mu.Unlock()
	r.clock.add(time.Minute)
	if err := try(); err != nil {
		t.Errorf("back again: %v", err)
	}
}

// A provider whose session another tab has replaced takes back the token that
// it has just given; the person has done nothing wrong and begins anew.
func TestATokenTakenBackAtOnceIsASignInOvertaken(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]session.LoginReason{401: session.LoginSuperseded, 403: session.LoginAway, 500: session.LoginAway} {
		r := newRig(t, nil)
		delete(r.idp.claims, "roles") // so that userinfo is asked
		r.idp.answer["/userinfo"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		_, err := r.signIn(t)
		wantReason(t, err, want)
		if e, ok := errors.AsType[*session.LoginError](err); !ok || e.Anew != (status == 401) {
			t.Errorf("%d: %+v", status, e)
		}
	}
}

// A20
func TestTheTokenEndpointsRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newRig(t, nil)
		r.idp.answer["/token"] = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", r.other.URL+"/token")
			w.WriteHeader(status)
		}
		_, err := r.signIn(t)
		wantReason(t, err, session.LoginAway)
		if n := r.other.calls("/token"); n != 0 {
			t.Errorf("%d: code and verifier were posted on", status)
		}
		if n := r.idp.calls("/token"); n != 1 {
			t.Errorf("%d: the code was sent %d times", status, n)
		}
	}
}

func TestATokenEndpointsRefusalsAreToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   session.LoginReason
	}{
		{400, `{"error":"invalid_grant","error_description":"<script>"}`, session.LoginReply},
		{401, `{"error":"invalid_client"}`, session.LoginReply},
		{500, "oops", session.LoginAway}, {429, "{}", session.LoginAway}, {200, "oops", session.LoginReply},
		{200, `{"access_token":"a","token_type":"mac"}`, session.LoginReply}, {200, `{"access_token":"a","token_type":"Bearer"}`, session.LoginReply},
	} {
		r := newRig(t, nil)
		r.idp.answer["/token"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status); fmt.Fprint(w, c.body) }
		_, err := r.signIn(t)
		wantReason(t, err, c.want)
		// A code that the provider does not know any more may have been taken back
		// for another tab; what else is wrong stays wrong.
		if e, ok := errors.AsType[*session.LoginError](err); !ok || e.Anew != strings.Contains(c.body, "invalid_grant") {
			t.Errorf("%d %s: %+v", c.status, c.body, e)
		}
		if strings.Contains(fmt.Sprint(err), "script") {
			t.Errorf("the error repeats the body: %v", err)
		}
	}
}

// A9
func TestMadeUpKeyIDsCostFewFetches(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	n := 0
	r.idp.sign = func(c map[string]any) string { n++; return strangers(t, c, fmt.Sprint("made-up-", n), nil) }
	for range 40 {
		if _, err := r.signIn(t); err == nil {
			t.Fatal("it opened a session")
		}
		r.clock.add(time.Second)
	}
	if n := r.idp.calls("/keys"); n > 5 {
		t.Errorf("%d fetches of the keys in 40 s", n)
	}
}

func TestANewKeyIsFetched(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if _, err := r.signIn(t); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r.idp.keys = func() any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{r.idp.public(), {Key: key.Public(), KeyID: "k2", Algorithm: "ES256"}}}
	}
	r.idp.sign = func(c map[string]any) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k2"))
		if err != nil {
			t.Error(err)
		}
		token, _ := jwt.Signed(s).Claims(c).Serialize()
		return token
	}
	r.clock.add(keysAgain)
	if _, err := r.signIn(t); err != nil {
		t.Error(err)
	}
}

// A21
func TestAMalformedKeyDisablesNoOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	good, err := json.Marshal(r.idp.public())
	if err != nil {
		t.Fatal(err)
	}
	r.idp.keys = func() any {
		return map[string]any{"keys": []json.RawMessage{
			json.RawMessage(`{"kty":"RSA","n":"!!","e":"AQAB","kid":"k0"}`), json.RawMessage(`7`), json.RawMessage(`{"kty":"oct","k":"","kid":"k1"}`),
			json.RawMessage(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"k1"}`), json.RawMessage(`{"kty":"XYZ"}`), good,
		}}
	}
	if _, err := r.signIn(t); err != nil {
		t.Error(err)
	}
}

func TestWeakAndEmptyKeysAreNone(t *testing.T) {
	t.Parallel()
	for _, set := range []string{
		`{"keys":[]}`, `{}`, `[]`, `{"keys":[{"kty":"oct","k":"AAAA","kid":"k1"}]}`,
		`{"keys":[{"kty":"RSA","n":"` + b64(strings.Repeat("\xff", 128)) + `","e":"AQAB","kid":"k1"}]}`,
	} {
		if keys, err := parseKeys([]byte(set)); err == nil {
			t.Errorf("%.40s gave %d keys", set, len(keys))
		}
	}
}
