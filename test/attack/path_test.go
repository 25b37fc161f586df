package attack

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// one is a target and the path under which policy and upstream must both see
// it; "" for one that is refused with 400 before either does.
type one struct{ target, want string }

// paths: either refused at once, or judged as the upstream sees it; and no
// spelling opens more than the plain one.
var paths = []attack{
	{"P1", path("/public/../admin", one{"/public/../admin", "/admin"}, one{"/a/./b", "/a/b"}, one{"/../../admin", "/admin"}, one{"/public/x/../../admin", "/admin"})},
	{"P2", path("/%2e%2e/", one{"/public/%2e%2e/admin", "/admin"}, one{"/public/.%2E/admin", "/admin"}, one{"/public/%2E./admin", "/admin"}, one{"/%2e/admin", "/admin"})},
	{"P3", path("..%2f", one{"/public%2F..%2Fadmin", ""}, one{"/public%2f..%2fadmin", ""}, one{"/public/..%2fadmin", ""}, one{"/%2fadmin", ""}, one{"/admin%2F", ""})},
	{"P4", path("%252e", one{"/public%252f..%252fadmin", ""}, one{"/public/%252e%252e/admin", ""}, one{"/public/%25252e%25252e/admin", ""}, one{"/public%255c..%255Cadmin", ""}, one{"/admin%2500", ""}, one{"/admin%253bx", ""})},
	{"P5", path("//", one{"//admin", "/admin"}, one{"//evil.example/admin", "/evil.example/admin"}, one{"/public///admin", "/public/admin"}, one{"///admin//", "/admin/"})},
	{"P6", path("/..;/", one{"/public/..;/admin", "/admin"}, one{"/public/..%3B/admin", ""}, one{"/public/%2e%2e;/admin", ""}, one{"/admin;x", "/admin;x"}, one{"/admin;x=1/users", "/admin;x=1/users"}, one{"/;/admin", "/;/admin"})},
	{"P7", path("%5C", one{"/public%5C..%5Cadmin", ""}, one{"/public%5c..%5cadmin", ""}, one{`/public\..\admin`, "/admin"}, one{`\admin`, "="}, one{`/\admin`, "/admin"})},
	{"P8", path("%00", one{"/admin%00.css", ""}, one{"/public/%00/../admin", "="}, one{"/admin\x00.css", ""}, one{"/%00", ""}, one{"/a%01", ""}, one{"/a%7f", ""}, one{"/a%0d%0ab", ""})},
	{"P9", path("?x=/public/", one{"/admin?x=/public/", "/admin?x=/public/"}, one{"/public?/../admin", "/public?/../admin"}, one{"/admin?/public/", "/admin?/public/"}, one{"/admin?", "="})},
	{"P10", path("#", one{"/admin#/public", ""}, one{"/#", ""}, one{"/public#/../admin", ""}, one{"/a?b#c", ""}, one{"/admin%23/public", "/admin%23/public"})},
	{"P11", path("%zz", one{"/public/%zz", ""}, one{"/public/%2", ""}, one{"/public/%", ""}, one{"/public/%c0%ae%c0%ae/admin", ""}, one{"/%C1%9C", ""}, one{"/%u002e", ""}, one{"/%-1", ""}, one{"/a%20b", "/a%20b"}, one{"/100%25", "/100%25"}, one{"/%e6%97%a5", "/%e6%97%a5"})},
	{"P12", absoluteForms},
	{"P13", path("?a?b", one{"/a?b?c=%2f..%2f", "/a?b?c=%2f..%2f"}, one{"/a?b=%zz", ""}, one{"/a?b=%00", "/a?b=%00"}, one{"/a?b;c&d&&=", ""}, one{"/a?b&d&&=", "/a?b&d&&="}, one{"/a%3Fb?c", "/a%3Fb?c"}, one{"/a?b=//x", "/a?b=//x"})},
	{"P14", upstreamsView},
	{"P15", path("/ADMIN", one{"/ADMIN", "/ADMIN"}, one{"/admin/", "/admin/"}, one{"/admin.", "/admin."}, one{"/public/admin/..", "/public/"}, one{"/admin%20", "/admin%20"}, one{"/admin~", "/admin~"}, one{"/admin.json", "/admin.json"})},
}

// path asks with an open session, and then with none and with too little: no
// spelling that holds `trick` opens what is closed.
func path(trick string, targets ...one) func(*testing.T, *siege) {
	return func(t *testing.T, s *siege) {
		for _, c := range targets {
			s.judged(t, c)
		}
		s.opensNothing(t, trick, targets)
	}
}

// judged sends one target as somebody who may, and compares what policy saw
// with what arrived. A want of "=" leaves open which, as long as both agree or
// it is refused with 400.
func (s *siege) judged(t *testing.T, c one) {
	t.Helper()
	header := with(program, "Cookie: _pomerium="+s.cookieOf(t, "neosc"))
	s.both(t, request{method: "GET", host: s.host("api.portal"), target: c.target, header: header}, func(proto string, a answer) {
		what := proto + " " + c.target
		if c.want == "" || c.want == "=" && a.status != http.StatusOK {
			s.refused(t, what, a, denials(proto, http.StatusBadRequest)...)
			return
		}
		x := s.arrived(t, what, a)
		seen := strings.Join(x.Headers["X-Pomerium-Seen-Path"], "|")
		path, query, _ := strings.Cut(seen, "?")
		decoded, err := url.PathUnescape(path)
		if err != nil || decoded != x.Path || query != x.Query || c.want != "=" && seen != c.want {
			t.Errorf("%s: policy saw %q, the upstream %q with query %q, want %q (%v)", what, seen, x.Path, x.Query, c.want, err)
		}
		parsed, _ := url.QueryUnescape(strings.Join(x.Headers["X-Pomerium-Seen-Parsed"], "|"))
		if strings.TrimLeft(x.Path, "/") != parsed {
			t.Errorf("%s: policy's parsed path is %q, the upstream's path %q", what, parsed, x.Path)
		}
	})
}

// opensNothing puts the spellings before and behind what is open, to get at
// what is not: the gate's assets are public and its landing page is not; `user`
// may launch a workspace by POST and nothing else; admin is closed to `user`
// however it is spelled.
func (s *siege) opensNothing(t *testing.T, trick string, targets []one) {
	t.Helper()
	user := with(program, "Cookie: _pomerium="+s.cookieOf(t, "user"), "Origin: "+s.Origin("api.portal"))
	closed := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
	for _, c := range targets {
		s.both(t, request{method: "GET", host: s.host("admin.portal"), target: c.target, header: user}, func(proto string, a answer) {
			s.refused(t, proto+" admin as user: "+c.target, a, denials(proto, closed...)...)
		})
		tail := strings.TrimPrefix(c.target, "/public")
		s.both(t, request{method: "GET", host: s.host("gate"), target: "/assets" + tail + "/../oauth2/sign_out", header: program}, func(proto string, a answer) {
			s.declined(t, proto+" /assets"+tail, a, denials(proto, closed...)...)
		})
	}
	for _, target := range []string{
		"/api/workspaces/1/launch" + trick + "reset", "/api/workspaces" + trick + "1/launch", "/api/workspaces/1" + trick + "launch/../../reset",
		"/api/workspaces/1/launch/.." + trick + "/reset", trick + "/api/workspaces/reset", "/api/workspaces/reset" + trick,
	} {
		s.both(t, request{method: "POST", host: s.host("api.portal"), target: target, header: user}, func(proto string, a answer) {
			if plain, _, _ := strings.Cut(target, "?"); strings.HasSuffix(plain, "/launch") { // may be normalised to exactly what is open, and arrive as such
				if a.status != http.StatusOK || !launched(a.body) {
					s.declined(t, proto+" POST "+target, a, denials(proto, closed...)...)
				}
				return
			}
			s.refused(t, proto+" POST "+target, a, denials(proto, closed...)...)
		})
	}
}

// launched reports whether an answer is the backend's to a launch.
func launched(body string) bool {
	return strings.Contains(body, `"state": "running"`) && !strings.Contains(body, "[")
}

// P12: a target without its slash, or a whole URL. The host of a whole URL is
// the one that counts (RFC 9112, 3.2.2), for the route as for everything else.
func absoluteForms(t *testing.T, s *siege) {
	user := with(program, "Cookie: _pomerium="+s.cookieOf(t, "user"))
	for _, target := range []string{"admin", "?x", "../admin", "%2fadmin", "*"} {
		s.both(t, request{method: "GET", host: s.host("portal"), target: target, header: user}, func(proto string, a answer) {
			s.refused(t, proto+" "+target, a, denials(proto, http.StatusBadRequest, http.StatusNotFound)...)
		})
	}
	admin := s.Origin("admin.portal")
	for _, target := range []string{admin + "/users", strings.ToUpper(admin) + "/users", "http://x@" + s.host("admin.portal") + "/users", admin, admin + "?/public"} {
		a := s.http1(t, request{method: "GET", host: s.host("portal"), target: target, header: user})
		s.refused(t, "a whole URL: "+target, a, http.StatusForbidden, http.StatusNotFound, http.StatusBadRequest)
		a = s.http2(t, request{method: "GET", host: s.host("portal"), target: target, header: user})
		s.refused(t, "a whole URL over HTTP/2: "+target, a, 0, http.StatusBadRequest, http.StatusNotFound)
	}
	// And the other way round: the host that is closed in Host opens nothing.
	a := s.http1(t, request{method: "GET", host: s.host("admin.portal"), target: s.Origin("api.portal") + "/x", header: user})
	x := s.arrived(t, "a whole URL of the API", a)
	if got := strings.Join(x.Headers["X-Pomerium-Seen-Route"], "|"); got != "api" || !strings.HasPrefix(x.Host, "api.portal.") || x.Path != "/x" {
		t.Errorf("a whole URL of the API was judged by route %q and arrived at host %q as %q", got, x.Host, x.Path)
	}
}

// P14: every combination of the pieces that parsers disagree about.
func upstreamsView(t *testing.T, s *siege) {
	pieces := []string{"/", "//", "/.", "/..", "/a", ";x", "%2e", "%20", "?", "%3F", "%c3%a9", `\`, "+", "&", "="}
	for i, first := range pieces {
		for j, second := range pieces {
			third := pieces[(i*7+j*3)%len(pieces)]
			s.judged(t, one{"/api" + first + second + third, "="})
		}
	}
	long := "/" + strings.Repeat("a/", 2000)
	for _, target := range []string{long, long + "../admin", "/" + strings.Repeat("/", 5000) + "b", "/" + strings.Repeat("../", 2000) + "admin"} {
		s.judged(t, one{target, "="})
	}
}
