package attack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/test/idp/hostile"
	"github.com/neosc/gate/test/kit"
)

// forged has the forger hand out ID tokens as sign makes them, and holds that
// none opens a session.
func (s *siege) forged(t *testing.T, what string, sign func(c map[string]any) string, statuses ...int) {
	t.Helper()
	s.world.Issuer("forger").Behave(hostile.Behaviour{Sign: sign})
	p, r := s.comesBack(t, "forger", hostile.Person(nil))
	status := http.StatusBadGateway
	if len(statuses) > 0 {
		status = statuses[0]
	}
	s.turnedAway(t, "an ID token: "+what, p, r, status)
}

// changed is forged for a token of the forger's own key whose claims differ.
func (s *siege) changed(t *testing.T, what string, change func(c map[string]any), statuses ...int) {
	t.Helper()
	key := s.world.Issuer("forger").Key()
	s.forged(t, what, func(c map[string]any) string { change(c); return key.Sign(c, nil) }, statuses...)
}

// bearer asks the portal, or another host, with a token.
func (s *siege) bearer(host, token string) request {
	return request{method: "GET", host: s.host(host), target: "/api/whoami", header: with(program, "Authorization: Bearer "+token)}
}

// noBearer holds that a token opens nothing.
func (s *siege) noBearer(t *testing.T, what, token string) {
	t.Helper()
	s.both(t, s.bearer("portal", token), func(proto string, a answer) {
		s.refused(t, proto+" a bearer: "+what, a, http.StatusUnauthorized)
	})
}

// A6: an ID token is for one sign-in.
func nonces(t *testing.T, s *siege) {
	used := ""
	s.world.Issuer("forger").Behave(hostile.Behaviour{Claims: func(c map[string]any) { used, _ = c["nonce"].(string) }})
	s.signedInAt(t, "forger", hostile.Person(nil))
	for what, v := range map[string]any{"no nonce": nil, "an empty nonce": "", "another nonce": "another", "the nonce of before": used, "a nonce that is a list": []string{used}} {
		s.changed(t, what, func(c map[string]any) {
			if c["nonce"] = v; v == nil {
				delete(c, "nonce")
			}
		})
	}
}

// A7: a token that nobody signed.
func algorithmNone(t *testing.T, s *siege) {
	good := s.world.Issuer("good")
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "null"} {
		for _, signature := range []string{"", "AAAA"} {
			s.forged(t, "alg "+alg, func(c map[string]any) string {
				return hostile.Raw(map[string]any{"alg": alg, "kid": "k1"}, c, signature)
			})
			s.noBearer(t, "alg "+alg, hostile.Raw(map[string]any{"alg": alg, "kid": "k1", "typ": "at+jwt"}, good.AccessClaims(nil), signature))
		}
	}
	s.noBearer(t, "no alg", hostile.Raw(map[string]any{"kid": "k1", "typ": "at+jwt"}, good.AccessClaims(nil), "AAAA"))
}

// A8: what is published is no secret.
func publishedKeyAsSecret(t *testing.T, s *siege) {
	forger, good := s.world.Issuer("forger").Key(), s.world.Issuer("good")
	s.forged(t, "HS256", func(c map[string]any) string { return hostile.HMAC(forger.Public(), forger.ID, c, nil) })
	s.noBearer(t, "HS256", hostile.HMAC(good.Key().Public(), good.Key().ID, good.AccessClaims(nil), hostile.AccessType()))
}

// A9: key ids that somebody makes up cost few fetches.
func madeUpKeys(t *testing.T, s *siege) {
	kids := s.world.Issuer("kids")
	kids.Behave(hostile.Behaviour{Sign: func(c map[string]any) string {
		return hostile.NewKey(fmt.Sprint("made-up-", time.Now().UnixNano())).Sign(c, nil)
	}})
	began := time.Now()
	for range 10 {
		p, r := s.comesBack(t, "kids", hostile.Person(nil))
		s.turnedAway(t, "an ID token of an unknown key", p, r, http.StatusBadGateway)
	}
	for i := range 60 {
		s.noBearer(t, "an unknown key", hostile.NewKey(fmt.Sprint("made-up-", i)).Sign(kids.AccessClaims(nil), hostile.AccessType()))
	}
	s.noBearer(t, "an odd key id", hostile.NewKey("../../keys?x=\x00").Sign(kids.AccessClaims(nil), hostile.AccessType()))
	s.noBearer(t, "a long key id", hostile.NewKey(strings.Repeat("k", 5000)).Sign(kids.AccessClaims(nil), hostile.AccessType()))
	s.noBearer(t, "the id of another's key", hostile.NewKey("k1").Sign(kids.AccessClaims(nil), hostile.AccessType()))
	// Sign-in and bearer keep keys each, and fetch at most every ten seconds.
	if n, most := kids.Calls("keys"), 4+2*int(time.Since(began)/(10*time.Second)); n > most {
		t.Errorf("%d fetches of the keys in %v, want at most %d", n, time.Since(began), most)
	}
}

// A10: a token does not say which key proves it.
func keysInTokens(t *testing.T, s *siege) {
	good := s.world.Issuer("good")
	evil := s.world.Issuer("twin").URL + "/evil"
	for what, head := range map[string]map[string]any{"jwk": {}, "jku": {"jku": evil}, "x5u": {"x5u": evil}, "jku and a known id": {"jku": evil, "kid": "k1"}} {
		s.forged(t, what, func(c map[string]any) string { return hostile.Embedded(c, head) })
		head["typ"] = "at+jwt"
		s.noBearer(t, what, hostile.Embedded(good.AccessClaims(nil), head))
	}
	if n := s.world.Issuer("twin").Calls("evil"); n != 0 {
		t.Errorf("the tokens' own addresses were fetched %d times", n)
	}
}

// A11: each of the claims that bind a token.
func claimsThatDoNotHold(t *testing.T, s *siege) {
	forger, good, now := s.world.Issuer("forger"), s.world.Issuer("good"), time.Now()
	away := http.StatusServiceUnavailable // the clock's page: somebody can do something about it
	for what, c := range map[string]struct {
		claim  string
		value  any
		status int
	}{
		"issuer with a slash": {"iss", forger.URL + "/", 502}, "another issuer": {"iss", good.URL, 502}, "foreign audience": {"aud", "another", 502}, "an audience more": {"aud", []string{"gate", "another"}, 502},
		"expired": {"exp", now.Add(-time.Hour).Unix(), away}, "from the future": {"iat", now.Add(time.Hour).Unix(), away}, "foreign party": {"azp", "another", 502}, "no subject": {"sub", "", 502},
	} {
		s.changed(t, what, func(claims map[string]any) { claims[c.claim] = c.value }, c.status)
	}
	for what, change := range map[string]map[string]any{
		"issuer with a slash": {"iss": good.URL + "/"}, "another issuer": {"iss": forger.URL}, "no issuer": {"iss": nil}, "foreign audience": {"aud": "another"}, "no audience": {"aud": nil},
		"audience of another case": {"aud": "API"}, "expired": {"exp": now.Add(-time.Hour).Unix()}, "no end": {"exp": nil}, "from the future": {"iat": now.Add(time.Hour).Unix()},
		"not yet": {"nbf": now.Add(time.Hour).Unix()}, "an end as text": {"exp": "never"}, "no subject": {"sub": nil},
	} {
		s.noBearer(t, what, good.AccessToken(change))
	}
	s.both(t, s.bearer("api.portal", good.AccessToken(nil)), func(proto string, a answer) { s.arrived(t, proto+" the good one", a) })
}

// whoami is what the backend was told of a person.
func (s *siege) whoami(t *testing.T, p *kit.Person) map[string][]string {
	t.Helper()
	r := p.Do(t, "GET", s.Origin("api.portal")+"/api/whoami", nil, "Accept", "application/json")
	return s.arrived(t, "who a person is", answer{r.StatusCode, r.Header, r.Text}).Headers
}

// A12: a subject, or an address, is somebody else at another provider.
func sameNameElsewhere(t *testing.T, s *siege) {
	sub := map[string]any{"sub": "same", "sid": "same", "roles": []string{"admin"}}
	boss := s.signedInAt(t, "good", hostile.Person(sub))
	sub["roles"] = []string{"user"}
	other := s.signedInAt(t, "twin", hostile.Person(sub))
	third := s.signedInAt(t, "good", hostile.Person(map[string]any{"sub": "third", "sid": "third"}))
	ids := map[string]bool{}
	for _, p := range []*kit.Person{boss, other, third} {
		ids[strings.Join(s.whoami(t, p)["X-Pomerium-User"], "|")] = true
	}
	if len(ids) != 3 || ids[""] {
		t.Errorf("three people are %v", ids)
	}
	for p, want := range map[*kit.Person]int{boss: 200, other: 403} {
		if r := p.Do(t, "GET", s.Origin("admin.portal")+"/api/whoami", nil, "Accept", "application/json"); r.StatusCode != want {
			t.Errorf("the admin host answered %s, want %d", r.Status, want)
		}
	}
	// What ends one's sessions leaves the other's.
	if status := s.logOut(t, "twin", s.world.Issuer("twin").LogoutToken(map[string]any{"sub": "same", "sid": nil})); status != http.StatusOK {
		t.Errorf("the logout got %d", status)
	}
	if !s.lives(t, boss.Session()) || s.lives(t, other.Session()) {
		t.Error("a logout by subject ended the session of the other provider's user, or not its own")
	}
}

// A13: an address of two domains is of none.
func twoDomains(t *testing.T, s *siege) {
	for email, want := range map[string]string{"a@company.com": "a@company.com", "a@evil.com@company.com": "", "a@company.com@evil.com": "", "a@evilcompany.com": "", "a@company.com.": "", "a@xn--company-.com": ""} {
		p := s.signedInAt(t, "company", hostile.Person(map[string]any{"email": email, "email_verified": nil, "org": "O1", "sub": email}))
		if got := strings.Join(s.whoami(t, p)["X-Pomerium-Email"], "|"); got != want {
			t.Errorf("%s arrives as %q, want %q", email, got, want)
		}
	}
}

// assertion is what the gate tells an upstream of somebody, by its own keys.
func (s *siege) assertion(t *testing.T, who *session.Session, host string) string {
	t.Helper()
	keys, err := assertion.Read(filepath.Join(s.State, "assertion-keys.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := assertion.New(assertion.Options{Keys: keys, Issuer: s.Origin("gate")})
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.Assertion(who, host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A14: tokens that say something else open nothing.
func otherTokensAsBearer(t *testing.T, s *siege) {
	good := s.world.Issuer("good")
	p := s.signedInAt(t, "good", hostile.Person(nil))
	who := &session.Session{Identity: session.Identity{Provider: "good", Issuer: good.URL, UserID: "s1", Subject: "s1", Email: "nora@kappa4.com", EmailVerified: true, Roles: []string{"admin"}}, Key: session.NewID().Key(), ExpiresAt: time.Now().Add(time.Hour), IdleExpiresAt: time.Now().Add(time.Hour)}
	for what, token := range map[string]string{
		"a logout token": good.LogoutToken(nil), "a logout token for the API": good.LogoutToken(map[string]any{"aud": "api", "exp": time.Now().Add(time.Hour).Unix()}),
		"the gate's assertion": s.assertion(t, who, s.host("portal")), "the gate's assertion for the API": s.assertion(t, who, "api"), "an ID token": good.Key().Sign(good.AccessClaims(map[string]any{"aud": "gate", "nonce": "n"}), nil), "an ID token for the API": good.Key().Sign(good.AccessClaims(map[string]any{"nonce": "n"}), nil),
		"no type": good.Key().Sign(good.AccessClaims(nil), map[string]any{"typ": nil}), "a session": p.Session(),
	} {
		s.noBearer(t, what, token)
	}
}

// A15: tokens that cost, or that a careless reader takes for another kind.
func bombs(t *testing.T, s *siege) {
	good, forger := s.world.Issuer("good"), s.world.Issuer("forger").Key()
	body := strings.Repeat("A", 4000)
	jwe := func(head map[string]any) string {
		b, err := json.Marshal(head)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b) + "." + body + ".AAAAAAAAAAAAAAAA." + body + ".AAAAAAAAAAAAAAAAAAAAAA"
	}
	emptyKey := func(c map[string]any) string {
		text := strings.TrimSuffix(hostile.Raw(map[string]any{"alg": "HS256", "kid": "k1", "typ": "at+jwt"}, c, ""), ".")
		mac := hmac.New(sha256.New, nil)
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	began := time.Now()
	for what, token := range map[string]string{
		"PBES2 with two thousand million rounds": jwe(map[string]any{"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 1<<31 - 1, "p2s": "AAAA"}), "dir": jwe(map[string]any{"alg": "dir", "enc": "A128GCM", "zip": "DEF"}),
		"deep": strings.Repeat("a.", 3000), "nested": strings.Repeat("[", 6000), "dots": "..", "many parts": strings.Repeat(".", 4000),
	} {
		s.forged(t, what, func(map[string]any) string { return token })
		s.noBearer(t, what, token)
	}
	for what, head := range map[string]map[string]any{"zip": {"zip": "DEF"}, "crit": {"crit": []string{"exp"}}, "b64": {"b64": false, "crit": []string{"b64"}}} {
		s.forged(t, what, func(c map[string]any) string { return forger.Sign(c, head) })
		head["typ"] = "at+jwt"
		s.noBearer(t, what, good.Key().Sign(good.AccessClaims(nil), head))
	}
	s.forged(t, "the empty key", emptyKey)
	s.noBearer(t, "the empty key", emptyKey(good.AccessClaims(nil)))
	s.changed(t, "a megabyte", func(c map[string]any) { c["filler"] = strings.Repeat("x", 1<<20) }, http.StatusServiceUnavailable)
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("they took %v", took)
	}
}

// A17: a token that is known is judged by every rule anew.
func tokenAtAnotherRule(t *testing.T, s *siege) {
	good := s.world.Issuer("good")
	user := good.AccessToken(map[string]any{"sub": "u", "jti": "same", "roles": []string{"user"}})
	admin := good.AccessToken(map[string]any{"sub": "a", "jti": "same", "roles": []string{"admin"}})
	for round := range 3 {
		for _, c := range []struct {
			host, token string
			status      int
		}{{"portal", user, 200}, {"admin.portal", user, 403}, {"admin.portal", admin, 200}, {"admin.portal", user, 403}, {"portal", admin, 200}, {"portal", user, 200}} {
			s.both(t, s.bearer(c.host, c.token), func(proto string, a answer) {
				if a.status != c.status {
					t.Errorf("round %d, %s: %s answered %d, want %d\n%.300s", round, proto, c.host, a.status, c.status, a.body)
				}
			})
		}
	}
	// Beside another's cookie the token counts, and a bad one is not made good.
	boss := s.signedInAt(t, "good", hostile.Person(map[string]any{"roles": []string{"admin"}}))
	r := s.bearer("admin.portal", user)
	r.header = with(r.header, "Cookie: _pomerium="+boss.Session())
	s.both(t, r, func(proto string, a answer) { s.refused(t, proto+" beside a cookie", a, 401, 403) })
}

// A18: the scope by which the browser may choose an organization is a wish; what
// counts is what the provider says.
func editedScope(t *testing.T, s *siege) {
	p := s.visitor(t)
	to := strings.Replace(s.starts(t, p, "company"), "scope=", "scope=urn%3Azitadel%3Aiam%3Aorg%3Aid%3AO2+", 1)
	callback, err := s.world.Issuer("company").Authorize(to, hostile.Person(map[string]any{"org": "O2"}))
	if err != nil {
		t.Fatal(err)
	}
	s.turnedAway(t, "another organization", p, p.Get(t, callback), http.StatusForbidden)
	for _, org := range []any{nil, "", "o1", []string{"O1"}, "O1 "} {
		p, r := s.comesBack(t, "company", hostile.Person(map[string]any{"org": org}))
		s.turnedAway(t, fmt.Sprintf("organization %q", org), p, r, http.StatusForbidden)
	}
	s.signedInAt(t, "company", hostile.Person(map[string]any{"org": "O1"}))
}

// A21: one malformed key does not disable the others.
func malformedKeys(t *testing.T, s *siege) {
	mixed := s.world.Issuer("mixed")
	mixed.Behave(hostile.Behaviour{Keys: func(good []json.RawMessage) any {
		bad := []json.RawMessage{
			json.RawMessage(`{"kty":"RSA","n":"!!","e":"AQAB","kid":"k0"}`), json.RawMessage(`7`), json.RawMessage(`{"kty":"oct","k":"","kid":"k1"}`),
			json.RawMessage(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"k1"}`), json.RawMessage(`{"kty":"XYZ"}`), json.RawMessage(`null`),
		}
		return map[string]any{"keys": append(bad, good...)}
	}})
	s.signedInAt(t, "mixed", hostile.Person(nil))
	s.both(t, s.bearer("api.portal", mixed.AccessToken(nil)), func(proto string, a answer) { s.arrived(t, proto+" a bearer of the good key", a) })
	s.noBearer(t, "the empty symmetric key", hostile.Raw(map[string]any{"alg": "HS256", "kid": "k1", "typ": "at+jwt"}, mixed.AccessClaims(nil), "AAAA"))
}
