package attack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// headers: what a client says about itself, about others and about the way of
// its request counts for nothing.
var headers = []attack{
	{"H1", steeringHeaders}, {"H2", methodOverrides}, {"H3", forwardedProto}, {"H4", forwardedFor}, {"H5", identitySpellings},
	{"H6", duplicatedIdentity}, {"H7", healthCheckers}, {"H8", envoysOwn}, {"H9", highBytes}, {"H10", repeatedHeaders},
	{"H11", hopByHop}, {"H12", lineEndsInValues}, {"H13", junkBearer}, {"H15", cookieStaysInside},
}

// mark is in every spoofed value: wherever it shows, something got through.
const mark = "spoofed.example"

// reaches asks the API as neosc with extra headers and returns what arrived,
// having held that none of it was a spoof.
func (s *siege) reaches(t *testing.T, header ...string) map[string]told {
	t.Helper()
	out := map[string]told{}
	all := with(program, append(header, "Cookie: _pomerium="+s.cookieOf(t, "neosc"))...)
	s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: all}, func(proto string, a answer) {
		what := fmt.Sprintf("%s with %.200q", proto, header)
		x := s.arrived(t, what, a)
		for name, values := range x.Headers {
			if strings.Contains(strings.Join(values, "|"), mark) {
				t.Errorf("%s: the upstream got %s: %q", what, name, values)
			}
		}
		s.identity(t, what, x)
		out[proto] = x
	})
	return out
}

// identity holds that the upstream got ours, each once.
func (s *siege) identity(t *testing.T, what string, x told) {
	t.Helper()
	if got := x.Headers["X-Pomerium-Email"]; !slices.Equal(got, []string{"neosc@" + kit.Domain}) {
		t.Errorf("%s: X-Pomerium-Email arrived as %q", what, got)
	}
	if got := x.Headers["X-Pomerium-Groups"]; !slices.Equal(got, []string{"neosc"}) {
		t.Errorf("%s: X-Pomerium-Groups arrived as %q", what, got)
	}
	if got := x.Headers["X-Pomerium-User"]; len(got) != 1 || !strings.HasPrefix(got[0], "usr_") {
		t.Errorf("%s: X-Pomerium-User arrived as %q", what, got)
	}
}

// closedTo asks for admin as user: no header opens it.
func (s *siege) closedTo(t *testing.T, header ...string) {
	t.Helper()
	all := with(program, append(header, "Cookie: _pomerium="+s.cookieOf(t, "user"))...)
	s.both(t, request{method: "GET", host: s.host("admin.portal"), target: "/users", header: all}, func(proto string, a answer) {
		s.refused(t, fmt.Sprintf("%s with %.200q", proto, header), a, http.StatusForbidden)
	})
	s.both(t, request{method: "GET", host: s.host("portal"), target: "/", header: with(program, header...)}, func(proto string, a answer) {
		s.refused(t, fmt.Sprintf("%s, nobody, with %.200q", proto, header), a, http.StatusUnauthorized)
	})
}

// H1: headers that tell other proxies where a request goes.
func steeringHeaders(t *testing.T, s *siege) {
	for _, name := range []string{"X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Method", "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Original-URL", "X-Original-URI",
		"X-Original-Host", "X-Original-Method", "X-Rewrite-URL", "X-Host", "Forwarded", "X-Forwarded-Server", "X-Forwarded-Port", "X-Envoy-Original-Path", "X-Middleware-Subrequest"} {
		s.reaches(t, name+": http://"+mark+"/admin")
		s.closedTo(t, name+": /oauth2/sign_in", name+": "+s.Origin("gate")+"/assets/gate.css")
	}
}

// H2: the real method counts, and nothing else arrives.
func methodOverrides(t *testing.T, s *siege) {
	cookie := "Cookie: _pomerium=" + s.cookieOf(t, "user")
	own := "Origin: " + s.Origin("api.portal")
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Http-Method-Override", "x-http-method-override"} {
		s.both(t, request{method: "POST", host: s.host("api.portal"), target: "/api/things", header: with(program, cookie, own, name+": GET")}, func(proto string, a answer) {
			s.refused(t, proto+" POST with "+name, a, http.StatusForbidden)
		})
		s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/api/things", header: with(program, cookie, name+": DELETE")}, func(proto string, a answer) {
			x := s.arrived(t, proto+" GET with "+name, a)
			if x.Method != "GET" || strings.Join(x.Headers["X-Pomerium-Seen-Method"], "") != "GET" {
				t.Errorf("%s with %s: GET was judged as %q and arrived as %s", proto, name, x.Headers["X-Pomerium-Seen-Method"], x.Method)
			}
			for h := range x.Headers {
				if strings.Contains(strings.ToLower(h), "override") || strings.EqualFold(h, name) {
					t.Errorf("%s: %s arrived", proto, h)
				}
			}
		})
	}
	s.both(t, request{method: "POST", host: s.host("api.portal"), target: "/api/things?_method=GET", header: with(program, cookie, own, "Content-Type: application/x-www-form-urlencoded"), body: "_method=GET"}, func(proto string, a answer) {
		s.refused(t, proto+" POST with _method", a, http.StatusForbidden)
	})
}

// H3: the scheme is the listener's.
func forwardedProto(t *testing.T, s *siege) {
	for _, v := range []string{s.otherScheme(), strings.ToUpper(s.otherScheme()), "http, https", "javascript", "wss"} {
		for proto, x := range s.reaches(t, "X-Forwarded-Proto: "+v, "X-Forwarded-Scheme: "+v, "X-Scheme: "+v, "X-Forwarded-Ssl: on", "X-Url-Scheme: "+v, "Front-End-Https: on") {
			if got := x.Headers["X-Forwarded-Proto"]; !slices.Equal(got, []string{s.scheme()}) {
				t.Errorf("%s: with X-Forwarded-Proto: %s the upstream got %q", proto, v, got)
			}
		}
	}
	s.both(t, request{method: "GET", host: s.host("portal"), target: "/", header: with(navigation, "X-Forwarded-Proto: "+s.otherScheme())}, func(proto string, a answer) {
		s.refused(t, proto, a, http.StatusFound)
		if l := a.header.Get("Location"); !strings.HasPrefix(l, s.Origin("gate")+"/oauth2/sign_in?rd="+s.scheme()+"%3A") {
			t.Errorf("%s: the redirect goes to %s", proto, l)
		}
	})
}

// H4: where no proxy is trusted, the client's address is the connection's.
func forwardedFor(t *testing.T, s *siege) {
	ip := s.freshAddress()
	header := with(program, "Cookie: _pomerium="+s.cookieOf(t, "neosc"))
	for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Envoy-External-Address", "Forwarded"} {
		for _, v := range []string{"203.0.113.77", "203.0.113.77, 10.0.0.1", "127.0.0.1, 203.0.113.77", "::1, 203.0.113.77"} {
			s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", from: ip, header: append(header[:2:2], name+": "+v)}, func(proto string, a answer) {
				x := s.arrived(t, proto+" "+name, a)
				for h, values := range x.Headers {
					if strings.Contains(strings.Join(values, "|"), "203.0.113.77") {
						t.Errorf("%s: the upstream got %s: %q from the client's %s", proto, h, values, name)
					}
				}
				if got := strings.Join(x.Headers["X-Forwarded-For"], "|"); got != ip.String() {
					t.Errorf("%s: X-Forwarded-For arrived as %q, want %s", proto, got, ip)
				}
			})
		}
	}
	// The logs name the connection's address too.
	within(t, 30*time.Second, "edge.log names the address", func() bool {
		return strings.Contains(strings.Join(s.EdgeLog(t), "\n"), `"client_ip":"`+ip.String()+`"`)
	})
	for _, line := range append(s.EdgeLog(t), s.AccessLog(t)...) {
		if strings.Contains(line, "203.0.113.77") {
			t.Errorf("a log believed the client: %s", line)
		}
	}
}

// H5: every spelling of identity headers stays outside.
func identitySpellings(t *testing.T, s *siege) {
	for _, name := range []string{"X-Pomerium-Email", "x-pomerium-email", "X-POMERIUM-EMAIL", "X-Pomerium-User", "X-Pomerium-Groups", "X-Pomerium-Claim-Admin", "X-Pomerium-Claim-Role",
		"X-Pomerium-Jwt-Assertion", "X-Pomerium", "X--Pomerium-Email", "X-Pomerium--Email", "X.Pomerium.Email", "X-Pomerium.Email", "X~Pomerium-User", "X-Session-ID", "X.Session-Id",
		"X-User-Email", "X-User-Roles", "X-Workspace-Type", "X-Demo-User", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Remote-User", "Remote-User", "X-Auth-Request-Email",
		"X-Forwarded-Client-Cert", "X-Forwarded-Access-Token"} {
		s.reaches(t, name+": "+mark)
		s.closedTo(t, name+": admin", name+": admin@"+kit.Domain)
	}
	for _, name := range []string{"X_Pomerium_Email", "x_pomerium_groups", "X-Pomerium_Email", "X_User_Email", "X_Session_ID", "x_workspace-type", "_x-pomerium-email"} {
		header := with(program, "Cookie: _pomerium="+s.cookieOf(t, "neosc"), name+": "+mark)
		s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: header}, func(proto string, a answer) {
			s.refused(t, proto+" "+name, a, denials(proto, http.StatusBadRequest)...)
		})
	}
}

// H6: of two identity headers neither arrives.
func duplicatedIdentity(t *testing.T, s *siege) {
	for _, name := range []string{"X-Pomerium-Email", "X-Pomerium-User", "X-Pomerium-Groups"} {
		s.reaches(t, name+": a@"+mark, name+": b@"+mark)
		s.reaches(t, name+": a@"+mark, strings.ToLower(name)+": b@"+mark, strings.ToUpper(name)+": c@"+mark+", neosc@"+kit.Domain)
		s.reaches(t, name+":")
		s.reaches(t, name+": neosc@"+kit.Domain, name+": "+mark)
	}
}

// H7: nobody passes by looking like a health checker.
func healthCheckers(t *testing.T, s *siege) {
	for _, agent := range []string{"Envoy/HC", "kube-probe/1.30", "ELB-HealthChecker/2.0", "GoogleHC/1.0", "Amazon-Route53-Health-Check-Service", "Consul Health Check", "curl/8", ""} {
		s.closedTo(t, "User-Agent: "+agent)
		for _, target := range []string{"/healthz", "/health", "/ready", "/ping", "/status", "/.well-known/health"} {
			s.both(t, request{method: "GET", host: s.host("portal"), target: target, header: []string{"User-Agent: " + agent}}, func(proto string, a answer) {
				s.refused(t, proto+" "+agent+" "+target, a, http.StatusUnauthorized)
			})
		}
	}
}

// H8: Envoy's own headers are believed from nobody, though we ask from a
// loopback address, which is private.
func envoysOwn(t *testing.T, s *siege) {
	for _, h := range []string{"X-Envoy-Internal: true", "X-Envoy-External-Address: " + mark, "X-Envoy-Original-Path: /" + mark, "X-Envoy-Decorator-Operation: " + mark,
		"X-Envoy-Force-Trace: " + mark, "X-Envoy-Upstream-Rq-Timeout-Ms: 1", "X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms: 1", "X-Envoy-Upstream-Stream-Duration-Ms: 1", "X-Envoy-Max-Retries: 99",
		"X-Envoy-Retry-On: 5xx", "X-Envoy-Upstream-Alt-Stat-Name: " + mark, "X-Envoy-Ip-Tags: " + mark, "X-Envoy-Expected-Rq-Timeout-Ms: 1", "X-Envoy-Peer-Metadata: " + mark,
		"X-Envoy-Downstream-Service-Cluster: " + mark, "X-Envoy-Not-Forwarded: true", "X-Envoy-Hedge-On-Per-Try-Timeout: true", "X-Client-Trace-Id: " + mark, "Grpc-Timeout: 1n"} {
		name, value, _ := strings.Cut(h, ": ")
		for proto, x := range s.reaches(t, h) {
			for got, values := range x.Headers {
				if strings.EqualFold(got, name) && strings.Contains(strings.Join(values, "|"), value) {
					t.Errorf("%s: the upstream got the client's %s", proto, h)
				}
			}
		}
		s.closedTo(t, h)
	}
	// None of them shortens or lengthens a request either.
	header := with(program, "Cookie: _pomerium="+s.cookieOf(t, "neosc"), "X-Envoy-Upstream-Rq-Timeout-Ms: 1", "X-Envoy-Upstream-Stream-Duration-Ms: 1", "Grpc-Timeout: 1m")
	s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/slow?ms=200", header: header}, func(proto string, a answer) {
		if a.status != http.StatusOK {
			t.Errorf("%s: a client's timeout ended a request: %d", proto, a.status)
		}
	})
}

// H9: bytes beyond ASCII in values are a normal request.
func highBytes(t *testing.T, s *siege) {
	for _, v := range []string{"\x80", "\xff\xfe", "caf\xe9", "\xc3\xa9", "\xf0\x9f\x94\x91", "a\xc0\xafb", string([]byte{0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0})} {
		for _, name := range []string{"User-Agent", "Accept-Language", "X-Requested-With", "Referer", "X-Custom", "Sec-Fetch-Site"} {
			s.reaches(t, name+": "+v)
			s.closedTo(t, name+": "+v)
		}
		s.reaches(t, "Cookie: theme="+v)
		s.reaches(t, "Accept: "+v)
		s.closedTo(t, "Cookie: _pomerium_x="+v)
		for _, header := range [][]string{program, navigation} { // in the path: refused, or a normal decision with whatever page
			for _, host := range []string{"admin.portal", "gate"} {
				s.both(t, request{method: "GET", host: s.host(host), target: "/" + v, header: with(header, "Cookie: _pomerium="+s.cookieOf(t, "user"))}, func(proto string, a answer) {
					want := denials(proto, http.StatusBadRequest, http.StatusForbidden)
					if host == "gate" {
						want = append(want, http.StatusNotFound)
					}
					if !slices.Contains(want, a.status) {
						t.Errorf("%s %s/%q: answered %d, want %v", proto, host, v, a.status, want)
					}
				})
			}
		}
		s.both(t, request{method: "GET", host: s.host("portal"), target: "/", header: with(program, "Cookie: _pomerium="+v)}, func(proto string, a answer) {
			s.refused(t, proto+" a session of high bytes", a, http.StatusUnauthorized)
		})
	}
}

// H10: saying a thing twice never grants what saying it once does not.
func repeatedHeaders(t *testing.T, s *siege) {
	cookie, own, evil := "Cookie: _pomerium="+s.cookieOf(t, "neosc"), "Origin: "+s.Origin("api.portal"), "Origin: http://evil.example"
	for what, header := range map[string][]string{
		"evil before own": {evil, own}, "own before evil": {own, evil}, "own twice": {own, own}, "in one line": {own + ", http://evil.example"}, "null first": {"Origin: null", own},
	} {
		s.both(t, request{method: "POST", host: s.host("api.portal"), target: "/api/things", header: with(program, append(header, cookie)...)}, func(proto string, a answer) {
			s.refused(t, proto+" Origin "+what, a, denials(proto, http.StatusForbidden)...)
		})
	}
	token, _ := s.create(t, "-email", "robot@"+kit.Domain, "-role", "neosc", "-service")
	for what, header := range map[string][]string{
		"junk, then good": {"Authorization: Bearer junk", "Authorization: Bearer " + token}, "good, then junk": {"Authorization: Bearer " + token, "Authorization: Bearer junk"},
		"good twice": {"Authorization: Bearer " + token, "Authorization: Bearer " + token}, "in one line": {"Authorization: Bearer junk, Bearer " + token}, "basic, then good": {"Authorization: Basic eDp5", "Authorization: Bearer " + token},
	} {
		s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: with(program, header...)}, func(proto string, a answer) {
			s.refused(t, proto+" Authorization "+what, a, http.StatusUnauthorized)
		})
	}
	s.closedTo(t, "Accept: text/html", "Accept: */*", "X-Requested-With: a", "X-Requested-With: b", "Access-Control-Request-Method: GET", "Access-Control-Request-Method: POST")
	s.closedTo(t, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: cors", "Sec-Fetch-Mode: no-cors")
}

// H11: Connection takes none of our headers off.
func hopByHop(t *testing.T, s *siege) {
	cookie := "Cookie: _pomerium=" + s.cookieOf(t, "neosc")
	for _, v := range []string{"x-pomerium-email", "close, x-pomerium-email", "X-Pomerium-User, X-Pomerium-Groups, x-pomerium-email", "keep-alive, cookie", "cookie, authorization", "close, x-request-id, x-forwarded-for", "te, x-pomerium-email", "x-pomerium-email\r\nTE: trailers"} {
		text := "GET /api/whoami HTTP/1.1\r\nHost: " + s.host("api.portal") + "\r\nConnection: " + v + "\r\n" + strings.Join(with(program, cookie), "\r\n") + "\r\n\r\n"
		a := s.raw(t, text)
		if a.status != http.StatusOK {
			s.refused(t, "Connection: "+v, a, http.StatusBadRequest, http.StatusUnauthorized)
			continue
		}
		x := s.arrived(t, "Connection: "+v, a)
		s.identity(t, "Connection: "+v, x)
		if strings.Contains(strings.Join(x.Headers["Cookie"], "|"), "_pomerium") {
			t.Errorf("Connection: %s let the session cookie through", v)
		}
	}
	for _, h := range []string{"Connection: x-pomerium-email", "Keep-Alive: x", "Proxy-Connection: x-pomerium-email", "Transfer-Encoding: chunked", "Upgrade: x"} {
		a := s.http2(t, request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: with(program, cookie, h)})
		if a.status == http.StatusOK {
			s.identity(t, "HTTP/2 "+h, s.arrived(t, "HTTP/2 "+h, a))
			continue
		}
		s.refused(t, "HTTP/2 "+h, a, 0, http.StatusBadRequest, http.StatusForbidden)
	}
}

// H13: a bearer that is no token is 401, whatever else comes with it.
func junkBearer(t *testing.T, s *siege) {
	cookie := "Cookie: _pomerium=" + s.cookieOf(t, "admin")
	for _, v := range []string{"Bearer junk", "bearer junk", "BEARER junk", "Bearer", "Bearer ", "Bearer  two", "Bearer a b", "Basic YWRtaW46YWRtaW4=", "Digest x", "junk", "Negotiate abc", "Bearer null", "Bearer undefined",
		"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", "Bearer " + strings.Repeat("a", 8000), "Bearer v1.x.y", "Bearer " + s.cookieOf(t, "admin")} {
		for _, extra := range [][]string{nil, {cookie}} {
			s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: with(program, append(extra, "Authorization: "+v)...)}, func(proto string, a answer) {
				s.refused(t, fmt.Sprintf("%s Authorization: %.40s", proto, v), a, http.StatusUnauthorized)
				if c := a.header.Get("Www-Authenticate"); c != `Bearer realm="neosc", error="invalid_token"` {
					t.Errorf("%s Authorization: %.40s: the challenge is %q", proto, v, c)
				}
			})
		}
	}
	// Nor is it sent to sign in, where it would bring the same token again.
	for _, host := range []string{"portal", "gate"} {
		s.both(t, request{method: "GET", host: s.host(host), target: "/oauth2/sign_in", header: with(navigation, cookie, "Authorization: Bearer junk")}, func(proto string, a answer) {
			s.refused(t, proto+" a navigation", a, http.StatusUnauthorized)
		})
	}
}

// H15: the session cookie reaches no upstream, however it is written.
func cookieStaysInside(t *testing.T, s *siege) {
	c := s.cookieOf(t, "neosc")
	for _, v := range [][]string{
		{"Cookie: theme=dark; _pomerium=" + c}, {"Cookie: theme=dark", "Cookie: _pomerium=" + c}, {"Cookie: _pomerium=" + c, "Cookie: theme=dark"}, {"Cookie: theme=dark;_pomerium=" + c + ";"},
		{"Cookie: _pomerium=" + c + "; _pomerium=" + c + "; theme=dark"}, {"Cookie: theme=dark; _POMERIUM=" + c + "; _pomerium=" + c}, {"Cookie: theme=dark; \"_pomerium\"=" + c + "; _pomerium=" + c},
		{"Cookie: theme=dark;\t_pomerium =" + c + "; _pomerium=" + c}, {"Cookie: _pomerium; theme=dark; _pomerium=" + c}, {"Cookie: _pomerium=; theme=dark; _pomerium=" + c},
		{"cookie: theme=dark", "COOKIE: _pomerium=" + c, "Cookie: _pomerium=junk"},
	} {
		s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: with(program, v...)}, func(proto string, a answer) {
			x := s.arrived(t, proto, a)
			got := strings.ToLower(strings.Join(x.Headers["Cookie"], "|"))
			if strings.Contains(got, "_pomerium") || !strings.Contains(got, "theme") {
				t.Errorf("%s: of %q the upstream got cookies %q", proto, v, got)
			}
			for name, values := range x.Headers {
				if strings.Contains(strings.Join(values, "|"), c) {
					t.Errorf("%s: the upstream got the session in %s", proto, name)
				}
			}
		})
	}
	token, _ := s.create(t, "-email", "robot@"+kit.Domain, "-role", "neosc", "-service")
	for _, v := range []string{"Bearer " + token, "bearer " + token} {
		s.both(t, request{method: "GET", host: s.host("api.portal"), target: "/api/whoami", header: with(program, "Authorization: "+v, "Cookie: _pomerium="+c+"; theme=dark")}, func(proto string, a answer) {
			x := s.arrived(t, proto+" by bearer", a)
			if x.Headers["Authorization"] != nil || strings.Contains(strings.Join(x.Headers["Cookie"], "|"), "_pomerium") {
				t.Errorf("%s: by bearer the upstream got %v", proto, x.Headers)
			}
		})
	}
}
