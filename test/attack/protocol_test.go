package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// protocols: methods, upgrades, pseudo-headers and schemes.
var protocols = []attack{
	{"W1", connects}, {"W2", foreignSockets}, {"W3", foreignSocketsOverHTTP2}, {"W4", oddPseudoHeaders}, {"W5", oddMethods},
	{"W6", fakePreflights}, {"W8", upgradesWhereListed}, {"W9", oddSchemes},
}

// W1: CONNECT opens nothing, over either protocol.
func connects(t *testing.T, s *siege) {
	cookie := "Cookie: _pomerium=" + s.cookieOf(t, "admin")
	closed := []int{0, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed}
	for _, target := range []string{s.host("portal"), "127.0.0.1:22", "evil.example:443", "/", s.Origin("admin.portal") + "/"} {
		for _, host := range []string{s.host("portal"), s.host("workspace.portal"), target} {
			a := s.raw(t, "CONNECT "+target+" HTTP/1.1\r\nHost: "+host+"\r\n"+cookie+"\r\n\r\n")
			s.refused(t, "CONNECT "+target+" at "+host, a, closed...)
		}
	}
	c := field{"cookie", "_pomerium=" + s.cookieOf(t, "admin")}
	for what, f := range map[string][]field{
		"plain":           {{":method", "CONNECT"}, {":authority", s.host("portal")}, c},
		"elsewhere":       {{":method", "CONNECT"}, {":authority", "127.0.0.1:22"}, c},
		"with a path":     {{":method", "CONNECT"}, {":scheme", s.scheme()}, {":path", "/"}, {":authority", s.host("portal")}, c},
		"no path":         {{":method", "CONNECT"}, {":scheme", s.scheme()}, {":authority", s.host("portal")}, {":protocol", "websocket"}, c},
		"empty protocol":  {{":method", "CONNECT"}, {":scheme", s.scheme()}, {":path", "/ws"}, {":authority", s.host("portal")}, {":protocol", ""}, c},
		"connect-udp":     {{":method", "CONNECT"}, {":scheme", s.scheme()}, {":path", "/ws"}, {":authority", s.host("portal")}, {":protocol", "connect-udp"}, c},
		"no authority":    {{":method", "CONNECT"}, c},
		"GET of protocol": {{":method", "GET"}, {":scheme", s.scheme()}, {":path", "/ws"}, {":authority", s.host("portal")}, {":protocol", "websocket"}, c},
	} {
		s.refused(t, "HTTP/2 CONNECT "+what, s.stream(t, f), closed...)
	}
}

// sockets are the hosts that have WebSockets, and who may open them.
var sockets = map[string]string{"portal": "user", "workspace.portal": "admin"}

// foreign are origins from which no socket of host may be opened.
func (s *siege) foreign(host string) []string {
	out := []string{"", "null", "http://evil.example", s.Origin("gate"), s.Origin("api.portal"), s.otherScheme() + "://" + s.host(host), strings.ToUpper(s.Origin(host)), s.Origin(host) + "/",
		strings.TrimSuffix(s.Origin(host), fmt.Sprintf(":%d", s.Port)), s.Origin(host) + ".evil.example", s.Origin(host) + "@evil.example", s.host(host), "*"}
	for other := range sockets {
		if other != host {
			out = append(out, s.Origin(other))
		}
	}
	return out
}

// W2: a page of another site opens no socket with a visitor's cookie.
func foreignSockets(t *testing.T, s *siege) {
	for host, who := range sockets {
		cookie := "Cookie: _pomerium=" + s.cookieOf(t, who)
		for _, origin := range s.foreign(host) {
			header := []string{cookie}
			if origin != "" {
				header = append(header, "Origin: "+origin)
			}
			s.refused(t, host+" from "+origin, s.upgrade(t, host, "/ws", "websocket", header...), http.StatusForbidden)
			s.refused(t, host+" from "+origin, s.upgrade(t, host, "/ws", "WebSocket", header...), http.StatusForbidden)
		}
		twice := s.upgrade(t, host, "/ws", "websocket", cookie, "Origin: "+s.Origin(host), "Origin: http://evil.example")
		s.refused(t, host+" from two origins", twice, http.StatusForbidden)
		s.refused(t, host+" without a session", s.upgrade(t, host, "/ws", "websocket", "Origin: "+s.Origin(host)), http.StatusUnauthorized)
		if a := s.upgrade(t, host, "/ws", "websocket", cookie, "Origin: "+s.Origin(host)); a.status != http.StatusSwitchingProtocols {
			t.Errorf("%s from its own origin: %d\n%s", host, a.status, a.body)
		}
	}
}

// socket2 asks for a WebSocket over HTTP/2 (RFC 8441).
func (s *siege) socket2(t *testing.T, host, target, protocol string, more ...field) answer {
	t.Helper()
	fields := append([]field{{":method", "CONNECT"}, {":protocol", protocol}, {":scheme", s.scheme()}, {":authority", s.host(host)}, {":path", target}, {"sec-websocket-version", "13"}, {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="}}, more...)
	return s.patient(func() answer {
		h := s.h2(t, nil)
		defer h.conn.Close()
		h.send(fields, "", false)
		return h.readHeaders(t)
	})
}

// W3: the same over HTTP/2.
func foreignSocketsOverHTTP2(t *testing.T, s *siege) {
	for host, who := range sockets {
		cookie := field{"cookie", "_pomerium=" + s.cookieOf(t, who)}
		for _, origin := range s.foreign(host) {
			more := []field{cookie}
			if origin != "" {
				more = append(more, field{"origin", origin})
			}
			s.refused(t, "HTTP/2 "+host+" from "+origin, s.socket2(t, host, "/ws", "websocket", more...), http.StatusForbidden)
		}
		own := field{"origin", s.Origin(host)}
		s.refused(t, "HTTP/2 "+host+" from two origins", s.socket2(t, host, "/ws", "websocket", cookie, own, field{"origin", "http://evil.example"}), http.StatusForbidden)
		s.refused(t, "HTTP/2 "+host+" without a session", s.socket2(t, host, "/ws", "websocket", own), http.StatusUnauthorized)
		for _, protocol := range []string{"foo", "h2c", "spdy/4", "websocket, foo"} {
			s.refused(t, "HTTP/2 "+host+" "+protocol, s.socket2(t, host, "/ws", protocol, cookie, own), 0, http.StatusBadRequest, http.StatusForbidden)
		}
		if a := s.socket2(t, host, "/ws", "websocket", cookie, own); a.status != http.StatusOK {
			t.Errorf("HTTP/2 %s from its own origin: %d\n%s", host, a.status, a.body)
		}
	}
	admin := field{"cookie", "_pomerium=" + s.cookieOf(t, "admin")}
	for _, host := range []string{"api.portal", "admin.portal", "gate"} {
		s.refused(t, "HTTP/2 websocket at "+host, s.socket2(t, host, "/ws", "websocket", admin, field{"origin", s.Origin(host)}), 0, http.StatusForbidden)
	}
}

// W4: pseudo-headers that are missing, double, late, unknown or not what they
// should be.
func oddPseudoHeaders(t *testing.T, s *siege) {
	good := request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: with(program, "Cookie: _pomerium="+s.cookieOf(t, "neosc"))}.fields(s.scheme())
	without := func(name string) []field {
		return slices.DeleteFunc(slices.Clone(good), func(f field) bool { return f.name == name })
	}
	replaced := func(name, value string) []field {
		out := slices.Clone(good)
		for i := range out {
			if out[i].name == name {
				out[i].value = value
			}
		}
		return out
	}
	before := func(f ...field) []field { return append(f, good...) }
	after := func(f ...field) []field { return append(slices.Clone(good), f...) }
	for what, f := range map[string][]field{
		"no method": without(":method"), "no scheme": without(":scheme"), "no path": without(":path"), "no authority": without(":authority"),
		"empty method": replaced(":method", ""), "empty path": replaced(":path", ""), "path without slash": replaced(":path", "api/whoami"), "path with space": replaced(":path", "/a b"),
		"path *": replaced(":path", "*"), "method with space": replaced(":method", "GET /x"), "scheme with slash": replaced(":scheme", "http://evil.example/?"), "NUL in path": replaced(":path", "/a\x00"),
		"two paths": before(field{":path", "/admin"}), "two methods": before(field{":method", "POST"}), "two schemes": before(field{":scheme", "https"}), "the same path twice": before(field{":path", "/api/whoami"}),
		"late path": after(field{":path", "/admin"}), "late authority": after(field{":authority", s.host("admin.portal")}), "late status": after(field{":status", "200"}),
		"unknown": before(field{":evil", "1"}), "status": before(field{":status", "200"}), "upper-case pseudo": before(field{":Path", "/x"}),
		"upper-case name": after(field{"X-Custom", "1"}), "name with space": after(field{"x custom", "1"}), "name with colon": after(field{"x:custom", "1"}), "empty name": after(field{"", "1"}),
		"name with line end": after(field{"x\r\nevil", "1"}), "connection": after(field{"connection", "keep-alive"}), "transfer-encoding": after(field{"transfer-encoding", "chunked"}), "te": after(field{"te", "gzip"}),
		"short content-length": after(field{"content-length", "5"}), "two content-lengths": after(field{"content-length", "0"}, field{"content-length", "5"}), "protocol": before(field{":protocol", "websocket"}),
	} {
		a := s.stream(t, f)
		if what == "te" && a.status == http.StatusOK { // dropped, as RFC 9113, 8.2.2 lets an intermediary
			if x := s.arrived(t, what, a); x.Headers["Te"] != nil {
				t.Errorf("te: gzip arrived")
			}
			continue
		}
		s.refused(t, "HTTP/2 with "+what, a, 0, http.StatusBadRequest, http.StatusNotFound, http.StatusForbidden)
	}
}

// W5: a method is one of seven, letter by letter.
func oddMethods(t *testing.T, s *siege) {
	cookie := "Cookie: _pomerium=" + s.cookieOf(t, "admin")
	for _, method := range []string{"get", "Get", "gET", "post", "TRACE", "TRACK", "FOO", "PROPFIND", "PURGE", "LINK", "BREW", "GETX", "PRI", "M-SEARCH"} {
		for _, host := range []string{"portal", "api.portal", "admin.portal", "gate"} {
			r := request{method: method, host: s.host(host), target: "/oauth2/sign_in", header: with(program, cookie, "Origin: "+s.Origin(host))}
			s.both(t, r, func(proto string, a answer) {
				s.refused(t, proto+" "+method+" at "+host, a, denials(proto, http.StatusForbidden, http.StatusBadRequest)...)
			})
		}
	}
	for _, line := range []string{" GET / HTTP/1.1", "GET / HTTP/1.1 x", "GET / HTTP/9.9", "GET /", "GET / http/1.1", "G\x00T / HTTP/1.1", "GET / HTTP/1.0"} {
		a := s.raw(t, line+"\r\nHost: "+s.host("portal")+"\r\n"+cookie+"\r\n\r\n")
		s.refused(t, line, a, 0, http.StatusBadRequest, http.StatusUpgradeRequired)
	}
}

// W6: what only looks like a preflight is a request like any other.
func fakePreflights(t *testing.T, s *siege) {
	portal := "Origin: " + s.Origin("portal")
	for what, header := range map[string][]string{
		"no Access-Control-Request-Method": {portal}, "an empty one": {portal, "Access-Control-Request-Method:"}, "a foreign origin": {"Origin: http://evil.example", "Access-Control-Request-Method: POST"},
		"no origin": {"Access-Control-Request-Method: POST"}, "origin null": {"Origin: null", "Access-Control-Request-Method: POST"}, "an origin with a tail": {portal + ".evil.example", "Access-Control-Request-Method: POST"},
	} {
		for _, target := range []string{"/api/things", "/api/users"} {
			s.both(t, request{method: "OPTIONS", host: s.host("api.portal"), target: target, header: header}, func(proto string, a answer) {
				s.refused(t, proto+" OPTIONS with "+what, a, http.StatusUnauthorized)
				if a.header.Get("Access-Control-Allow-Origin") != "" && !slices.Contains(header, portal) {
					t.Errorf("%s with %s allowed %v", proto, what, a.header)
				}
			})
		}
	}
	// Only OPTIONS is one, and a true one tells nothing but the routes file.
	both := []string{portal, "Access-Control-Request-Method: POST"}
	for _, method := range []string{"GET", "POST", "DELETE", "HEAD"} {
		s.both(t, request{method: method, host: s.host("api.portal"), target: "/api/things", header: both}, func(proto string, a answer) {
			s.refused(t, proto+" "+method, a, http.StatusUnauthorized)
		})
	}
	s.both(t, request{method: "OPTIONS", host: s.host("api.portal"), target: "/api/things", header: both}, func(proto string, a answer) {
		s.refused(t, proto+" a true preflight", a, http.StatusOK) // answered by Envoy: none of it went upstream
		if a.header.Get("Access-Control-Allow-Origin") != s.Origin("portal") || a.body != "" {
			t.Errorf("%s: a true preflight got %v\n%s", proto, a.header, a.body)
		}
	})
}

// W8: an upgrade only on the routes that list it, and no two at once.
func upgradesWhereListed(t *testing.T, s *siege) {
	cookie := "Cookie: _pomerium=" + s.cookieOf(t, "admin")
	for host, listed := range map[string]string{"portal": "websocket", "workspace.portal": "websocket SPDY/3.1", "api.portal": "", "admin.portal": "", "gate": ""} {
		for _, protocol := range []string{"websocket", "SPDY/3.1", "h2c", "foo", "websocket, foo", "TLS/1.2", "WEBSOCKET/13", "connect-udp"} {
			a := s.upgrade(t, host, "/ws", protocol, cookie, "Origin: "+s.Origin(host))
			if slices.Contains(strings.Fields(listed), protocol) {
				if a.status != http.StatusSwitchingProtocols {
					t.Errorf("%s at %s: %d\n%s", protocol, host, a.status, a.body)
				}
				continue
			}
			if a.status == http.StatusSwitchingProtocols {
				t.Errorf("%s was upgraded at %s", protocol, host)
			}
			switch protocol {
			case "TLS/1.2", "h2c": // passed over, as RFC 9110, 7.8 lets a server: a plain request
				if strings.Contains(a.body, `"Upgrade"`) {
					t.Errorf("%s at %s arrived as an upgrade", protocol, host)
				}
			default:
				s.refused(t, protocol+" at "+host, a, http.StatusForbidden, http.StatusNotFound)
			}
		}
	}
}

// W9: the scheme is the listener's, whatever is said.
func oddSchemes(t *testing.T, s *siege) {
	user := with(program, "Cookie: _pomerium="+s.cookieOf(t, "user"))
	for _, scheme := range []string{"hTtPs", "HTTPS", "https", "hTTp", "ftp", "file", "javascript", "wss", "http:", ""} {
		whole := scheme + "://" + s.host("admin.portal") + "/users"
		s.refused(t, whole, s.http1(t, request{method: "GET", host: s.host("portal"), target: whole, header: user}), http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound)
		f := request{method: "GET", host: s.host("admin.portal"), target: "/users", header: user}.fields(s.scheme())
		f[1].value = scheme
		s.refused(t, "HTTP/2 scheme "+scheme, s.stream(t, f), 0, http.StatusForbidden, http.StatusBadRequest)
		f = request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: with(program, "Cookie: _pomerium="+s.cookieOf(t, "neosc"))}.fields(s.scheme())
		f[1].value = scheme
		a := s.stream(t, f)
		if a.status != http.StatusOK {
			s.refused(t, "HTTP/2 scheme "+scheme, a, 0, http.StatusBadRequest, http.StatusForbidden)
			continue
		}
		if x := s.arrived(t, "HTTP/2 scheme "+scheme, a); strings.Join(x.Headers["X-Forwarded-Proto"], "|") != s.scheme() {
			t.Errorf("scheme %s arrived as X-Forwarded-Proto %q", scheme, x.Headers["X-Forwarded-Proto"])
		}
	}
}
