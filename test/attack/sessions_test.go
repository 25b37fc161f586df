package attack

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/test/kit"
)

// sessions: a session is begun by signing in, carried by one cookie, and over
// when it is over.
var sessions = []attack{
	{"S1", presetCookies}, {"S3", bitFlips}, {"S4", otherPurposes}, {"S5", twoSessions}, {"S6", replays}, {"S7", revoked},
	{"S8", signOutByImage}, {"S11", noTokenInReplies}, {"S12", demosEnd},
}

// asks sends the portal a program's GET with whatever cookie lines.
func (s *siege) asks(host string, cookies ...string) request {
	r := request{method: "GET", host: s.host(host), target: "/api/whoami", header: program}
	for _, c := range cookies {
		r.header = with(r.header, "Cookie: "+c)
	}
	return r
}

// dead holds that a cookie opens nothing on any host, over both protocols.
func (s *siege) dead(t *testing.T, what, value string) {
	t.Helper()
	for _, host := range []string{"portal", "api.portal", "admin.portal", "workspace.portal", "gate"} {
		s.both(t, s.asks(host, "_pomerium="+value), func(proto string, a answer) {
			s.refused(t, proto+" "+host+" with "+what, a, http.StatusUnauthorized)
		})
	}
}

// lives reports whether a cookie still opens the portal.
func (s *siege) lives(t *testing.T, value string) bool {
	t.Helper()
	return s.http1(t, s.asks("portal", "_pomerium="+value)).status == http.StatusOK
}

// S1: a session that was planted before the sign-in is not the one after it,
// and is dead.
func presetCookies(t *testing.T, s *siege) {
	email := "user@" + kit.Domain
	planted, _ := s.create(t, "-email", "attacker@"+kit.Domain, "-role", "user")
	own := s.visitor(t).SignIn(t, email, s.Passwords[email], s.Origin("portal")+"/").Cookies()
	first := named(own, "_pomerium")
	s.secret("a session of user", first)
	for what, preset := range map[string]string{"somebody else's": "_pomerium=" + planted, "one's own": "_pomerium=" + first, "junk": "_pomerium=junk", "junk twice": "_pomerium=junk; _pomerium=v1.a.b",
		"many": strings.Repeat("_pomerium=x; ", 40), "empty": "_pomerium="} {
		f := s.form(t)
		f.cookie += "; " + preset
		a := s.http1(t, s.post(f, email, s.Passwords[email], ""))
		if a.status != http.StatusSeeOther {
			t.Errorf("with %s as a preset cookie signing in answered %d", what, a.status)
			continue
		}
		fresh := named((&http.Response{Header: a.header}).Cookies(), "_pomerium")
		s.secret("a session of user", fresh)
		if fresh == "" || strings.Contains(preset, fresh) || !s.lives(t, fresh) {
			t.Errorf("with %s as a preset cookie signing in gave %q", what, fresh)
		}
	}
	s.dead(t, "a planted session after the sign-in", planted)
	s.dead(t, "the session before the sign-in", first)
	// Nor can a visitor choose the id.
	f := s.form(t)
	f.cookie += "; _pomerium_session_id=chosen; session=chosen"
	a := s.http1(t, s.post(f, email, s.Passwords[email], "&session_id=chosen&_pomerium=chosen"))
	if a.status != http.StatusSeeOther || strings.Contains(strings.Join(a.header.Values("Set-Cookie"), "|"), "chosen") {
		t.Errorf("with a chosen id: %d %v", a.status, a.header)
	}
}

// named is the last value that is set for a cookie, what only expires it aside.
func named(cookies []*http.Cookie, name string) string {
	value := ""
	for _, c := range cookies {
		if c.Name == name && c.MaxAge >= 0 && c.Value != "" {
			value = c.Value
		}
	}
	return value
}

var requestID = regexp.MustCompile(`"request_id":"[^"]*"`)

// S3: whatever bit of a cookie is off, the answer is that of no cookie.
func bitFlips(t *testing.T, s *siege) {
	good, _ := s.create(t, "-email", "flip@"+kit.Domain, "-role", "user")
	if !s.lives(t, good) {
		t.Fatal("the cookie itself opens nothing")
	}
	seen := map[string]string{}
	check := func(what, value string) {
		s.both(t, s.asks("portal", "_pomerium="+value), func(proto string, a answer) {
			s.refused(t, proto+" "+what, a, http.StatusUnauthorized)
			names := []string{}
			for name := range a.header {
				if !strings.EqualFold(name, "X-Request-Id") && !strings.EqualFold(name, "Date") && !strings.EqualFold(name, "Connection") {
					names = append(names, strings.ToLower(name))
				}
			}
			seen[fmt.Sprint(a.status, len(names), a.header.Get("Www-Authenticate"), requestID.ReplaceAllString(a.body, ""))] = proto + " " + what
		})
	}
	check("nothing", "")
	for i := range len(good) {
		if i > 20 && i%4 != 0 { // every byte of the head, every fourth of the box: three bits of each
			continue
		}
		for _, bit := range []byte{1, 2, 16} {
			if c := good[i] ^ bit; c > ' ' && c < 0x7f && c != ';' && c != ',' && c != '"' {
				check(fmt.Sprintf("bit %d of byte %d", bit, i), good[:i]+string(c)+good[i+1:])
			}
		}
	}
	for what, value := range map[string]string{"cut": good[:len(good)-1], "longer": good + "A", "doubled": good + good, "padded": good + "=", "quoted": `"` + good + `"`, "in another case": strings.ToUpper(good),
		"without its version": strings.TrimPrefix(good, "v1."), "of another version": "v2." + strings.TrimPrefix(good, "v1."), "of no key": "v1.." + good[strings.LastIndex(good, ".")+1:], "escaped": url.QueryEscape(good[:9]) + "%2e" + good[10:]} {
		check(what, value)
	}
	if len(seen) != 1 {
		t.Errorf("there are %d kinds of answer to a broken cookie: %v", len(seen), seen)
	}
}

// sealer opens the gate's own key ring, as somebody would who has its file.
func (s *siege) sealer(t *testing.T, name, purpose string) *cookie.Sealer {
	t.Helper()
	return sealerAt(t, filepath.Join(s.State, "cookie-keys.yaml"), name, purpose)
}

func sealerAt(t *testing.T, file, name, purpose string) *cookie.Sealer {
	t.Helper()
	ring, err := cookie.OpenRing(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cookie.New(ring, name, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func seal(t *testing.T, c *cookie.Sealer, p session.CookiePayload) string {
	t.Helper()
	v, err := c.Seal(p)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// S4: what was sealed for something else, by somebody else, or is another
// kind of credential is no session.
func otherPurposes(t *testing.T, s *siege) {
	value, _ := s.create(t, "-email", "purpose@"+kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id=x")
	p, err := s.sealer(t, "_pomerium", "session").Open(value)
	if err != nil {
		t.Fatal(err)
	}
	again := seal(t, s.sealer(t, "_pomerium", "session"), p)
	if !s.lives(t, again) {
		t.Fatal("what is sealed anew for the same purpose opens nothing: the rest proves nothing")
	}
	for what, c := range map[string]*cookie.Sealer{
		"another purpose": s.sealer(t, "_pomerium", "login"), "another name": s.sealer(t, "_pomerium_csrf", "session"), "no such purpose": s.sealer(t, "_pomerium", "Session"),
		"another key": sealerAt(t, filepath.Join(t.TempDir(), "keys.yaml"), "_pomerium", "session"),
	} {
		s.dead(t, what, seal(t, c, p))
	}
	wrong := p
	wrong.ID[0] ^= 1
	s.dead(t, "an id that nobody has", seal(t, s.sealer(t, "_pomerium", "session"), wrong))
	s.dead(t, "the form's seed", strings.SplitN(s.form(t).cookie, "=", 2)[1])
	token, key := s.create(t, "-email", "robot@"+kit.Domain, "-role", "admin", "-service")
	s.dead(t, "a bearer token", token)
	s.dead(t, "the session's key", key)
	s.dead(t, "the bare id", base64.RawURLEncoding.EncodeToString(p.ID[:]))
	s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/x", header: with(program, "Authorization: Bearer "+value)}, func(proto string, a answer) {
		s.refused(t, proto+" a cookie as a token", a, http.StatusUnauthorized)
	})
	for _, name := range []string{"_Pomerium", "__Host-_pomerium", "pomerium", "_pomerium2", "session"} {
		s.both(t, s.asks("portal", name+"="+value), func(proto string, a answer) {
			s.refused(t, proto+" in cookie "+name, a, http.StatusUnauthorized)
		})
	}
}

// S5: of several session cookies junk is passed over, and two that are valid
// are nobody's.
func twoSessions(t *testing.T, s *siege) {
	one, _ := s.create(t, "-email", "one@"+kit.Domain, "-role", "user")
	two, _ := s.create(t, "-email", "two@"+kit.Domain, "-role", "admin")
	a, b := "_pomerium="+one, "_pomerium="+two
	for what, c := range map[string]struct {
		cookies []string
		status  int
	}{
		"two": {[]string{a + "; " + b}, 401}, "two the other way": {[]string{b + "; " + a}, 401}, "two headers": {[]string{a, b}, 401}, "two around junk": {[]string{a + "; _pomerium=junk; " + b}, 401},
		"two with a third": {[]string{a, "x=y", b, a}, 401}, "the same twice": {[]string{a + "; " + a}, 200}, "the same in two headers": {[]string{a, a}, 200}, "junk first": {[]string{"_pomerium=junk; " + a}, 200},
		"junk last": {[]string{a, "_pomerium=junk"}, 200}, "empty first": {[]string{"_pomerium=; " + a}, 200}, "seven junk": {[]string{strings.Repeat("_pomerium=j; ", 7) + a}, 200}, "too many": {[]string{strings.Repeat("_pomerium=j; ", 9) + a}, 401},
	} {
		s.both(t, s.asks("portal", c.cookies...), func(proto string, a answer) {
			if c.status != http.StatusOK {
				s.refused(t, proto+" "+what, a, c.status)
			} else if s.clean(t, proto+" "+what, a); a.status != c.status || !strings.Contains(a.body, "one@"+kit.Domain) {
				t.Errorf("%s %s: %d", proto, what, a.status)
			}
		})
	}
	// Whoever is caught so is led to the form, can sign in, and is rid of both.
	for host, want := range map[string]int{"portal": http.StatusFound, "gate": http.StatusOK} {
		r := s.asks(host, a+"; "+b)
		r.target, r.header = "/oauth2/sign_in", with(navigation, r.header[1:]...)
		s.both(t, r, func(proto string, a answer) {
			if a.status != want {
				t.Errorf("%s: a navigation with two sessions got %d at %s", proto, a.status, host)
			}
		})
	}
	email := "user@" + kit.Domain
	f := s.form(t)
	f.cookie += "; " + a + "; " + b
	r := s.http1(t, s.post(f, email, s.Passwords[email], ""))
	if named((&http.Response{Header: r.header}).Cookies(), "_pomerium") == "" {
		t.Errorf("signing in under two sessions answered %d", r.status)
	}
	s.dead(t, "the first of two after the sign-in", one)
	s.dead(t, "the second of two after the sign-in", two)
}

// S6: a session that is over stays over: signed out, past its end, forged a
// longer one. (That it ends when idle is in its own demo.)
func replays(t *testing.T, s *siege) {
	email := "user@" + kit.Domain
	p := s.visitor(t)
	reply := p.SignIn(t, email, s.Passwords[email], s.Origin("portal")+"/")
	for _, c := range reply.Cookies() {
		if c.Name == "_pomerium" && c.Value != "" && c.MaxAge != 8*60*60 {
			t.Errorf("a session lasts %d s, want 8 h", c.MaxAge)
		}
	}
	value := p.Session()
	s.secret("a session of user", value)
	page := p.Get(t, s.Origin("gate")+"/oauth2/sign_out")
	out := url.Values{"csrf": {formToken.FindStringSubmatch(page.Text)[1]}}
	if r := p.Do(t, "POST", s.Origin("gate")+"/oauth2/sign_out", strings.NewReader(out.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Origin", s.Origin("gate")); r.StatusCode != http.StatusOK {
		t.Errorf("signing out answered %s", r.Status)
	}
	s.dead(t, "a session after its sign-out", value)
	s.dead(t, "a session after its sign-out, sealed anew", s.resealed(t, value, 8*time.Hour))

	live, _ := s.create(t, "-email", "late@"+kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id=x")
	s.dead(t, "a cookie that is a second past its end", s.resealed(t, live, -time.Second))
	short, _ := s.create(t, "-email", "late@"+kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id=x", "-lifetime", "2s")
	longer, end := s.resealed(t, short, 8*time.Hour), time.Now().Add(2*time.Second)
	within(t, 20*time.Second, "a session of 2 s ends", func() bool { return !s.lives(t, longer) && time.Now().After(end.Add(-time.Second)) })
	s.dead(t, "a session past its end", short)
	s.dead(t, "a session past its end, in a cookie that promises more", longer)
}

// resealed is a cookie with another end, made with the gate's own keys.
func (s *siege) resealed(t *testing.T, value string, left time.Duration) string {
	t.Helper()
	c := s.sealer(t, "_pomerium", "session")
	p, err := c.Open(value)
	if err != nil {
		t.Fatal(err)
	}
	p.ExpiresAt = time.Now().Add(left)
	return seal(t, c, p)
}

// S7: what an operator revokes is dead within a second, also while it is used.
func revoked(t *testing.T, s *siege) {
	for i := range 5 {
		value, key := s.create(t, "-email", "gone@"+kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id=x")
		if !s.lives(t, value) {
			t.Fatal("it never lived")
		}
		stop, used := make(chan struct{}), make(chan struct{})
		go func() { // used all the while
			defer close(used)
			for {
				select {
				case <-stop:
					return
				default:
					s.lives(t, value)
				}
			}
		}()
		if i%2 == 0 {
			s.Run(t, "session", "revoke", key)
		} else {
			s.Run(t, "session", "revoke", "-email", "gone@"+kit.Domain)
		}
		within(t, bound(time.Second), "a revoked session is dead", func() bool { return !s.lives(t, value) })
		s.dead(t, "a revoked session", value)
		close(stop)
		<-used
	}
}

// S8: nothing that a page elsewhere can make a browser send ends a session.
func signOutByImage(t *testing.T, s *siege) {
	p := s.visitor(t)
	email := "user@" + kit.Domain
	p.SignIn(t, email, s.Passwords[email], "")
	value := p.Session()
	s.secret("a session of user", value)
	session := "Cookie: _pomerium=" + value
	f := s.form(t)
	image := []string{session, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Sec-Fetch-Site: cross-site", "Accept: image/*"}
	form := "Content-Type: application/x-www-form-urlencoded"
	at := func(method string, body string, header ...string) request {
		return request{method: method, host: s.host("gate"), target: "/oauth2/sign_out", header: header, body: body}
	}
	for what, r := range map[string]request{
		"an image": at("GET", "", image...), "an image with a token": {method: "GET", host: s.host("gate"), target: "/oauth2/sign_out?csrf=" + f.token, header: image}, "HEAD": at("HEAD", "", session), "OPTIONS": at("OPTIONS", "", session),
		"a foreign form": at("POST", "csrf="+f.token, session, form, "Origin: http://evil.example"), "a sibling's form": at("POST", "csrf="+f.token, session, form, "Origin: "+s.Origin("workspace.portal")), "a sandboxed form": at("POST", "", session, form, "Origin: null"),
		"no origin": at("POST", "", session, form), "no origin and a stranger's token": at("POST", "csrf="+f.token, session+"; "+f.cookie, form), "text": at("POST", "csrf=x", session, "Content-Type: text/plain", "Origin: "+s.Origin("gate")),
		"DELETE": at("DELETE", "", session, "Origin: http://evil.example"), "the API's": {method: "GET", host: s.host("api.portal"), target: "/api/auth/logout", header: image},
	} {
		s.both(t, r, func(proto string, a answer) {
			s.clean(t, proto+" "+what, a)
			if !s.lives(t, value) {
				t.Errorf("%s: %s ended the session", proto, what)
			}
		})
	}
}

// S11: a token is in the Set-Cookie that gives it and nowhere else; that no
// other answer of the whole siege has one is held for each of them.
func noTokenInReplies(t *testing.T, s *siege) {
	email := "admin@" + kit.Domain
	a := s.http1(t, s.post(s.form(t), email, s.Passwords[email], ""))
	value := named((&http.Response{Header: a.header}).Cookies(), "_pomerium")
	s.secret("a session of admin", value)
	if value == "" || strings.Contains(a.body, value) {
		t.Errorf("signing in answered %d\n%s", a.status, a.body)
	}
	for _, header := range [][]string{program, navigation} {
		for _, host := range []string{"portal", "api.portal", "admin.portal", "workspace.portal", "gate"} {
			for _, target := range []string{"/", "/api/whoami", "/api/auth/me", "/api/sessions", "/oauth2/sign_in", "/oauth2/sign_out", "/.well-known/pomerium/jwks.json", "/no/such"} {
				s.both(t, request{method: "GET", host: s.host(host), target: target, header: with(header, "Cookie: _pomerium="+value)}, func(proto string, a answer) {
					s.clean(t, proto+" "+host+target, a)
					for name, values := range a.header {
						if strings.Contains(strings.Join(values, "|"), value) {
							t.Errorf("%s %s%s: %s has the session", proto, host, target, name)
						}
					}
				})
			}
		}
	}
	if out := s.Run(t, "session", "list"); strings.Contains(out, value) {
		t.Error("gate session list shows a credential")
	}
}
