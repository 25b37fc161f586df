package attack

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// policyCases: what operators see is not on the public port, and what is huge
// costs no more than a moment. policyOnce: what would open the edge is found, and
// a policy past all measure is refused.
var (
	policyCases = []attack{{"B5", operatorsPages}, {"B7", hugeInput}}
	policyOnce  = []attack{{"B6", openedEdges}, {"B8", hugePolicies}}
)

// B5: metrics, profiles and Envoy's admin pages are nowhere on the public port.
func operatorsPages(t *testing.T, s *siege) {
	admin := "Cookie: _pomerium=" + s.cookieOf(t, "admin")
	inside := []string{"pomerium_", "go_goroutines", "envoy_cluster", "cluster.authz", "heap profile", "Types of profiles", "static_resources", "admin commands", `"ready"`, "LIVE"}
	for i, target := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/healthz", "/readyz", "/stats", "/logging?level=debug",
		"/stats/prometheus", "/quitquitquit", "/config_dump", "/healthcheck/fail", "/clusters", "/drain_listeners", "/server_info", "/policy/reload", "/listeners", "/sessions", "/ready", "/users"} {
		for _, host := range []string{"portal", "api.portal", "admin.portal", "workspace.portal", "gate"} {
			method := []string{"GET", "POST"}[i%2] // those that change things are odd
			r := request{method: method, host: s.host(host), target: target, header: program}
			s.refused(t, method+" "+host+target, s.http1(t, r), http.StatusUnauthorized)
			r.header = with(program, admin, "Origin: "+s.Origin(host))
			s.both(t, r, func(proto string, a answer) {
				for _, word := range inside {
					if !strings.Contains(a.body, `"identity"`) && !strings.HasPrefix(strings.TrimSpace(a.body), "<!doctype html>") && strings.Contains(a.body, word) {
						t.Errorf("%s %s %s%s shows the inside: %.300s", proto, method, host, target, a.body)
					}
				}
				if host == "gate" && a.status != http.StatusNotFound {
					t.Errorf("%s %s gate%s answered %d to an administrator, want 404", proto, method, target, a.status)
				}
			})
		}
		for _, host := range []string{s.addr(), "localhost", "gate_http", "envoy"} {
			s.both(t, request{method: "GET", host: host, target: target, header: with(program, admin)}, func(proto string, a answer) {
				s.refused(t, proto+" "+host+target, a, denials(proto, http.StatusNotFound, http.StatusBadRequest)...)
			})
		}
	}
	if !s.lives(t, s.cookieOf(t, "user")) {
		t.Error("one of them ended something")
	}
	// What answers operators is its owner's alone.
	if st, err := os.Stat(s.adminSocket(t)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the admin socket: %v, %v", st, err)
	}
}

// quick holds that a thing takes a moment, of which nearly all is the machine's.
func quick(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > time.Minute {
		t.Errorf("%s took %v", what, took)
	}
}

// B7: deep or huge input takes a moment and little memory, and stops nobody.
func hugeInput(t *testing.T, s *siege) {
	neosc := "Cookie: _pomerium=" + s.cookieOf(t, "neosc")
	for what, target := range map[string]string{
		"a deep path": "/" + strings.Repeat("a/", 6000), "a deep query": "/?" + strings.Repeat("[", 6000), "many parameters": "/?" + strings.Repeat("a=b&", 3000), "nested parameters": "/?a" + strings.Repeat("[b]", 3000) + "=c",
		"one long name": "/?" + strings.Repeat("a", 12000), "escapes": "/" + strings.Repeat("%20", 4000), "dots": "/" + strings.Repeat("./", 6000), "backtracks": "/" + strings.Repeat("a-", 5000) + "!",
	} {
		quick(t, what, func() {
			s.both(t, request{method: "GET", host: s.host("api.portal"), target: target, header: with(program, neosc)}, func(proto string, a answer) {
				s.clean(t, what, a)
				if a.status != http.StatusOK && a.status != http.StatusBadRequest {
					t.Errorf("%s %s: %d %.300s", proto, what, a.status, a.body)
				}
			})
		})
	}
	f := s.form(t)
	for what, body := range map[string]string{"many fields": strings.Repeat("&a=b", 3000), "fields of many names": "&" + numbered(1000), "1 MB": "&a=" + strings.Repeat("a", 1<<20), "nested": "&a" + strings.Repeat("[a]", 2000) + "=b"} {
		quick(t, what, func() {
			a := s.http1(t, s.post(f, "user@"+kit.Domain, "x", body))
			s.clean(t, what, a)
			if a.status < 400 || a.status > 499 {
				t.Errorf("a form of %s got %d", what, a.status)
			}
		})
	}
	for what, claim := range map[string]string{"deep": strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "wide": "[" + strings.Repeat("1,", 20000) + "1]", "long": `"` + strings.Repeat("a", 60000) + `"`, "objects": strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000)} {
		quick(t, "a session with claims that are "+what, func() {
			out, err := s.tryCreate(t, "-email", "huge@"+kit.Domain, "-role", "user", "-claim", "x:="+claim)
			if err != nil {
				return // refused by who would keep it
			}
			a := s.http1(t, s.asks("portal", out.Cookie))
			// Past what a decision takes in, its owner alone is told of trouble.
			if s.clean(t, what, a); a.status != http.StatusOK && (a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "policy_error")) {
				t.Errorf("a session with claims that are %s was made and got %d %.300s", what, a.status, a.body)
			}
		})
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "f%d=x&", i)
	}
	return b.String()
}

// B8: a policy set past all measure is refused, and soon.
func hugePolicies(t *testing.T, s *siege) {
	for what, files := range map[string]map[string]string{
		"deep data":  {"more/data.json": strings.Repeat(`{"a":`, 200_000) + "1" + strings.Repeat("}", 200_000)},
		"large data": {"more/data.json": `{"a":"` + strings.Repeat("a", 64<<20) + `"}`},
		"deep Rego":  {"more/more.rego": "package more\n\na := " + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + "\n"},
		"a YAML bomb": {"more/data.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n" +
			"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"},
	} {
		dir := filepath.Join(t.TempDir(), "policies")
		if err := kit.WritePolicies(dir); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			file := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		quick(t, what, func() {
			if out, ok := s.checked(t, dir); ok {
				t.Errorf("a policy set with %s was taken:\n%.500s", what, out)
			} else if strings.Contains(out, "goroutine ") || strings.Contains(out, "fatal error") {
				t.Errorf("a policy set with %s ended gate check:\n%.500s", what, out)
			}
		})
	}
}
