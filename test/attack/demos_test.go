package attack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// S12: a demo closes every application when it ends, a WebSocket that it had
// opened too; and a claim that is no demo's opens nothing.
func demosEnd(t *testing.T, s *siege) {
	end := time.Now().Add(10 * time.Second)
	claim := func(v string) []string {
		return []string{"-email", "guest@" + kit.Domain, "-role", "demo-user", "-role", "admin", "-claim", "neosc:demo_session_id=demo-1", "-claim", "neosc:demo_expires_at" + v}
	}
	text, _ := s.create(t, claim("="+end.UTC().Format(time.RFC3339Nano))...)
	seconds, _ := s.create(t, claim(fmt.Sprintf(":=%d", end.Unix()))...)
	socket := s.openSocket(t, "workspace.portal", "Cookie: _pomerium="+text, "Origin: "+s.Origin("workspace.portal"))
	defer socket.Close()
	applications := []string{"portal", "api.portal", "admin.portal", "workspace.portal"}
	for _, forged := range []string{"=", "=never", "=2999", "=2999-01-01", "=+1", ":=null", ":=[]", ":={}", ":=true", ":=-1", ":=0", ":=99999999999999", "=99999999999999", `:=["2999-01-01T00:00:00Z"]`, "=2020-01-01T00:00:00Z", ":=1600000000", "=2999-01-01T00:00:00", "=1e99"} {
		value, _ := s.create(t, claim(forged)...)
		for _, host := range applications {
			a := s.http1(t, s.asks(host, "_pomerium="+value))
			s.refused(t, host+" with demo_expires_at"+forged, a, http.StatusForbidden)
			if !strings.Contains(a.body, "demo_expired") {
				t.Errorf("%s with demo_expires_at%s: %s", host, forged, a.body)
			}
		}
	}
	for _, forged := range []string{"=", "= ", ":=1", ":=true", ":=null", `:=["demo-1"]`, `:={"demo-1":1}`, "=" + strings.Repeat("a", 300), `:="a\nb"`} {
		value, _ := s.create(t, "-email", "guest@"+kit.Domain, "-role", "demo-user", "-claim", "neosc:demo_session_id"+forged)
		s.both(t, s.asks("workspace.portal", "_pomerium="+value), func(proto string, a answer) {
			s.refused(t, proto+" with demo_session_id"+forged, a, http.StatusForbidden)
		})
	}
	// The claims of a session are its record's: saying them in headers is no use.
	plain, _ := s.create(t, "-email", "guest@"+kit.Domain, "-role", "demo-user")
	r := s.asks("workspace.portal", "_pomerium="+plain)
	r.header = with(r.header, "X-Session-ID: demo-1", "X-Pomerium-Claim-Neosc-Demo-Session-Id: demo-1", "X-Demo-Session: demo-1")
	s.both(t, r, func(proto string, a answer) { s.refused(t, proto+" a claim in a header", a, http.StatusForbidden) })

	socket.awaitEnd(t, end, bound(2*time.Second))
	within(t, 20*time.Second, "the demo ends", func() bool { return !s.lives(t, text) && !s.lives(t, seconds) })
	for _, value := range []string{text, seconds} {
		for _, host := range applications {
			s.both(t, s.asks(host, "_pomerium="+value), func(proto string, a answer) {
				s.refused(t, proto+" "+host+" after the demo", a, http.StatusForbidden)
			})
		}
		s.refused(t, "a socket after the demo", s.upgrade(t, "workspace.portal", "/ws", "websocket", "Cookie: _pomerium="+value, "Origin: "+s.Origin("workspace.portal")), http.StatusForbidden)
	}
}
