package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// H12: line ends in what a client or a claim says make no second header and no
// second line of a log. (That all lines are whole is looked at in the end.)
func lineEndsInValues(t *testing.T, s *siege) {
	for _, v := range []string{"a\rX-Evil: 1", "a\x00b", "a\r\r\nX-Evil: 1", "a\x0bb", "a\x01b", "a\x7fb"} {
		for _, name := range []string{"User-Agent", "X-Custom", "Referer", "Accept"} {
			header := with(program, "Cookie: _pomerium="+s.cookieOf(t, "user"), name+": "+v)
			s.both(t, request{method: "GET", host: s.host("admin.portal"), target: "/users", header: header}, func(proto string, a answer) {
				s.refused(t, fmt.Sprintf("%s %s %q", proto, name, v), a, denials(proto, http.StatusBadRequest, http.StatusForbidden)...)
			})
		}
	}
	// HTTP/2 could carry what HTTP/1 cannot.
	for _, v := range []string{"a\r\nX-Evil: 1", "a\nb", "a\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n"} {
		for _, name := range []string{"user-agent", "x-custom", "cookie", "origin", ":path", ":authority", ":method"} {
			f := request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: with(program, "Cookie: _pomerium="+s.cookieOf(t, "neosc"))}.fields(s.scheme())
			if i := slices.IndexFunc(f, func(x field) bool { return x.name == name }); i >= 0 && name[0] == ':' {
				f[i].value += v
			} else {
				f = append(f, field{name, v})
			}
			s.refused(t, fmt.Sprintf("HTTP/2 %s with %q", name, v), s.stream(t, f), 0, http.StatusBadRequest)
		}
	}
	forgedClaims(t, s)
}

// forgedClaims: operators, like identity providers, can put anything into a
// claim. What would break a header is left out of it.
func forgedClaims(t *testing.T, s *siege) {
	for _, v := range []string{`"d\r\nX-Evil: 1"`, `"d\nX-Evil: 1"`, `"d\u0000"`, `"d\u2028X-Evil: 1"`, `" d"`} {
		cookie, _ := s.create(t, "-email", "ops@"+kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id=demo-1", "-claim", "neosc:workspace_type:="+v)
		s.both(t, request{method: "GET", host: s.host("workspace.portal"), target: "/", header: with(navigation, "Cookie: _pomerium="+cookie)}, func(proto string, a answer) {
			s.clean(t, proto+" "+v, a)
			if a.status != http.StatusOK || strings.Contains(a.body, "X-Evil") || strings.Contains(a.body, "X-Workspace-Type") {
				t.Errorf("%s: with workspace type %s the workspace answered %d\n%s", proto, v, a.status, a.body)
			}
		})
		cookie, _ = s.create(t, "-email", "ops@"+kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id:="+v)
		s.both(t, request{method: "GET", host: s.host("workspace.portal"), target: "/", header: with(program, "Cookie: _pomerium="+cookie)}, func(proto string, a answer) {
			s.refused(t, proto+" demo session "+v, a, http.StatusForbidden)
		})
	}
	for _, args := range [][]string{{"-email", "a\r\nX-Evil: 1@" + kit.Domain}, {"-email", "ops@" + kit.Domain, "-role", "admin\r\nX-Evil: 1"}, {"-email", "ops@" + kit.Domain, "-role", "a", "-user", "x\r\nX-Evil: 1"}} {
		out, err := s.tryCreate(t, args...)
		if err != nil {
			continue // refused: no session says so
		}
		value := strings.TrimPrefix(out.Cookie, "_pomerium=")
		s.secret("a forged session", value)
		s.both(t, request{method: "GET", host: s.host("portal"), target: "/", header: with(navigation, "Cookie: _pomerium="+value)}, func(proto string, a answer) {
			s.clean(t, proto, a)
			if strings.Contains(a.body, "<dd>1</dd>") || a.header.Get("X-Evil") != "" {
				t.Errorf("%s: %q became a header", proto, args)
			}
		})
	}
}
