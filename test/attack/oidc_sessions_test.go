package attack

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/idp/hostile"
)

// S2: nothing that a sign-in under way consists of is a session.
func stateAsSession(t *testing.T, s *siege) {
	p := s.visitor(t)
	callback := s.agrees(t, p, "good", hostile.Person(nil))
	at, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{"the state": at.Query().Get("state"), "the code": at.Query().Get("code")}
	for _, c := range p.Jar.Cookies(at) {
		parts["the cookie "+c.Name] = c.Value
	}
	if len(parts) < 3 {
		t.Errorf("a sign-in under way consists of %v", parts)
	}
	for what, value := range parts {
		for _, v := range []string{value, "v1." + value, "v1.x." + value} {
			s.dead(t, what, v)
			s.noBearer(t, what, v)
		}
	}
	// Nor is a session a sign-in under way.
	live := s.signedInAt(t, "good", hostile.Person(nil))
	binding := ""
	for _, c := range p.Jar.Cookies(at) {
		if strings.Contains(c.Name, "_login-") {
			binding = c.Name
		}
	}
	q := at.Query()
	r := request{method: "GET", host: at.Host, header: with(navigation, "Cookie: "+binding+"="+live.Session()), target: at.RequestURI()}
	s.silent(t, func() {
		s.both(t, r, func(proto string, a answer) {
			s.declined(t, proto+" a session as the browser's secret", a, http.StatusBadRequest)
		})
		q.Set("state", live.Session())
		r.target = "/callback/good?" + q.Encode()
		s.both(t, r, func(proto string, a answer) {
			s.declined(t, proto+" a session as the state", a, http.StatusBadRequest, http.StatusRequestURITooLong)
		})
	}, "good")
}

// logOut posts a logout token as a provider does, and returns the status.
func (s *siege) logOut(t *testing.T, provider, token string) int {
	t.Helper()
	a := s.http1(t, request{
		method: "POST", host: s.host("gate"), target: "/backchannel-logout/" + provider, body: url.Values{"logout_token": {token}}.Encode(),
		header: []string{"Content-Type: application/x-www-form-urlencoded"},
	})
	s.clean(t, "a logout at "+provider, a)
	return a.status
}

// S9: a logout token that anything is wrong with ends nothing; a good one ends
// what it names, once.
func forgedLogouts(t *testing.T, s *siege) {
	good := s.world.Issuer("good")
	who := map[string]any{"sub": "s9", "sid": "sid9"}
	p := s.signedInAt(t, "good", hostile.Person(who))
	token := func(change map[string]any) string {
		c := good.LogoutClaims(who)
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return good.Key().Sign(c, map[string]any{"typ": "logout+jwt"})
	}
	event := "http://schemas.openid.net/event/backchannel-logout"
	for what, forged := range map[string]string{
		"a nonce": token(map[string]any{"nonce": "n"}), "foreign audience": token(map[string]any{"aud": "another"}), "no audience": token(map[string]any{"aud": nil}), "the API's audience": token(map[string]any{"aud": "api"}),
		"foreign issuer": token(map[string]any{"iss": s.world.Issuer("twin").URL}), "no events": token(map[string]any{"events": nil}), "another event": token(map[string]any{"events": map[string]any{"x": map[string]any{}}}),
		"events as text": token(map[string]any{"events": event}), "an event of null": token(map[string]any{"events": map[string]any{event: nil}}), "no jti": token(map[string]any{"jti": nil}), "no iat": token(map[string]any{"iat": nil}),
		"old": token(map[string]any{"iat": time.Now().Add(-2 * time.Hour).Unix()}), "expired": token(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "nobody": token(map[string]any{"sub": nil, "sid": nil}),
		"a stranger's key": hostile.NewKey("k1").Sign(good.LogoutClaims(who), nil), "its own key": hostile.Embedded(good.LogoutClaims(who), nil), "nobody's signature": hostile.Raw(map[string]any{"alg": "none"}, good.LogoutClaims(who), ""),
		"an access token": good.AccessToken(who), "an ID token": good.Key().Sign(good.AccessClaims(map[string]any{"aud": "gate", "sub": "s9", "sid": "sid9"}), nil), "junk": "a.b.c", "nothing": "", "large": strings.Repeat("a", 60<<10),
	} {
		if status := s.logOut(t, "good", forged); status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s got %d", what, status)
		}
		if !s.lives(t, p.Session()) {
			t.Fatalf("%s ended the session", what)
		}
	}
	real := token(nil)
	if status := s.logOut(t, "twin", real); status != http.StatusBadRequest {
		t.Errorf("at another provider's address: %d", status)
	}
	for _, method := range []string{"GET", "PUT"} {
		a := s.http1(t, request{method: method, host: s.host("gate"), target: "/backchannel-logout/good?" + url.Values{"logout_token": {real}}.Encode(), header: navigation})
		s.declined(t, method, a, http.StatusMethodNotAllowed, http.StatusNotFound, http.StatusUnauthorized, http.StatusFound)
	}
	if !s.lives(t, p.Session()) {
		t.Fatal("a logout token at the wrong door ended the session")
	}
	if status := s.logOut(t, "good", real); status != http.StatusOK {
		t.Fatalf("the real one got %d", status)
	}
	within(t, bound(time.Second), "the session is over", func() bool { return !s.lives(t, p.Session()) })
	s.dead(t, "a session after its provider's logout", p.Session())
	if status := s.logOut(t, "good", real); status != http.StatusBadRequest {
		t.Errorf("the same once more got %d", status)
	}
	// A token that names the user is no use against a sign-in after it.
	byUser := token(map[string]any{"sid": nil})
	if status := s.logOut(t, "good", byUser); status != http.StatusOK {
		t.Errorf("by user: %d", status)
	}
	later := time.Now().Truncate(time.Second).Add(time.Second) // iat has whole seconds
	within(t, 20*time.Second, "another second", func() bool { return time.Now().After(later) })
	again := s.signedInAt(t, "good", hostile.Person(map[string]any{"sub": "s9", "sid": "sid9b"}))
	if status := s.logOut(t, "good", byUser); status != http.StatusBadRequest || !s.lives(t, again.Session()) {
		t.Errorf("by user, once more: %d", status)
	}
}

// S10: a logout that comes before the callback holds.
func logoutFirst(t *testing.T, s *siege) {
	for what, change := range map[string]map[string]any{"session and user": {"sub": "s10", "sid": "sid10"}, "session": {"sub": nil, "sid": "sid11"}, "user": {"sub": "s12", "sid": nil}} {
		claims := map[string]any{"sub": "s10", "sid": "sid-of-its-own"}
		for k, v := range change {
			if v != nil {
				claims[k] = v
			}
		}
		p := s.visitor(t)
		callback := s.agrees(t, p, "good", hostile.Person(claims))
		if status := s.logOut(t, "good", s.world.Issuer("good").LogoutToken(change)); status != http.StatusOK {
			t.Fatalf("the logout by %s got %d", what, status)
		}
		s.world.Issuer("good").Behave(hostile.Behaviour{Claims: func(c map[string]any) {
			c["iat"] = time.Now().Add(-2 * time.Second).Unix() // the token was made before the logout
		}})
		r := p.Get(t, callback)
		s.world.Issuer("good").Behave(hostile.Behaviour{})
		s.turnedAway(t, "a logout by "+what+" first", p, r, http.StatusBadRequest)
	}
}

// B4: what is taken from somebody at the provider is gone here with the next
// refresh, under the session that they have. It began with the demo: no refresh
// is sooner than half a minute.
func removedClaim(t *testing.T, s *siege) {
	admin := func() int { return s.http1(t, s.asks("admin.portal", "_pomerium="+s.early)).status }
	within(t, 3*time.Minute, "the role is gone", func() bool { time.Sleep(50 * time.Millisecond); return admin() == http.StatusForbidden })
	s.both(t, s.asks("admin.portal", "_pomerium="+s.early), func(proto string, a answer) {
		s.refused(t, proto+" what only an admin may", a, http.StatusForbidden)
	})
	if !s.lives(t, s.early) {
		t.Error("the session is over, though only a role was taken")
	}
	if n := s.world.Issuer("short").Calls("token"); n != 2 {
		t.Errorf("%d token calls, want the sign-in's and one refresh", n)
	}
}
