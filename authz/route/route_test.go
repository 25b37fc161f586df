package route_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/authz/route"
)

const production = "../../deploy/production/routes.yaml"

func load(t *testing.T) *route.File {
	t.Helper()
	f, err := route.Load(production)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func parse(t *testing.T, data string) *route.File {
	t.Helper()
	f, err := route.Parse("routes.yaml", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestProductionExampleSaysWhatTheSourceTextsSay(t *testing.T) {
	t.Parallel()
	f := load(t)
	type line struct{ origin, match, upstream, timeout, upgrades string }
	got := map[string]line{}
	for _, h := range f.Hosts() {
		for _, e := range h.Entries {
			got[e.Route.Name+e.Match.Path+e.Match.Prefix] = line{h.Origin, e.Match.Prefix, e.Upstream, e.Timeout.String(), strings.Join(e.Upgrades, ",")}
		}
	}
	want := map[string]line{
		"portal/":    {"https://portal.kappa4.com", "/", "frontend", "15s", "websocket"},
		"api/":       {"https://api.portal.kappa4.com", "/", "backend", "15s", ""},
		"admin/":     {"https://admin.portal.kappa4.com", "/", "backend", "30s", ""},
		"workspace/": {"https://workspace.portal.kappa4.com", "/", "kasm-proxy", "0s", "websocket,spdy/3.1"},
		"gate/":      {"https://gate.kappa4.com", "/", "gate", "15s", ""},
	}
	for _, p := range []string{"auth", "audit-logs", "organizations", "users", "sessions", "demo-sessions", "invitations", "openapi.json", "openapi.yaml", "policy"} {
		want["gate-api/api/"+p] = line{"https://api.portal.kappa4.com", "/api/" + p, "gate", "15s", ""}
	}
	if len(got) != len(want) {
		t.Errorf("the file has %d matches, want %d", len(got), len(want))
	}
	for k, w := range want {
		if got[k] != w {
			t.Errorf("%s is %+v, want %+v", k, got[k], w)
		}
	}
	if r := f.Route("portal"); r.Policy["business_hours"] != true || r.Policy["rate_limit"] != true || !r.PassIdentityHeaders || r.Gate {
		t.Errorf("the route portal is %+v", r)
	}
	for _, name := range []string{"api", "gate-api"} {
		if r := f.Route(name); !slices.Equal(r.AllowedOrigins, []string{"https://portal.kappa4.com"}) {
			t.Errorf("%s allows %v", name, r.AllowedOrigins)
		}
	}
	for _, name := range f.RouteNames() {
		if r := f.Route(name); r.Gate != r.PassAuthorization || r.Gate != strings.HasPrefix(name, "gate") {
			t.Errorf("%s: gate %v, pass_authorization %v", name, r.Gate, r.PassAuthorization)
		}
	}
	if f.Route("") != nil || f.Route("nowhere") != nil || f.Listen().Port() != 443 || f.TrustedHops() != 0 {
		t.Error("an unknown route is found, or listen is lost")
	}
}

func TestOriginsAreComparedExactly(t *testing.T) {
	t.Parallel()
	f := load(t)
	if f.GateOrigin() != "https://gate.kappa4.com" || len(f.Origins()) != 5 {
		t.Errorf("the gate is %s, the origins are %v", f.GateOrigin(), f.Origins())
	}
	for _, o := range f.Origins() {
		for _, bad := range []string{
			o + "/", o + ":443", o + ".", o + "@evil.test", strings.ToUpper(o), strings.Replace(o, "https", "http", 1), " " + o,
			o + ".evil.test", strings.Replace(o, "//", "//evil.test\\@", 1), strings.Replace(o, "//", "//x.", 1), "",
		} {
			if f.IsOrigin(bad) {
				t.Errorf("%q counts as an origin", bad)
			}
		}
		if !f.IsOrigin(o) {
			t.Errorf("%q does not count as an origin", o)
		}
	}
}

func TestSpecificMatchesComeFirstWhateverTheOrder(t *testing.T) {
	t.Parallel()
	matches := []string{"path: /a/b", "path: /a", "prefix: /a/b", "prefix: /a", "prefix: /"}
	rapid.Check(t, func(rt *rapid.T) {
		var b strings.Builder
		b.WriteString("gate: http://g\nupstreams: {}\nhosts:\n- origin: http://g\n  routes:\n")
		for i, m := range rapid.Permutation(matches).Draw(rt, "order") {
			fmt.Fprintf(&b, "  - {name: r%d, %s, upstream: gate}\n", i, m)
		}
		f, err := route.Parse("x", []byte(b.String()))
		if err != nil {
			rt.Fatal(err)
		}
		for i, e := range f.Hosts()[0].Entries {
			got := "path: " + e.Match.Path
			if e.Match.Prefix != "" {
				got = "prefix: " + e.Match.Prefix
			}
			if got != matches[i] {
				rt.Fatalf("match %d is %s, want %s", i, got, matches[i])
			}
		}
	})
}

// Whatever policy may set is stripped from clients in that and in any other
// spelling; what the gate and browsers need is not.
func TestStripCoversEverythingSettable(t *testing.T) {
	t.Parallel()
	f := load(t)
	var exprs []*regexp.Regexp
	for _, s := range f.Strip() {
		exprs = append(exprs, regexp.MustCompile(`^(?:`+s+`)$`))
	}
	stripped := func(name string) bool {
		return slices.ContainsFunc(exprs, func(e *regexp.Regexp) bool { return e.MatchString(name) })
	}
	for _, h := range f.Forwarded() {
		if stripped(h) && h != "x-envoy-external-address" {
			t.Errorf("%s is forwarded and stripped", h)
		}
	}
	for _, h := range []string{"host", "accept-language", "content-type", "content-length", "x-csrf-token", "traceparent", "x-forwarde", "xpomerium-email"} {
		if stripped(h) {
			t.Errorf("%s is stripped", h)
		}
	}
	patterns := f.Settable().Patterns()
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(patterns).Draw(rt, "pattern")
		if base, wild := strings.CutSuffix(name, "*"); wild {
			name = base + rapid.StringMatching(`[a-z0-9-]{1,12}`).Draw(rt, "rest")
		}
		separator := rapid.StringMatching("[!#-'*+.^_`|~-]{1,3}")
		var b strings.Builder
		for _, r := range name {
			if r == '-' {
				b.WriteString(separator.Draw(rt, "separator"))
				continue
			}
			b.WriteRune(r)
		}
		if !f.Settable().Has(name) || !stripped(name) || !stripped(b.String()) {
			rt.Fatalf("%q: settable %v, stripped %v, as %q %v", name, f.Settable().Has(name), stripped(name), b.String(), stripped(b.String()))
		}
	})
}

func TestMutationRuleMatchesJustWhatTheGateMaySet(t *testing.T) {
	t.Parallel()
	rule := regexp.MustCompile(`^(?:` + load(t).MutationRule() + `)$`)
	for name, want := range map[string]bool{
		"x-pomerium-email": true, "x-session-id": true, "cookie": true, "authorization": true, "x-envoy-upstream-stream-duration-ms": true,
		":path": false, "host": false, "x-session-id2": false, "x-envoy-original-path": false, "set-cookie": false, "x-pomerium": false, "content-length": false,
	} {
		if rule.MatchString(name) != want {
			t.Errorf("%s: %v, want %v", name, !want, want)
		}
	}
}

func TestDefaultsOfARoute(t *testing.T) {
	t.Parallel()
	f := parse(t, minimal)
	h := f.Hosts()[0]
	e := h.Entries[0]
	if e.Timeout != route.DefaultTimeout || e.IdleTimeout >= 0 || e.Upgrades != nil || h.CORS != nil || e.Route.PassIdentityHeaders || e.Route.PassAuthorization {
		t.Errorf("the entry is %+v", e)
	}
	if !f.Settable().Has("x-pomerium-email") || f.ResponseSettable().Has("cache-control") || f.Listen().IsValid() {
		t.Error("the file's defaults are wrong")
	}
	f = parse(t, strings.Replace(minimal, "upstream: gate}", "upstream: gate, timeout: 0s}", 1))
	if e := f.Hosts()[0].Entries[0]; e.Timeout != 0 || e.IdleTimeout != 0 {
		t.Errorf("timeout 0s gives %+v", e)
	}
	f = parse(t, minimal+"response_headers: [cache-control]\n")
	if !f.ResponseSettable().Has("cache-control") {
		t.Error("response_headers is lost")
	}
	f = parse(t, strings.Replace(minimal, "  routes", "  cors: {allow_origins: [http://a.test]}\n  routes", 1))
	if c := f.Hosts()[0].CORS; c.Credentials || c.MaxAge != 10*time.Minute || len(c.Methods) != 3 {
		t.Errorf("cors defaults are %+v", c)
	}
}

func TestLoadNamesAMissingFile(t *testing.T) {
	t.Parallel()
	if _, err := route.Load(filepath.Join(t.TempDir(), "nowhere.yaml")); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("got %v", err)
	}
}

// A file that parses has a place to sign in, no route without upstream, and
// settings that are JSON.
func FuzzParse(f *testing.F) {
	for _, path := range []string{production, "../../cmd/gate/internal/dev/routes.yaml.tmpl"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := route.Parse("f", data)
		if err != nil {
			return
		}
		if !file.IsOrigin(file.GateOrigin()) || len(file.RouteNames()) == 0 {
			t.Fatal("no place to sign in")
		}
		for _, s := range append(file.Strip(), file.MutationRule()) {
			regexp.MustCompile(s)
		}
		for _, n := range file.RouteNames() {
			if _, err := json.Marshal(file.Route(n).Policy); err != nil {
				t.Fatal(err)
			}
		}
	})
}
