package attack

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/test/idp/hostile"
	"github.com/neosc/gate/test/kit"
)

// providers are the cases that need a provider of identities: sign-in at it,
// what it may send, and how it ends sessions. B4 is the last, as it waits for
// what the first has begun.
var providers = []attack{
	{"A1", emptyCallbacks}, {"A2", anothersState}, {"A3", callbackTwice}, {"A4", mixUp}, {"A5", plainChallenges}, {"A6", nonces},
	{"A7", algorithmNone}, {"A8", publishedKeyAsSecret}, {"A9", madeUpKeys}, {"A10", keysInTokens}, {"A11", claimsThatDoNotHold},
	{"A12", sameNameElsewhere}, {"A13", twoDomains}, {"A14", otherTokensAsBearer}, {"A15", bombs}, {"A16", badMetadata},
	{"A17", tokenAtAnotherRule}, {"A18", editedScope}, {"A19", scriptInErrors}, {"A20", redirectedToken}, {"A21", malformedKeys},
	{"S2", stateAsSession}, {"S9", forgedLogouts}, {"S10", logoutFirst}, {"B4", removedClaim},
}

// besieged is a demo with providers that one hostile server plays.
func besieged(t *testing.T) *siege {
	t.Helper()
	world := hostile.Start()
	t.Cleanup(world.Close)
	world.Issuer("plain").Behave(hostile.Behaviour{Metadata: func(m map[string]any) { m["code_challenge_methods_supported"] = []string{"plain"} }})
	world.Issuer("nomethod").Behave(hostile.Behaviour{Metadata: func(m map[string]any) { m["code_challenge_methods_supported"] = []string{} }})
	world.Issuer("short").Behave(hostile.Behaviour{AccessSeconds: 31})
	var yaml strings.Builder
	yaml.WriteString("providers:\n")
	for _, id := range []string{
		"good", "twin", "forger", "plain", "nomethod", "kids", "keyless", "foreign", "slash", "large", "slow", "moved", "redirect", "mixed", "short",
	} {
		yaml.WriteString(world.Issuer(id).Provider(""))
	}
	yaml.WriteString(world.Issuer("company").Provider("    domains: [company.com]\n    organizations: [O1]\n"))
	s := begin(t, kit.DemoOptions{Policy: "raised", Providers: yaml.String()})
	s.world = world
	s.early = s.signedInAt(t, "short", hostile.Person(map[string]any{"roles": []string{"admin"}})).Session()
	if got := s.http1(t, s.asks("admin.portal", "_pomerium="+s.early)).status; got != http.StatusOK {
		t.Fatalf("an admin got %d", got)
	}
	world.Issuer("short").Behave(hostile.Behaviour{AccessSeconds: 3600, Claims: func(c map[string]any) { c["roles"] = []string{"neosc"} }})
	return s
}

// starts is the first half of a sign-in: where the gate sends the browser.
func (s *siege) starts(t *testing.T, p *kit.Person, provider string) (location string) {
	t.Helper()
	reply := p.Get(t, s.Origin("gate")+"/oauth2/sign_in?"+url.Values{"provider": {provider}, "rd": {s.Origin("portal") + "/"}}.Encode())
	if reply.StatusCode != http.StatusFound {
		t.Fatalf("signing in at %s got %s\n%.600s", provider, reply.Status, reply.Text)
	}
	return reply.Header.Get("Location")
}

// agrees is the way to a provider and to the door of the callback.
func (s *siege) agrees(t *testing.T, p *kit.Person, provider string, claims map[string]any) (callback string) {
	t.Helper()
	callback, err := s.world.Issuer(provider).Authorize(s.starts(t, p, provider), claims)
	if err != nil {
		t.Fatal(err)
	}
	return callback
}

// comesBack is a whole sign-in of somebody new, and what the callback answers.
func (s *siege) comesBack(t *testing.T, provider string, claims map[string]any) (*kit.Person, *kit.Reply) {
	t.Helper()
	p := s.visitor(t)
	reply := p.Get(t, s.agrees(t, p, provider, claims))
	s.secret("a session from "+provider, p.Session())
	return p, reply
}

// signedInAt is somebody who has signed in at a provider.
func (s *siege) signedInAt(t *testing.T, provider string, claims map[string]any) *kit.Person {
	t.Helper()
	p, reply := s.comesBack(t, provider, claims)
	if reply.StatusCode != http.StatusSeeOther || reply.Header.Get("Location") != s.Origin("portal")+"/" || p.Session() == "" {
		t.Fatalf("the callback from %s got %s to %q\n%.600s\n%s", provider, reply.Status, reply.Header.Get("Location"), reply.Text, s.Output())
	}
	return p
}

// turnedAway holds a reply to be a page that says what happened, under a number
// to ask about, without a session and without a way on by itself.
func (s *siege) turnedAway(t *testing.T, what string, p *kit.Person, r *kit.Reply, status int) {
	t.Helper()
	s.declined(t, what, answer{r.StatusCode, r.Header, r.Text}, status)
	if !strings.Contains(r.Text, `class="id"`) || r.Header.Get("Location") != "" || p.Session() != "" {
		t.Errorf("%s: a session %q, to %q, with the page\n%.600s", what, p.Session(), r.Header.Get("Location"), r.Text)
	}
}

// silent holds that what do does makes no token call at any of the providers.
func (s *siege) silent(t *testing.T, do func(), providers ...string) {
	t.Helper()
	before := 0
	for _, p := range providers {
		before -= s.world.Issuer(p).Calls("token")
	}
	do()
	for _, p := range providers {
		before += s.world.Issuer(p).Calls("token")
	}
	if before != 0 {
		t.Errorf("%d token calls", before)
	}
}

// A1: a callback that belongs to no sign-in.
func emptyCallbacks(t *testing.T, s *siege) {
	unknown := strings.Repeat("x", 43)
	s.silent(t, func() {
		for _, query := range []string{"", "?", "?code=c", "?state=", "?state=&code=", "?state=x&code=c", "?code=c&state=" + unknown, "?code=c&state=" + unknown + "&state=" + unknown,
			"?error=access_denied", "?%73tate=" + unknown, "?state=%00", "?state=" + strings.Repeat("y", 4000), "?state[]=x&code[]=c", "?;state=x"} {
			s.both(t, request{method: "GET", host: s.host("gate"), target: "/callback/good" + query, header: navigation}, func(proto string, a answer) {
				s.declined(t, proto+" "+query, a, http.StatusBadRequest)
				if a.header.Get("Location") != "" || named((&http.Response{Header: a.header}).Cookies(), "_pomerium") != "" {
					t.Errorf("%s %s: %v", proto, query, a.header)
				}
			})
		}
		for target, status := range map[string]int{"/callback/nobody?code=c&state=" + unknown: 404, "/callback/?state=" + unknown: 302, "/callback/good/more": 404} {
			s.both(t, request{method: "GET", host: s.host("gate"), target: target, header: navigation}, func(proto string, a answer) {
				s.declined(t, proto+" "+target, a, status)
			})
		}
	}, "good")
}

// A2: whoever is led to the end of another's sign-in is not signed in, nor is
// the other's sign-in spent.
func anothersState(t *testing.T, s *siege) {
	p, mallory, stranger := s.visitor(t), s.visitor(t), s.visitor(t)
	callback := s.agrees(t, p, "good", hostile.Person(nil))
	s.starts(t, mallory, "good")
	s.silent(t, func() {
		s.turnedAway(t, "another browser", mallory, mallory.Get(t, callback), http.StatusBadRequest)
		s.turnedAway(t, "a browser without a past", stranger, stranger.Get(t, callback), http.StatusBadRequest)
	}, "good")
	if r := p.Get(t, callback); r.StatusCode != http.StatusSeeOther {
		t.Errorf("whose it is got %s", r.Status)
	}
	s.secret("a session from good", p.Session())
}

// A3: one callback, many times at once and afterwards: one redemption.
func callbackTwice(t *testing.T, s *siege) {
	p := s.visitor(t)
	callback := s.agrees(t, p, "good", hostile.Person(nil))
	at, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	cookie := ""
	for _, c := range p.Jar.Cookies(at) {
		cookie += "; " + c.Name + "=" + c.Value
	}
	r := request{method: "GET", host: at.Host, target: at.RequestURI(), header: with(navigation, "Cookie: "+strings.TrimPrefix(cookie, "; "))}
	before := s.world.Issuer("good").Calls("token")
	var all sync.WaitGroup
	opened := make(chan string, 16)
	for range cap(opened) / 2 {
		for _, send := range wires {
			all.Go(func() {
				a := send(s, t, r)
				opened <- named((&http.Response{Header: a.header}).Cookies(), "_pomerium")
			})
		}
	}
	all.Wait()
	close(opened)
	sessions := 0
	for value := range opened {
		if value != "" {
			sessions++
			s.secret("a session from good", value)
		}
	}
	if n := s.world.Issuer("good").Calls("token") - before; sessions != 1 || n != 1 {
		t.Errorf("%d sessions and %d token calls, want one each", sessions, n)
	}
	s.silent(t, func() { s.turnedAway(t, "once more", p, p.Get(t, callback), http.StatusBadRequest) }, "good")
}

// A4: what one provider began, another does not end, nor may it say that it did.
func mixUp(t *testing.T, s *siege) {
	p := s.visitor(t)
	callback := s.agrees(t, p, "good", hostile.Person(nil))
	twin := url.QueryEscape(s.world.Issuer("twin").URL)
	at, query, _ := strings.Cut(callback, "?")
	rest, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	rest.Del("iss")
	s.silent(t, func() {
		for what, address := range map[string]string{
			"another's callback": strings.Replace(callback, "/callback/good", "/callback/twin", 1), "another's callback and name": strings.Replace(at, "good", "twin", 1) + "?" + rest.Encode() + "&iss=" + twin,
			"another's name": at + "?" + rest.Encode() + "&iss=" + twin, "no name, though it is promised": at + "?" + rest.Encode(), "two names": callback + "&iss=" + twin, "an empty name": at + "?" + rest.Encode() + "&iss=",
		} {
			s.turnedAway(t, what, p, p.Get(t, address), http.StatusBadRequest)
		}
	}, "good", "twin")
	if r := p.Get(t, callback); r.StatusCode != http.StatusSeeOther {
		t.Errorf("the real one got %s", r.Status)
	}
	s.secret("a session from good", p.Session())
}

// away holds that nobody is sent to a provider, and is told so.
func (s *siege) away(t *testing.T, provider string) {
	t.Helper()
	p := s.visitor(t)
	r := p.Get(t, s.Origin("gate")+"/oauth2/sign_in?provider="+provider)
	s.turnedAway(t, provider, p, r, http.StatusServiceUnavailable)
}

// A5: a provider that does not offer S256 would let codes be stolen.
func plainChallenges(t *testing.T, s *siege) {
	s.away(t, "plain")
	s.away(t, "nomethod")
}

// A16: metadata that lies, never ends or leads elsewhere.
func badMetadata(t *testing.T, s *siege) {
	set := func(id string, b hostile.Behaviour) { s.world.Issuer(id).Behave(b) }
	answer := func(f http.HandlerFunc) hostile.Behaviour {
		return hostile.Behaviour{Answer: map[string]http.HandlerFunc{"openid-configuration": f}}
	}
	set("foreign", hostile.Behaviour{Metadata: func(m map[string]any) { m["issuer"] = "https://evil.example" }})
	set("slash", hostile.Behaviour{Metadata: func(m map[string]any) { m["issuer"] = fmt.Sprint(m["issuer"], "/") }})
	set("keyless", hostile.Behaviour{Metadata: func(m map[string]any) { delete(m, "jwks_uri") }})
	set("large", answer(func(w http.ResponseWriter, _ *http.Request) {
		for range 10 << 10 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1<<10))); err != nil {
				return
			}
		}
	}))
	set("moved", answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "../elsewhere", http.StatusFound) }))
	over, asked := make(chan struct{}), make(chan struct{}, 8)
	defer close(over)
	set("slow", answer(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	slow := make(chan timed, 1)
	go func() {
		began := time.Now()
		a := s.http1(t, request{method: "GET", host: s.host("gate"), target: "/oauth2/sign_in?provider=slow", header: navigation})
		slow <- timed{a, time.Since(began)}
	}()
	<-asked
	s.signedInAt(t, "good", hostile.Person(nil)) // while it hangs
	for _, id := range []string{"foreign", "slash", "keyless", "large", "moved"} {
		s.away(t, id)
	}
	if n := s.world.Issuer("moved").Calls("elsewhere"); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
	x := <-slow
	s.declined(t, "slow", x.answer, http.StatusServiceUnavailable)
	if x.took > bound(12*time.Second) {
		t.Errorf("the slow one held a person up for %v", x.took)
	}
}

// timed is an answer and how long it took.
type timed struct {
	answer
	took time.Duration
}

// A19: what a provider, or whoever wrote the address, says of an error is text
// that goes nowhere.
func scriptInErrors(t *testing.T, s *siege) {
	for what, c := range map[string]struct {
		code   string
		status int
	}{"denied": {"access_denied", 403}, "odd": {"<script>alert(1)</script>", 502}, "a line end": {"a\r\nSet-Cookie: x=1", 502}, "long": {strings.Repeat("a", 3000), 502}} {
		p := s.visitor(t)
		to, err := url.Parse(s.starts(t, p, "good"))
		if err != nil {
			t.Fatal(err)
		}
		q := url.Values{"state": {to.Query().Get("state")}, "iss": {s.world.Issuer("good").URL}, "error": {c.code}, "error_description": {`"><script>alert(1)</script>`}, "error_uri": {"javascript:alert(1)"}}
		r := p.Get(t, s.Origin("gate")+"/callback/good?"+q.Encode())
		s.turnedAway(t, what, p, r, c.status)
		if strings.Contains(r.Text, "alert(1)") || strings.Contains(s.Output(), "alert(1)") || len(r.Header.Values("Set-Cookie")) != 0 && strings.Contains(r.Header.Get("Set-Cookie"), "x=1") {
			t.Errorf("%s: the page or the log repeats it:\n%s", what, r.Text)
		}
	}
}

// A20: a token endpoint that leads elsewhere would have code and verifier
// posted there.
func redirectedToken(t *testing.T, s *siege) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.world.Issuer("redirect").Behave(hostile.Behaviour{Answer: map[string]http.HandlerFunc{"token": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", s.world.Issuer("twin").URL+"/token")
			w.WriteHeader(status)
		}}})
		s.silent(t, func() {
			p, r := s.comesBack(t, "redirect", hostile.Person(nil))
			s.turnedAway(t, fmt.Sprint(status), p, r, http.StatusServiceUnavailable)
		}, "twin")
	}
}
