package attack

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// returnTargets: wherever rd says, sign-in leads to an origin of the routes
// file or to the landing page.
var returnTargets = []attack{
	{"R1", unsafeTargets("/%5Cevil.example", "/%5C%5Cevil.example", "%5C%5Cevil.example", "%5Cevil.example", "/%5C/evil.example",
		"@portal/%5C@evil.example%0a", "http:%5C%5Cevil.example", "http:/%5Cevil.example", "@portal%5C.evil.example", "@portal/x%5Cy")},
	{"R2", unsafeTargets("/%09/evil.example", "%09//evil.example", "/%0a/evil.example", "/%0d/evil.example", "/%0b/evil.example", "/%00/evil.example",
		"ht%09tp://evil.example", "%20http://evil.example", "@portal/%09", "@portal%0a.evil.example", "@portal/%7f", "%01http://evil.example")},
	{"R3", unsafeTargets("//evil.example", "///evil.example", "////evil.example", "/./%5Cevil.example", "/%2f%2fevil.example", "%2f%2fevil.example",
		"/.//evil.example", "/..//evil.example", "http:///evil.example", "http:////evil.example", "//evil.example/%2e%2e", "/%252f%252fevil.example")},
	{"R4", unsafeTargets("http://evilportal.neosc.localhost", "@portal.evil.example", "@portal.", "http://evil.example", "https://evilneosc.localhost",
		"http://neosc.localhost", "http://portal.neosc.localhost.evil.example", "http://other.neosc.localhost:@port", "http://PORTAL.neosc.localhost:@port")},
	{"R5", unsafeTargets("@portal@evil.example", "http://portal.neosc.localhost@evil.example", "http://evil.example%5C@portal.neosc.localhost:@port/",
		"http://evil%5C@portal.neosc.localhost:@port", "http://user:pass@portal.neosc.localhost:@port/", "http://@portal.neosc.localhost:@port/",
		"http://evil.example%23@portal.neosc.localhost:@port/", "http://evil.example%3F@portal.neosc.localhost:@port/", "http://evil.example%2F@portal.neosc.localhost:@port/")},
	{"R6", unsafeTargets("http://portal.neosc.localhost:4443/", "http://portal.neosc.localhost/", "http://portal.neosc.localhost:/", "http://portal.neosc.localhost:0@port/",
		"http://portal.neosc.localhost:@port:80/", "javascript:alert(1)", "JaVaScRiPt:alert(1)//http://portal.neosc.localhost", "data:text/html,x", "https:/evil.example",
		"https:evil.example", "http:evil.example", "@other://portal.neosc.localhost:@port/", "HTTP://portal.neosc.localhost:@port/", "ftp://portal.neosc.localhost:@port/", "http:portal.neosc.localhost:@port")},
	{"R7", unsafeTargets("http://portal%E3%80%82neosc.localhost:@port/", "http://portal%EF%BC%8Eneosc.localhost:@port/", "%EF%BC%8F%EF%BC%8Fevil.example",
		"http://%EF%BD%90ortal.neosc.localhost:@port/", "http:%EF%BC%8F/evil.example", "http://evil.example%EF%BC%8F.portal.neosc.localhost:@port/",
		"http://portal.neosc.localhost:@port%EF%BC%BCevil.example", "http://xn--portal-.neosc.localhost:@port/", "%E2%80%AEhttp://evil.example")},
	{"R8", forwardedHostChangesNoLocation},
	{"R9", lineEndsInjectNothing},
	{"R10", unsafeTargets("@gate/oauth2/sign_out", "@gate/oauth2/sign_out?x=1", "@gate/callback/zitadel?code=1&state=2", "@gate//oauth2/sign_out", "@gate/%6Fauth2/sign_out",
		"@gate/oauth2/sign_in?rd=x", "@gate/./oauth2/sign_out", "@gate/?rd=http://evil.example", "@gate/%3B/../oauth2/sign_out", "/oauth2/sign_out", "@gate/assets/../callback/x")},
}

var formToken = regexp.MustCompile(`name="csrf" value="([^"]*)"`)

// form is a sign-in form that was fetched: its cookie and its token.
type form struct{ cookie, token string }

func (s *siege) form(t testing.TB) form {
	t.Helper()
	return s.formAt(t, "/oauth2/sign_in")
}

func (s *siege) formAt(t testing.TB, page string) form {
	t.Helper()
	a := s.http1(t, request{method: "GET", host: s.host("gate"), target: page, header: navigation})
	m := formToken.FindStringSubmatch(a.body)
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	if m == nil || cookie == "" {
		t.Fatalf("no form on %s: %d\n%s", page, a.status, a.body)
	}
	return form{cookie, m[1]}
}

// navigation is what a browser's navigation sends.
var navigation = []string{"Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}

// program is what a script sends.
var program = []string{"Accept: application/json"}

func with(header []string, more ...string) []string {
	return append(append([]string(nil), header...), more...)
}

// post sends the sign-in form. rest is the body after email, password and
// token, as it stands.
func (s *siege) post(f form, email, password, rest string) request {
	values := url.Values{"email": {email}, "password": {password}, "csrf": {f.token}}
	return request{method: "POST", host: s.host("gate"), target: "/oauth2/sign_in", body: values.Encode() + rest, header: with(navigation,
		"Origin: "+s.Origin("gate"), "Content-Type: application/x-www-form-urlencoded", "Cookie: "+f.cookie)}
}

// spelled puts the demo's origins into a target.
func (s *siege) spelled(target string) string {
	for _, host := range []string{"portal", "gate"} {
		target = strings.Replace(target, "@"+host, s.Origin(host), 1)
	}
	target = strings.Replace(target, "@other", s.otherScheme(), 1)
	return strings.ReplaceAll(target, "@port", s.Origin("x")[strings.LastIndex(s.Origin("x"), ":")+1:])
}

// unsafeTargets are values of rd, percent-encoded as on the wire, that lead to
// the default page: after signing in with the form, when already signed in, and
// on the page itself.
func unsafeTargets(targets ...string) func(*testing.T, *siege) {
	return func(t *testing.T, s *siege) {
		f, home := s.form(t), s.Origin("gate")+"/"
		cookie := s.cookieOf(t, "user")
		email := "user@" + kit.Domain
		for i, raw := range targets {
			rd := s.spelled(raw)
			// The password is hashed for one target over each protocol; what
			// follows is the same code.
			for proto, send := range wires {
				if i%2 == 0 && proto == "HTTP/2" {
					continue
				}
				a := send(s, t, s.post(f, email, s.Passwords[email], "&rd="+rd))
				if a.status != http.StatusSeeOther || a.header.Get("Location") != home {
					t.Errorf("%s: signing in with rd=%s answered %d to %q, want 303 to %s", proto, rd, a.status, a.header.Get("Location"), home)
				}
			}
			page := request{method: "GET", host: s.host("gate"), target: "/oauth2/sign_in?rd=" + rd, header: navigation}
			s.both(t, page, func(proto string, a answer) {
				if a.status != http.StatusOK || strings.Contains(a.body, `name="rd"`) || strings.Contains(formToken.ReplaceAllString(a.body, ""), "evil") { // a token may spell it
					t.Errorf("%s: the form for rd=%s answered %d and keeps the target\n%.2000s", proto, rd, a.status, a.body)
				}
			})
			page.header = with(navigation, "Cookie: _pomerium="+cookie)
			s.both(t, page, func(proto string, a answer) {
				if a.status != http.StatusFound || a.header.Get("Location") != home {
					t.Errorf("%s: when signed in, rd=%s answered %d to %q, want 302 to %s", proto, rd, a.status, a.header.Get("Location"), home)
				}
			})
		}
		twice := s.post(f, email, s.Passwords[email], "&rd="+url.QueryEscape(s.Origin("portal")+"/")+"&rd=http://evil.example")
		s.declined(t, "rd twice", s.http1(t, twice), http.StatusBadRequest)
	}
}

// R8: what a client says of the host changes no redirect.
func forwardedHostChangesNoLocation(t *testing.T, s *siege) {
	said := [][]string{nil}
	for _, name := range []string{"X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-Original-Host", "X-HTTP-Host-Override", "X-Forwarded-Prefix", "X-Forwarded-Uri"} {
		said = append(said, []string{name + ": evil.example"})
	}
	said = append(said, []string{"Forwarded: for=1.2.3.4;host=evil.example;proto=https"}, []string{"X-Forwarded-Proto: https", "X-Forwarded-Port: 4443"})
	want := s.Origin("gate") + "/oauth2/sign_in?rd=" + url.QueryEscape(s.Origin("portal")+"/a?b=c")
	for _, header := range said {
		for _, host := range []string{s.host("portal"), "portal." + kit.Domain, "portal." + kit.Domain + ":4443", "PORTAL." + kit.Domain + ".:1"} {
			s.both(t, request{method: "GET", host: host, target: "/a?b=c", header: with(navigation, header...)}, func(proto string, a answer) {
				s.refused(t, proto, a, http.StatusFound)
				if got := a.header.Get("Location"); got != want {
					t.Errorf("%s: with %q at %s the redirect goes to %q, want %q", proto, header, host, got, want)
				}
			})
		}
		f, email := s.form(t), "user@"+kit.Domain
		r := s.post(f, email, s.Passwords[email], "&rd="+url.QueryEscape(s.Origin("portal")+"/x"))
		r.header = append(r.header, header...)
		if a := s.http1(t, r); a.header.Get("Location") != s.Origin("portal")+"/x" {
			t.Errorf("with %q signing in leads to %q", header, a.header.Get("Location"))
		}
	}
}

// R9: line ends in a target or a header are refused or harmless.
func lineEndsInjectNothing(t *testing.T, s *siege) {
	for _, raw := range []string{"/oauth2/sign_in?rd=/x\rSet-Cookie: evil=1", "/oauth2/sign_in?rd=/x\nSet-Cookie: evil=1", "/a\rb", "/a\nb", "/a\x0bb", "/a%0d%0aSet-Cookie:%20evil=1", "/a%0Ab", "/a%0d"} {
		for _, host := range []string{"gate", "portal"} {
			s.both(t, request{method: "GET", host: s.host(host), target: raw, header: navigation}, func(proto string, a answer) {
				s.refused(t, proto+" "+raw, a, denials(proto, http.StatusBadRequest, http.StatusUpgradeRequired)...) // a line without HTTP/1.1 is HTTP/1.0's or older
			})
		}
	}
	unsafeTargets("%0d%0aSet-Cookie:%20evil=1", "@portal/%0d%0aX-Evil:%201", "@portal/%0aLocation:%20http://evil.example", "@gate/%0d%0a%0d%0a<script>evil</script>")(t, s)
	f, email := s.form(t), "user@"+kit.Domain
	for _, rd := range []string{"%FF%FE", "%zz", "%", "a;b"} {
		s.declined(t, "rd="+rd, s.http1(t, s.post(f, email, s.Passwords[email], "&rd="+rd)), http.StatusBadRequest)
	}
	// Encoded once more they are text of the target's own query, and stay so.
	target := s.Origin("portal") + "/x?y=%0d%0aX-Evil:1"
	a := s.http1(t, s.post(f, email, s.Passwords[email], "&rd="+url.QueryEscape(target)))
	if a.status != http.StatusSeeOther || a.header.Get("Location") != target || a.header.Get("X-Evil") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

// denials adds, over HTTP/2, the end of the stream without an answer: what is
// no HTTP/2 at all is a protocol error there (RFC 9113, 8.1.1), and no status.
func denials(proto string, statuses ...int) []int {
	if proto == "HTTP/2" {
		return append(statuses, 0)
	}
	return statuses
}
