package attack

import (
	"net/http"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// hosts: one rule for one host, however it is written.
var hosts = []attack{{"O1", upperCaseHosts}, {"O2", dotsAndPorts}, {"O3", otherAlphabets}, {"O4", twoHosts}, {"O5", unknownHosts}}

// sameRule asks for the API as neosc and for admin as user under a spelling of
// their hosts: the first opens, the second does not.
func (s *siege) sameRule(t *testing.T, spell func(host string) string) {
	t.Helper()
	neosc, user := with(program, "Cookie: _pomerium="+s.cookieOf(t, "neosc")), with(program, "Cookie: _pomerium="+s.cookieOf(t, "user"))
	s.both(t, request{method: "GET", host: spell("api.portal." + kit.Domain), target: "/api/whoami", header: neosc}, func(proto string, a answer) {
		x := s.arrived(t, proto+" "+spell("api.portal."+kit.Domain), a)
		if got := strings.Join(x.Headers["X-Pomerium-Seen-Route"], "|"); got != "api" {
			t.Errorf("%s: %s is route %q", proto, spell("api.portal."+kit.Domain), got)
		}
	})
	s.both(t, request{method: "GET", host: spell("admin.portal." + kit.Domain), target: "/users", header: user}, func(proto string, a answer) {
		s.refused(t, proto+" "+spell("admin.portal."+kit.Domain), a, http.StatusForbidden)
	})
	s.both(t, request{method: "GET", host: spell("workspace.portal." + kit.Domain), target: "/", header: program}, func(proto string, a answer) {
		s.refused(t, proto+" "+spell("workspace.portal."+kit.Domain), a, http.StatusUnauthorized)
	})
}

func upperCaseHosts(t *testing.T, s *siege) {
	s.sameRule(t, strings.ToUpper)
	s.sameRule(t, func(h string) string { return strings.ToUpper(h[:1]) + h[1:] })
	s.sameRule(t, func(h string) string { return strings.Replace(h, "neosc", "NeoSC", 1) })
}

func dotsAndPorts(t *testing.T, s *siege) {
	for _, tail := range []string{".", ":80", ":443", ":1", ":65535", ".:80"} {
		s.sameRule(t, func(h string) string { return h + tail })
		s.sameRule(t, func(h string) string { return strings.ToUpper(h) + tail })
	}
	for _, host := range []string{"api.portal." + kit.Domain + "..", ".api.portal." + kit.Domain, "api..portal." + kit.Domain, "api.portal." + kit.Domain + ":80:80", "api.portal." + kit.Domain + ":x"} {
		s.noHost(t, host)
	}
}

// noHost is refused for everybody, though they hold a session that opens all.
func (s *siege) noHost(t *testing.T, host string) {
	t.Helper()
	for _, target := range []string{"/", "/api/whoami", "/oauth2/sign_in"} {
		r := request{method: "GET", host: host, target: target, header: with(program, "Cookie: _pomerium="+s.cookieOf(t, "admin"))}
		s.both(t, r, func(proto string, a answer) {
			s.refused(t, proto+" host "+host+target, a, denials(proto, http.StatusNotFound, http.StatusBadRequest)...)
		})
	}
}

func otherAlphabets(t *testing.T, s *siege) {
	for _, host := range []string{
		"ａｐｉ.portal." + kit.Domain, "api。portal." + kit.Domain, "api．portal." + kit.Domain, "аpi.portal." + kit.Domain, "xn--pi-6kc.portal." + kit.Domain, "xn--api-.portal." + kit.Domain,
		"api.portal.neosc.lo\u212aalhost", "api%2eportal." + kit.Domain, "api.portal\u200b." + kit.Domain, "api.portal.neo\u017fc.localhost",
	} {
		s.noHost(t, host)
	}
}

func twoHosts(t *testing.T, s *siege) {
	cookie := "Cookie: _pomerium=" + s.cookieOf(t, "neosc")
	api, admin := s.host("api.portal"), s.host("admin.portal")
	for _, lines := range [][]string{
		{"Host: " + api, "Host: " + admin}, {"Host: " + admin, "Host: " + api}, {"Host: " + api, "host: " + api}, {"Host: " + api + ", " + admin}, {"Host: " + api + "," + api},
		{"Host: " + api + " " + admin}, {"Host: " + api, " folded.example"}, {"Host : " + api}, {"Host:"}, {"Host: " + api + "\t" + admin}, {"Host: user@" + api}, {"Host: " + api + "/x"}, {"X: y"},
	} {
		text := "GET /api/whoami HTTP/1.1\r\n" + strings.Join(append(lines, "Accept: application/json", cookie, "Connection: close"), "\r\n") + "\r\n\r\n"
		s.refused(t, strings.Join(lines, " | "), s.raw(t, text), http.StatusBadRequest, http.StatusNotFound)
	}
	f := request{method: "GET", host: api, target: "/api/whoami", header: with(program, cookie)}.fields(s.scheme())
	for what, extra := range map[string][]field{"other Host": {{"host", admin}}, "two authorities": {{":authority", admin}}, "two Hosts": {{"host", api}, {"host", admin}}} {
		all := append(append([]field(nil), f[:4]...), extra...)
		a := s.stream(t, append(all, f[4:]...))
		if a.status == http.StatusOK { // :authority counts and Host is dropped (RFC 9113, 8.3.1)
			if x := s.arrived(t, what, a); !strings.HasPrefix(x.Host, "api.portal.") || x.Headers["Host"] != nil {
				t.Errorf("HTTP/2 with %s arrived at %q", what, x.Host)
			}
			continue
		}
		s.refused(t, "HTTP/2 "+what, a, 0, http.StatusBadRequest)
	}
	for _, host := range []string{api + ", " + admin, api + "," + admin, "", " ", "user@" + api, api + "/x"} {
		s.refused(t, "HTTP/2 authority "+host, s.http2(t, request{method: "GET", host: host, target: "/api/whoami", header: with(program, cookie)}), 0, http.StatusBadRequest, http.StatusNotFound)
	}
}

func unknownHosts(t *testing.T, s *siege) {
	for _, host := range []string{"evil.example", "127.0.0.1", s.addr(), "localhost", kit.Domain, "evil." + kit.Domain, "evilapi.portal." + kit.Domain, "x.api.portal." + kit.Domain, "portal." + kit.Domain + ".evil.example", "[::1]", "authz", "gate_http", "*", "*." + kit.Domain, "0", "2130706433"} {
		s.noHost(t, host)
	}
}
