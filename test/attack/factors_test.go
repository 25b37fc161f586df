package attack

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session/web/admin"
	"github.com/neosc/gate/test/kit"
	"github.com/neosc/gate/test/softkey"
)

const factorPage = "/oauth2/second_factor"

// added adds an account and signs it in, so that it can set up a second
// factor.
func (s *siege) added(t *testing.T, name string) (email, password string, p *kit.Person) {
	t.Helper()
	email, password = name+"@"+kit.Domain, "a password of "+name+" 71!"
	s.secret("the password of "+email, password)
	if _, err := s.operator(t).AddUser(t.Context(), admin.NewUser{Email: email, Password: password, Roles: []string{"user"}}); err != nil {
		t.Fatal(err)
	}
	p = s.visitor(t)
	if r := p.SignIn(t, email, password, ""); r.StatusCode != http.StatusSeeOther || p.Session() == "" {
		t.Fatalf("signing in got %s\n%s", r.Status, r.Text)
	}
	return email, password, p
}

// halfway is a browser in which somebody's password was right and the second
// factor has not come.
func (s *siege) halfway(t *testing.T, email, password string) *kit.Person {
	t.Helper()
	p := s.visitor(t)
	if r := p.SignIn(t, email, password, ""); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != s.Origin("gate")+factorPage || p.Session() != "" {
		t.Fatalf("the password alone got %s to %q and the session %q", r.Status, r.Header.Get("Location"), p.Session())
	}
	return p
}

// L3: a code and a recovery code are good for one sign-in, whoever comes first.
func codesOnce(t *testing.T, s *siege) {
	email, password, p := s.added(t, "totp")
	key, codes := p.EnrolApp(t, -1)
	answer := func(p *kit.Person, with, code string) int {
		t.Helper()
		r := p.Send(t, factorPage+"?with="+with, factorPage, "with", with, "code", code)
		if value := p.Session(); value != "" {
			s.secret("a session of "+email, value)
		}
		return r.StatusCode
	}
	if got := answer(s.halfway(t, email, password), "app", p.Enrolled); got != http.StatusUnprocessableEntity {
		t.Errorf("the code of the enrolment, used again, got %d", got)
	}
	// Several browsers send one code at the same time.
	for _, with := range []string{"app", "recovery"} {
		var browsers []*kit.Person
		for range 3 {
			browsers = append(browsers, s.halfway(t, email, password))
		}
		code := codes[0]
		if with == "app" {
			code = kit.TOTP(t, key, time.Now(), 0)
		}
		var wg sync.WaitGroup
		for _, p := range browsers {
			wg.Go(func() { answer(p, with, code) })
		}
		wg.Wait()
		in := 0
		for _, p := range browsers {
			if p.Session() != "" {
				in++
			}
		}
		if in != 1 {
			t.Errorf("one %s code signed in %d browsers", with, in)
		}
		for _, again := range []string{code, " " + strings.ToLower(strings.ReplaceAll(code, "-", " "))} {
			if got := answer(s.halfway(t, email, password), with, again); got != http.StatusUnprocessableEntity {
				t.Errorf("a %s code that was used got %d as %q", with, got, again)
			}
		}
	}
	// Codes of other moments, and what is none. (All of them are guesses, of which
	// there are twenty at once.)
	other := kit.TOTP(t, key, time.Now(), 40)
	for _, code := range []string{other, "", strings.Repeat("0", 4000), "１２３４５６", codes[1][:5]} {
		if got := answer(s.halfway(t, email, password), "app", code); got != http.StatusUnprocessableEntity {
			t.Errorf("%.20q got %d", code, got)
		}
	}
}

// guessedCodes is L2 for second factors: whoever has the password has one budget
// for all codes, however many browsers guess.
func guessedCodes(t *testing.T, s *siege) {
	email, password, p := s.added(t, "guessed")
	key, codes := p.EnrolApp(t, -1)
	var browsers []*kit.Person
	for range 4 {
		browsers = append(browsers, s.halfway(t, email, password))
	}
	// Whoever comes with the right one after them, by two ways, at most twice each.
	var last []*kit.Person
	for range 4 {
		last = append(last, s.halfway(t, email, password))
	}
	start := time.Now()
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for i, p := range browsers {
		form := p.Get(t, s.Origin("gate")+factorPage)
		m := formToken.FindStringSubmatch(form.Text)
		if m == nil {
			t.Fatalf("no form: %s", form.Status)
		}
		for j := range 50 {
			wg.Go(func() {
				with, code := "app", fmt.Sprintf("%06d", 1000*i+j)
				if j%2 == 1 {
					with, code = "recovery", fmt.Sprintf("AAAAA-%05d", 1000*i+j)
				}
				body := url.Values{"csrf": {m[1]}, "with": {with}, "code": {code}}.Encode()
				r := p.Do(t, http.MethodPost, s.Origin("gate")+factorPage, strings.NewReader(body), "Content-Type", "application/x-www-form-urlencoded", "Origin", s.Origin("gate"), "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
				mu.Lock()
				defer mu.Unlock()
				statuses[r.StatusCode]++
			})
		}
	}
	wg.Wait()
	if looked, most := statuses[http.StatusUnprocessableEntity], 10+int(time.Since(start)/(12*time.Second)); looked > most || statuses[http.StatusTooManyRequests] == 0 || statuses[http.StatusSeeOther] != 0 {
		t.Errorf("200 guesses at second factors got %v, want at most %d looked at", statuses, most)
	}
	for i, with := range []string{"app", "recovery"} {
		refused := false
		for try := 0; try < 2 && !refused; try++ {
			p := last[2*i+try]
			send := func(code string) int {
				return p.Send(t, factorPage+"?with="+with, factorPage, "with", with, "code", code).StatusCode
			}
			// There may be another guess just now, of the one each 12 s.
			for n := 0; n < 5 && send("no code") != http.StatusTooManyRequests; n++ {
			}
			code := codes[try]
			if with == "app" {
				code = kit.TOTP(t, key, time.Now(), int64(try))
			}
			refused = send(code) == http.StatusTooManyRequests && p.Session() == ""
		}
		if !refused {
			t.Errorf("after them the right %s code is taken, or refused in another way, which tells a guesser that it is right", with)
		}
	}
}

// L4: where a second factor is asked for, a session without one opens nothing,
// whatever says that it has one.
func passwordAlone(t *testing.T, s *siege) {
	ask := []string{"-email", "half@" + kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id=x", "-claim", "neosc:mfa=required"}
	for what, more := range map[string][]string{"nothing": nil, "amr as a claim": {"-claim", `amr:=["pwd","mfa","otp"]`}, "a claim of ours": {"-claim", "neosc:mfa_shown:=true"}, "an excuse": {"-claim", "mfa_enabled:=false"}} {
		value, _ := s.create(t, append(ask, more...)...)
		for _, host := range []string{"portal", "api.portal", "admin.portal", "workspace.portal"} {
			r := s.asks(host, "_pomerium="+value)
			r.header = with(r.header, "X-Pomerium-Amr: mfa", "X-Pomerium-Claim-Amr: mfa", "X-Mfa: true")
			s.both(t, r, func(proto string, a answer) {
				s.refused(t, proto+" "+host+" without a second factor, with "+what, a, http.StatusUnauthorized)
				if !strings.Contains(a.body, `"mfa_required"`) || !strings.Contains(a.header.Get("Www-Authenticate"), "insufficient_user_authentication") {
					t.Errorf("%s: %s with %s: %q %s", proto, host, what, a.header.Get("Www-Authenticate"), a.body)
				}
			})
		}
		s.refused(t, "a socket without a second factor", s.upgrade(t, "workspace.portal", "/ws", "websocket", "Cookie: _pomerium="+value, "Origin: "+s.Origin("workspace.portal")), http.StatusUnauthorized)
		// The pages where one is set up are open, and no others that look alike.
		for _, target := range []string{"/account/security/..%2f..%2f", "/account/security/../../", "/oauth2/second_factor/../../", "/account//security/../", "/account", "/"} {
			s.both(t, request{method: "GET", host: s.host("gate"), target: target, header: with(program, "Cookie: _pomerium="+value)}, func(proto string, a answer) {
				s.declined(t, proto+" gate"+target+" without a second factor", a, http.StatusUnauthorized, http.StatusBadRequest, http.StatusNotFound)
			})
		}
	}
	// Between password and second factor there is no session, nor one to be had
	// with what the browser holds by then.
	email, password, p := s.added(t, "between")
	p.EnrolApp(t, -1)
	half := s.halfway(t, email, password)
	gate, err := url.Parse(s.Origin("gate"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range half.Jar.Cookies(gate) {
		s.dead(t, "the browser's "+c.Name, c.Value)
	}
	for _, with := range []string{"password", "", "none", "app\x00", "recovery,app"} {
		if r := half.Send(t, factorPage, factorPage, "with", with, "password", password, "code", password); r.StatusCode/100 == 3 || half.Session() != "" {
			t.Errorf("answering with %q got %s", with, r.Status)
		}
	}
	// Five tries, and the password has to be given again.
	if r := half.Get(t, s.Origin("gate")+factorPage); r.StatusCode != http.StatusFound || !strings.Contains(r.Header.Get("Location"), "/oauth2/sign_in") {
		t.Errorf("after five wrong answers the page is %s", r.Status)
	}
	// Who has only the password changes no second factor.
	if r := s.halfway(t, email, password).Get(t, s.Origin("gate")+"/account/security/app"); r.StatusCode/100 == 2 {
		t.Errorf("the password alone shows a new app: %s", r.Status)
	}
}

var keyOptions = regexp.MustCompile(`data-options="([^"]*)"`)

// L5: a passkey's word counts for this origin, this challenge and this browser,
// and from an unlocked key alone.
func passkeysBound(t *testing.T, s *siege) {
	email, password, p := s.added(t, "webauthn")
	origin := s.Origin("gate")
	key, err := softkey.New(origin, "gate."+kit.Domain)
	if err != nil {
		t.Fatal(err)
	}
	const keyPage = "/account/security/passkey"
	// asked is what a page tells the browser.
	asked := func(p *kit.Person, page string) []byte {
		t.Helper()
		r := p.Get(t, origin+page)
		m := keyOptions.FindStringSubmatch(r.Text)
		if m == nil {
			t.Fatalf("%s asks for no passkey: %s\n%s", page, r.Status, r.Text)
		}
		return []byte(html.UnescapeString(m[1]))
	}
	made := func(change func(*softkey.Token)) string {
		t.Helper()
		k := *key
		change(&k)
		reply, err := k.Create(asked(p, keyPage))
		if err != nil {
			t.Fatal(err)
		}
		return string(reply)
	}
	wrong := map[string]func(*softkey.Token){
		"another origin": func(k *softkey.Token) { k.Origin = s.Origin("portal") }, "a sibling's host": func(k *softkey.Token) { k.Origin = s.Origin("evil.gate") },
		"another scheme": func(k *softkey.Token) { k.Origin = s.otherScheme() + "://" + s.host("gate") }, "another port": func(k *softkey.Token) { k.Origin = strings.TrimSuffix(origin, fmt.Sprint(s.Port)) + "4443" },
		"another relying party": func(k *softkey.Token) { k.RP = kit.Domain }, "nobody there": func(k *softkey.Token) { k.Flags = softkey.Verified }, "a locked key": func(k *softkey.Token) { k.Flags = softkey.Present },
	}
	for what, change := range wrong {
		if r := p.Send(t, keyPage, keyPage, "name", "key", "credential", made(change)); r.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("a passkey made with %s got %s", what, r.Status)
		}
	}
	if r := p.Send(t, keyPage, keyPage, "name", "key", "credential", made(func(*softkey.Token) {})); r.StatusCode != http.StatusOK {
		t.Fatalf("adding the passkey got %s\n%s", r.Status, r.Text)
	}
	key.Count = 10
	said := func(p *kit.Person, options []byte, change func(*softkey.Token)) (status int) {
		t.Helper()
		k := *key
		change(&k)
		reply, err := k.Get(options)
		if err != nil {
			t.Fatal(err)
		}
		return p.Send(t, factorPage, factorPage, "with", "passkey", "credential", string(reply)).StatusCode
	}
	stolen := *key
	if other, err := softkey.New(origin, key.RP); err == nil {
		stolen.Key = other.Key
	}
	wrong["another key"] = func(k *softkey.Token) { k.Key = stolen.Key }
	for what, change := range wrong {
		half := s.halfway(t, email, password)
		if got := said(half, asked(half, factorPage), change); got != http.StatusUnprocessableEntity || half.Session() != "" {
			t.Errorf("a passkey's word with %s got %d", what, got)
		}
	}
	// Of another browser's sign-in, of the enrolment, of one that is over.
	same := func(*softkey.Token) {}
	half, another := s.halfway(t, email, password), s.halfway(t, email, password)
	for what, options := range map[string][]byte{"another browser's challenge": asked(another, factorPage), "the challenge of a new key": asked(p, keyPage)} {
		if got := said(half, options, same); got != http.StatusUnprocessableEntity || half.Session() != "" {
			t.Errorf("a passkey's word on %s got %d", what, got)
		}
	}
	options := asked(half, factorPage)
	key.Count++
	if got := said(half, options, same); got != http.StatusSeeOther || half.Session() == "" {
		t.Fatalf("the passkey's word got %d", got)
	}
	s.secret("a session of "+email, half.Session())
	if got := said(another, options, func(k *softkey.Token) { k.Count += 5 }); got != http.StatusUnprocessableEntity || another.Session() != "" {
		t.Errorf("a passkey's word on a challenge that is over got %d", got)
	}
	if got := said(another, asked(another, factorPage), func(k *softkey.Token) { k.Count = 3 }); got != http.StatusUnprocessableEntity || another.Session() != "" {
		t.Errorf("a copy of a passkey, which has counted less, got %d", got)
	}
}
