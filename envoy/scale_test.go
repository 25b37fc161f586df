package envoy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

// manyRoutes is a file of n routes, ten to a host.
func manyRoutes(n int) []byte {
	var b strings.Builder
	b.WriteString("gate: http://gate.test:8080\nlisten: 127.0.0.1:8080\nupstreams:\n  app: 'app.internal:3000'\nhosts:\n- origin: http://gate.test:8080\n  routes:\n  - {name: gate, prefix: /, upstream: gate}\n")
	for i := 1; i < n; i++ {
		if i%10 == 1 {
			fmt.Fprintf(&b, "- origin: http://h%d.test:8080\n  routes:\n  - {name: r%d, prefix: /, upstream: app}\n", i/10, i)
			continue
		}
		fmt.Fprintf(&b, "  - {name: r%d, prefix: /app/%d, upstream: app, pass_identity_headers: true, policy: {rate_limit: true}}\n", i, i)
	}
	return []byte(b.String())
}

// Ten thousand routes are rendered, taken by Envoy, and each is found again. The
// log tells the times; on a machine with other work they bind nobody.
func TestTenThousandRoutes(t *testing.T) {
	t.Parallel()
	data := manyRoutes(10_000)
	began := time.Now()
	f, err := route.Parse("many", data)
	if err != nil {
		t.Fatal(err)
	}
	parsed := time.Since(began)
	b, err := envoy.Bootstrap(options(f))
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := envoy.RenderJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d routes in %d bytes: parsed in %v, rendered to %d bytes in %v", len(f.RouteNames()), len(data), parsed, len(bootstrap), time.Since(began))
	began = time.Now()
	if err := envoy.Validate(t.Context(), envoyBinary(t), bootstrap); err != nil {
		t.Error(err)
	}
	t.Logf("validated in %v", time.Since(began))
	for i := 1; i < 10_000; i++ {
		path := fmt.Sprintf("/app/%d/x", i)
		if i%10 == 1 {
			path = "/"
		}
		if _, e := f.Match(fmt.Sprintf("h%d.test", i/10), path); i%10 != 0 && (e == nil || e.Route.Name != fmt.Sprint("r", i)) {
			t.Fatalf("route r%d is not found", i)
		}
	}
}

// Whatever expression the file takes Envoy takes too: its programs stay within
// the budget as RE2 counts it, which is not as Go does.
func TestEveryExpressionThatIsTakenFitsEnvoy(t *testing.T) {
	t.Parallel()
	const head = "gate: http://gate.test:8080\nlisten: 127.0.0.1:8080\nupstreams: {}\nhosts:\n- origin: http://gate.test:8080\n  routes:\n  - {name: gate, prefix: /, upstream: gate}\n"
	text, taken := head, 0
	for i, unit := range []string{"a", "[a-z]", ".", "[^/]", `\w`, `\D`, `\S`, "[^a-c]", "(?i)k", "(ab|cd)", "(a.|[^b]c)?", "[[:^alpha:]]", "x*", "(?:.+/)?", `\pL`, "(?s).", "[k-s]"} {
		best := ""
		for n := 1; n <= 400; n += 1 + n/16 { // nearly as often as is taken
			line := fmt.Sprintf("  - {name: r%d, regex: '/(%s){%d}', upstream: gate}\n", i, unit, n)
			if _, err := route.Parse("x", []byte(head+line)); err != nil {
				break
			}
			best = line
		}
		if best != "" {
			taken++
		}
		text += best
	}
	f, err := route.Parse("expressions", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := envoy.Validate(t.Context(), envoyBinary(t), render(t, options(f))); err != nil || taken < 15 {
		t.Errorf("of %d expressions: %v", taken, err)
	}
}
