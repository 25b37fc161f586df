package route_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/neosc/gate/authz/route"
)

// While a change is under way each request is judged by the file that Envoy
// matched it by; afterwards by the one in use.
func TestLiveJudgesByTheFileThatMatched(t *testing.T) {
	t.Parallel()
	before := parse(t, minimal)
	after := parse(t, strings.Replace(minimal, "{name: app, prefix: /, upstream: app}", "{name: app, prefix: /, upstream: app, pass_identity_headers: true}\n  - {name: fresh, prefix: /fresh, upstream: app}", 1))
	last := parse(t, strings.Replace(minimal, "name: app,", "name: other,", 1))
	l := route.NewLive(before)
	l.Swap(after)
	if l.RouteAt("app", before.Revision()).PassIdentityHeaders || !l.RouteAt("app", after.Revision()).PassIdentityHeaders || !l.Route("app").PassIdentityHeaders {
		t.Error("a route is not that of the file that matched")
	}
	if l.RouteAt("fresh", before.Revision()) != nil || l.RouteAt("fresh", "") == nil || l.RouteAt("fresh", "unknown") == nil {
		t.Error("a new route is found by the old file, or not by the new one")
	}
	l.Swap(last)
	if l.RouteAt("app", before.Revision()) == nil || l.RouteAt("app", after.Revision()) == nil || l.RouteAt("app", last.Revision()) != nil || l.Route("app") != nil {
		t.Error("a file before the last is forgotten too early, or never")
	}
	l.Swap(before) // back again
	if l.File() != before || l.RouteAt("other", last.Revision()) == nil || l.RouteAt("app", before.Revision()).PassIdentityHeaders {
		t.Error("going back is no change like others")
	}
	l.Retire()
	if l.RouteAt("fresh", after.Revision()) != nil || l.RouteAt("other", last.Revision()) != nil || l.RouteAt("app", last.Revision()) == nil {
		t.Error("a retired file is still in use")
	}
	if !l.IsOrigin("http://app.test:8080") || l.IsOrigin("http://other.test") {
		t.Error("the origins are not those of the file in use")
	}
}

func TestLiveSwapsUnderLoad(t *testing.T) {
	t.Parallel()
	a, b := parse(t, minimal), parse(t, minimal+"# another\n")
	l := route.NewLive(a)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				if l.RouteAt("app", a.Revision()) == nil || l.RouteAt("app", b.Revision()) == nil {
					t.Error("a route is lost")
					return
				}
			}
		})
	}
	for i := range 2000 {
		l.Swap([]*route.File{a, b}[i%2])
		if i%7 == 0 {
			l.Retire()
		}
	}
	wg.Wait()
}

func TestNeedsRestartNamesWhatTheListenerHolds(t *testing.T) {
	t.Parallel()
	f := parse(t, minimal)
	for add, want := range map[string][]string{
		"":                              nil,
		"listen: 0.0.0.0:443\n":         {"listen"},
		"trusted_hops: 1\n":             {"trusted_hops", "strip_headers"},
		"check_headers: [x-a]\n":        {"check_headers"},
		"set_headers: [x-pomerium-*]\n": {"set_headers", "strip_headers"},
		"response_headers: [x-a]\n":     {"response_headers"},
		"strip_headers: [x-a]\n":        {"strip_headers"},
		"#\n":                           nil,
	} {
		if got := f.NeedsRestart(parse(t, minimal+add)); !slices.Equal(got, want) {
			t.Errorf("%q needs a restart for %v, want %v", add, got, want)
		}
	}
	more := parse(t, strings.Replace(minimal, "upstream: app}", "upstream: app, upgrades: [websocket]}", 1))
	if got := f.NeedsRestart(more); got != nil {
		t.Errorf("a route's change needs a restart for %v", got)
	}
}

func TestWildcardOrigins(t *testing.T) {
	t.Parallel()
	f := parse(t, minimal+"- origin: https://*.apps.kappa4.com\n  routes:\n  - {name: apps, prefix: /, upstream: app}\n- origin: http://*.dev.test:8080\n  routes:\n  - {name: dev, prefix: /, upstream: app}\n")
	for origin, want := range map[string]bool{
		"https://x.apps.kappa4.com": true, "https://x.y.apps.kappa4.com": true, "http://x.dev.test:8080": true, "http://x.dev.test": false, "http://x.dev.test:8081": false,
		"https://apps.kappa4.com": false, "https://*.apps.kappa4.com": false, "http://x.apps.kappa4.com": false, "https://x.apps.kappa4.com:444": false,
		"https://x.apps.kappa4.com.evil.test": false, "https://evil.test/.apps.kappa4.com": false, "https://evil.test#.apps.kappa4.com": false, "https://X.apps.kappa4.com": false,
		"https://a@x.apps.kappa4.com": false, "https://.apps.kappa4.com": false, "https://x_y.apps.kappa4.com": false, "https://x.apps.kappa4.com/": false, "https://x.dev.test:8080": false,
	} {
		if f.IsOrigin(origin) != want {
			t.Errorf("%s: %v, want %v", origin, !want, want)
		}
	}
}
