package attack

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session/web/admin"
	"github.com/neosc/gate/test/kit"
)

// accounts: passwords, codes and keys, and the pages that take them.
var accounts = []attack{
	{"L3", codesOnce}, {"L4", passwordAlone}, {"L5", passkeysBound}, {"L6", passwordsOfAllKinds}, {"L7", linksByConfiguredOrigin}, {"L8", formsOfOtherTypes},
}

// L1: whether an account exists shows neither in the answer nor in its time.
func unknownUsers(t *testing.T, s *siege) {
	var known, unknown time.Duration
	// Of a machine that does much else the fastest of a few is not always fast.
	for _, name := range []string{"neosc2", "neosc", "user"} {
		if known, unknown = s.timedGuesses(t, name); known < 2*unknown && unknown < 2*known {
			return
		}
	}
	t.Errorf("a known account takes %v, an unknown one %v", known, unknown)
}

// timedGuesses guesses at an account and at some that are not there, and returns
// the shortest time that each took; the answers have to be alike.
func (s *siege) timedGuesses(t *testing.T, name string) (known, unknown time.Duration) {
	t.Helper()
	token := regexp.MustCompile(`name="csrf" value="[^"]*"`)
	f := s.form(t)
	bodies := map[string]string{}
	guess := func(email string, i int) time.Duration {
		r := s.post(f, email, "not the password "+fmt.Sprint(i), "")
		r.from = s.freshAddress()
		start := time.Now()
		a := s.http1(t, r)
		took := time.Since(start)
		if a.status != http.StatusUnprocessableEntity {
			t.Fatalf("a wrong password for %s got %d\n%s", email, a.status, a.body)
		}
		bodies[strings.ReplaceAll(token.ReplaceAllString(a.body, ""), email, "")] = email
		return took
	}
	known, unknown = time.Hour, time.Hour
	for i := range 8 { // fewer than the guesses of one account
		known = min(known, guess(name+"@"+kit.Domain, i))
		unknown = min(unknown, guess(fmt.Sprintf("nobody%d-%s@%s", i, name, kit.Domain), i))
	}
	if len(bodies) != 1 {
		t.Errorf("there are %d kinds of answer to a wrong password: %v", len(bodies), bodies)
	}
	return known, unknown
}

// L2: two hundred at once are one budget, wherever they come from and however
// the account is written.
func parallelGuesses(t *testing.T, s *siege) {
	f := s.form(t)
	spellings := []string{"demo@" + kit.Domain, "DEMO@" + kit.Domain, " demo@" + kit.Domain, "Demo@NeoSC.localhost\t"}
	guess := func(i int) request {
		r := s.post(f, spellings[i%len(spellings)], fmt.Sprintf("guess number %d", i), "")
		r.from = s.freshAddress()
		return r
	}
	start, looked := time.Now(), 0
	// A machine that is short of breath may answer 503 to some: they go on until
	// the budget is spent.
	for n, spent := 200, false; !spent && time.Since(start) < 2*time.Minute; n = 20 {
		statuses := s.atOnce(t, n, guess)
		looked += statuses[http.StatusUnprocessableEntity]
		spent = statuses[http.StatusTooManyRequests] >= 20
		if statuses[http.StatusSeeOther] != 0 {
			t.Errorf("%d guesses got %v", n, statuses)
		}
	}
	if most := 11 + int(time.Since(start)/(12*time.Second)); looked > most { // 10 at once, one more each 12 s
		t.Errorf("%d guesses were looked at, want at most %d", looked, most)
	}
	r := s.post(f, "demo@"+kit.Domain, s.Passwords["demo@"+kit.Domain], "")
	r.from = s.freshAddress()
	// There may be another guess just now, of the one each 12 s, but not each time.
	a := s.http1(t, r)
	for tries := 1; tries < 4 && a.status != http.StatusTooManyRequests; tries++ {
		s.atOnce(t, 20, guess)
		a = s.http1(t, r)
	}
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("the right password after them got %d %v, which tells a guesser that it is right", a.status, a.header)
	}
	guessedCodes(t, s)
	// One address is one budget too, whatever it says about others.
	ip := s.freshAddress()
	start = time.Now()
	statuses := s.atOnce(t, 100, func(i int) request {
		r := s.post(f, fmt.Sprintf("somebody%d@%s", i, kit.Domain), "guess", "")
		r.from, r.header = ip, append(r.header, fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", i), fmt.Sprintf("X-Real-IP: 203.0.113.%d", i), fmt.Sprintf("X-Envoy-External-Address: 203.0.113.%d", i))
		return r
	})
	most := 31 + int(time.Since(start)/(1200*time.Millisecond)) // 30 at once, one more each 1.2 s
	if n := statuses[http.StatusUnprocessableEntity]; n > most || statuses[http.StatusTooManyRequests] == 0 || statuses[http.StatusSeeOther] != 0 {
		t.Errorf("100 guesses from one address got %v, want at most %d looked at", statuses, most)
	}
}

// atOnce sends n requests at the same time and counts the answers by status.
func (s *siege) atOnce(t *testing.T, n int, request func(int) request) map[int]int {
	t.Helper()
	answers := make(chan answer, n)
	for i := range n {
		go func() { answers <- s.http1(t, request(i)) }()
	}
	statuses := map[int]int{}
	for range n {
		statuses[(<-answers).status]++
	}
	return statuses
}

// L6: a password's length is bounded on both sides, and any script will do.
func passwordsOfAllKinds(t *testing.T, s *siege) {
	c, f := s.operator(t), s.form(t)
	add := func(email, password string) error {
		_, err := c.AddUser(t.Context(), admin.NewUser{Email: email, Password: password, Roles: []string{"user"}})
		return err
	}
	for what, password := range map[string]string{"short": "short", "what everybody tries": "1qaz2wsx3edc4rfv", "one's own name": "weak@" + kit.Domain, "one letter": strings.Repeat("a", 20), "1 MB": strings.Repeat("a", 1<<20), "not UTF-8": "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3"} {
		if add("weak@"+kit.Domain, password) == nil && what != "not UTF-8" { // JSON cannot say those bytes
			t.Errorf("a password that is %s was taken", what)
		}
		a := s.http1(t, s.post(f, "user@"+kit.Domain, password, ""))
		s.clean(t, what, a)
		if a.status != http.StatusUnprocessableEntity && a.status != http.StatusRequestEntityTooLarge && a.status != http.StatusBadRequest {
			t.Errorf("signing in with a password that is %s got %d", what, a.status)
		}
	}
	for i, password := range []string{strings.Repeat("密", 64), strings.Repeat("é", 64), strings.Repeat("🔑", 16) + " and spaces ", "  leading and trailing  "} {
		email := fmt.Sprintf("script%d@%s", i, kit.Domain)
		s.secret("a password in another script", password)
		if err := add(email, password); err != nil {
			t.Errorf("password %q: %v", password, err)
			continue
		}
		if a := s.http1(t, s.post(f, email, password, "")); a.status != http.StatusSeeOther {
			t.Errorf("signing in with %q got %d", password, a.status)
		}
		if a := s.http1(t, s.post(f, email, strings.TrimSpace(password)+"x", "")); a.status != http.StatusUnprocessableEntity {
			t.Errorf("signing in with another than %q got %d", password, a.status)
		}
	}
}

// L7: what pages link to comes from the routes file, whatever Host says.
func linksByConfiguredOrigin(t *testing.T, s *siege) {
	mailsByConfiguredOrigin(t, s)
	link := regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
	user := "Cookie: _pomerium=" + s.cookieOf(t, "user")
	for _, host := range []string{"gate." + kit.Domain, "GATE." + kit.Domain + ".:4443", "admin.portal." + kit.Domain + ":1"} {
		for _, target := range []string{"/", "/oauth2/sign_in", "/oauth2/sign_out", "/no/such"} {
			r := request{method: "GET", host: host, target: target, header: with(navigation, user, "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: "+s.otherScheme(), "Forwarded: host=evil.example", "Referer: http://evil.example/")}
			s.both(t, r, func(proto string, a answer) {
				all := append([]string{a.header.Get("Location")}, a.header.Values("Content-Security-Policy")...)
				for _, m := range link.FindAllStringSubmatch(a.body, -1) {
					all = append(all, m[1])
					if !strings.HasPrefix(m[1], s.Origin("gate")) && !strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "#") && !strings.Contains(m[1], "."+kit.Domain+fmt.Sprintf(":%d", s.Port)) {
						t.Errorf("%s %s%s links to %s", proto, host, target, m[1])
					}
				}
				if text := strings.Join(all, " "); strings.Contains(text, "evil.") || strings.Contains(text, ":4443") || strings.Contains(text, s.otherScheme()+":") {
					t.Errorf("%s %s%s links to what the client said: %s", proto, host, target, text)
				}
			})
		}
	}
}

// mailsByConfiguredOrigin: a link that opens an account leads where the routes
// file says, whatever whoever asked for it says.
func mailsByConfiguredOrigin(t *testing.T, s *siege) {
	mail := regexp.MustCompile(`Mail to forgot\S*: [^\n]*\n(?:  [^\n]*\n)*?\s*(\S+)/account/reset\?token=([A-Za-z0-9_-]{43})\n`)
	hosts := []string{s.host("gate"), "gate." + kit.Domain + ":4443", "GATE." + kit.Domain + "."}
	for i, host := range hosts {
		email, _, _ := s.added(t, fmt.Sprint("forgot", i))
		f := s.formAt(t, "/account/forgot")
		r := request{method: "POST", host: host, target: "/account/forgot", body: url.Values{"email": {email}, "csrf": {f.token}}.Encode(), header: with(navigation,
			"Origin: "+s.Origin("gate"), "Content-Type: application/x-www-form-urlencoded", "Cookie: "+f.cookie, "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: "+s.otherScheme(), "Forwarded: host=evil.example", "X-Original-Host: evil.example")}
		if a := s.http1(t, r); a.status != http.StatusSeeOther || a.header.Get("Location") != s.Origin("gate")+"/account/forgot?done=1" {
			t.Fatalf("asking %s for a link got %d to %q\n%s", host, a.status, a.header.Get("Location"), a.body)
		}
	}
	within(t, time.Minute, "the links are mailed", func() bool { return len(mail.FindAllString(s.Output(), -1)) == len(hosts) })
	for _, m := range mail.FindAllStringSubmatch(s.Output(), -1) {
		if m[1] != s.Origin("gate") {
			t.Errorf("a mail links to %s", m[1])
		}
	}
}

// L8: a form of a type that a page elsewhere can send without asking first.
func formsOfOtherTypes(t *testing.T, s *siege) {
	email := "user@" + kit.Domain
	for _, kind := range []string{"text/plain", "text/plain;charset=UTF-8", "application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded, text/plain", "text/plain; application/x-www-form-urlencoded", "", "x"} {
		f := s.form(t)
		r := s.post(f, email, s.Passwords[email], "")
		for _, body := range []string{r.body, fmt.Sprintf(`{"email":%q,"password":%q,"csrf":%q}`, email, s.Passwords[email], f.token)} {
			for i, h := range r.header {
				if strings.HasPrefix(h, "Content-Type:") {
					r.header[i] = "Content-Type: " + kind
				}
			}
			r.body = body
			s.both(t, r, func(proto string, a answer) {
				s.declined(t, proto+" a sign-in as "+kind, a, http.StatusUnsupportedMediaType)
				if len(a.header.Values("Set-Cookie")) != 0 {
					t.Errorf("%s a sign-in as %s set %v", proto, kind, a.header.Values("Set-Cookie"))
				}
			})
			r.target = "/oauth2/sign_out"
			s.both(t, r, func(proto string, a answer) {
				s.declined(t, proto+" a sign-out as "+kind, a, http.StatusUnsupportedMediaType)
			})
			r.target = "/oauth2/sign_in"
		}
	}
	// And without the gate's own Origin nobody is signed in as somebody else.
	for _, origin := range []string{"http://evil.example", "null", s.Origin("portal"), ""} {
		r := s.post(s.form(t), email, s.Passwords[email], "")
		for i, h := range r.header {
			if strings.HasPrefix(h, "Origin:") {
				r.header[i] = "Origin: " + origin
			}
		}
		s.both(t, r, func(proto string, a answer) {
			s.declined(t, proto+" a sign-in from "+origin, a, http.StatusForbidden)
		})
	}
}

// L9: a hundred hashes at once are a few at a time, and 429 for the rest.
func hundredHashes(t *testing.T, s *siege) {
	f := s.form(t)
	before := s.resident(t)
	var statuses map[int]int
	most := s.peak(t, func() {
		statuses = s.atOnce(t, 100, func(i int) request {
			r := s.post(f, fmt.Sprintf("hash%d@%s", i, kit.Domain), "a password to hash", "")
			r.from = s.freshAddress()
			return r
		})
	})
	if n := statuses[http.StatusUnprocessableEntity]; n == 0 || n+statuses[http.StatusTooManyRequests]+statuses[http.StatusServiceUnavailable] != 100 {
		t.Errorf("100 passwords at once got %v, want some looked at and 429 for the others", statuses)
	}
	// Four at a time take 19 MiB each; the collector may be a round behind.
	if grown := most - before; grown > memory(2*4*19<<20) {
		t.Errorf("100 passwords at once took %d MiB", grown>>20)
	}
	if a := s.http1(t, s.post(f, "neosc@"+kit.Domain, s.Passwords["neosc@"+kit.Domain], "")); a.status != http.StatusSeeOther {
		t.Errorf("after them signing in got %d", a.status)
	}
}

// memory is how much may be held for n bytes: the race detector holds a shadow
// of eight times that.
func memory(n int) int {
	if kit.Race {
		return 9 * n
	}
	return n
}
