package envoy_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

// delivery is one of the ways in which a running Envoy gets other routes.
type delivery interface {
	Apply(context.Context, *route.File) error
}

// deliveries start an Envoy on each.
var deliveries = map[string]func(*testing.T, string) (*edge, delivery){
	"files": func(t *testing.T, routes string) (*edge, delivery) {
		e, files := startWatching(t, routes)
		return e, files
	},
	"ads": func(t *testing.T, routes string) (*edge, delivery) {
		e, ads := startDiscovering(t, routes)
		return e, ads
	},
}

// startWatching runs an Envoy on watched files.
func startWatching(t *testing.T, routes string) (*edge, *envoy.Files) {
	t.Helper()
	e, file := prepareEdge(t, routes, "other.sock")
	o := e.options(file)
	o.Files = filepath.Join(e.dir, "xds")
	files, err := envoy.NewFiles(o, envoy.NewAdmin(o.AdminSocket))
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := files.WriteAll()
	if err != nil {
		t.Fatal(err)
	}
	stricter(t, bootstrap)
	e.run(t, bootstrap, o.AdminSocket)
	return e, files
}

// apply delivers other routes.
func (e *edge) apply(t *testing.T, d delivery, routes string) error {
	t.Helper()
	f, err := route.Parse("test", inDir(routes, e.dir))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return d.Apply(ctx, f)
}

// Eight changes of routes and upstreams under load: no request fails, none goes
// unchecked, an open WebSocket lives on, and what Envoy says it has is what it
// does.
func TestRoutesChangeWithoutALostRequest(t *testing.T) {
	t.Parallel()
	for name, start := range deliveries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, d := start(t, testRoutes)
			changeUnderLoad(t, e, d)
		})
	}
}

func changeUnderLoad(t *testing.T, e *edge, d delivery) {
	t.Helper()
	socket := e.openSocket(t, "portal.test")
	stop := make(chan struct{})
	var sent load
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			c := &caller{addr: e.addr}
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("load-%d-%d", i, n)
				began, failure := time.Now(), ""
				if status := c.ask(t, "portal.test", "/", id); status != 200 || e.asked(id) != "portal" {
					failure = fmt.Sprintf("%d, asked as %q", status, e.asked(id))
				}
				sent.done(began, failure)
			}
		})
	}
	for i := range 8 {
		upstream := []string{"other", "frontend"}[i%2]
		more := strings.Replace(testRoutes, "upstreams:\n", "upstreams:\n  other: unix:%[1]s/other.sock\n  other"+fmt.Sprint(i)+": unix:%[1]s/other.sock\n", 1)
		more = strings.Replace(more, "prefix: /, upstream: frontend, upgrades: [websocket], timeout: 20s", "prefix: /, upstream: "+upstream+", upgrades: [websocket], timeout: 19s", 1)
		more = strings.Replace(more, "  - {name: exact,", fmt.Sprintf("  - {name: fresh%d, prefix: /fresh%d, upstream: other%d}\n  - {name: exact,", i, i, i), 1)
		if err := e.apply(t, d, more); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("fresh", i)
		if a := e.raw(t, request("GET", "portal.test", "/fresh"+fmt.Sprint(i), id)); a.status != 200 || e.asked(id) != id {
			t.Errorf("change %d is not live: %d, asked as %q", i, a.status, e.asked(id))
		}
		sent.await(20)
	}
	close(stop)
	wg.Wait()
	sent.check(t)
	if err := socket.echo(); err != nil {
		t.Errorf("an open WebSocket was cut: %v", err)
	}
}

// tooLarge has an expression that the gate takes, and that an Envoy refuses whose
// bootstrap went through stricter.
func tooLarge() string {
	return strings.Replace(testRoutes, "  - {name: exact, path: /exact, upstream: frontend}", "  - {name: exact, regex: '/a{391}', upstream: frontend}", 1)
}

// stricter makes Envoy refuse what the gate takes for good.
func stricter(t *testing.T, bootstrap string) {
	t.Helper()
	text, err := os.ReadFile(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	less := strings.Replace(string(text), "error_level: 400", "error_level: 390", 1)
	if less == string(text) {
		t.Fatal("the bootstrap has no error_level: 400")
	}
	if err := os.WriteFile(bootstrap, []byte(less), 0o600); err != nil {
		t.Fatal(err)
	}
}

// badCA names a CA that is not there, which Envoy alone can know.
func badCA() string {
	bad := strings.Replace(testRoutes, "upstreams:\n", "upstreams:\n  bad: {address: '127.0.0.1:1', tls: {ca: /no/such/ca.pem}}\n", 1)
	return strings.Replace(bad, "  - {name: exact, path: /exact, upstream: frontend}", "  - {name: exact, path: /exact, upstream: bad}", 1)
}

// A change that Envoy refuses leaves everything as it was, and the next good
// one is taken.
func TestRefusedChangeKeepsTheOld(t *testing.T) {
	t.Parallel()
	for name, start := range deliveries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, d := start(t, testRoutes)
			if err := e.apply(t, d, badCA()); err == nil || !strings.Contains(err.Error(), "refuses the change: it cannot use the authorities of /no/such/ca.pem") {
				t.Fatalf("a change that names a CA that is not there gave %v", err)
			}
			if err := e.apply(t, d, tooLarge()); err == nil || !strings.Contains(err.Error(), "refuses the change") {
				t.Fatalf("an expression that is too large for Envoy gave %v", err)
			} else if name == "ads" && !strings.Contains(err.Error(), "program size") {
				t.Errorf("the reason is not told: %v", err)
			}
			if a := e.raw(t, request("GET", "portal.test", "/exact", "exact")); a.status != 200 || e.asked("exact") != "exact" {
				t.Errorf("after a refused change the old route gave %d", a.status)
			}
			if name == "files" {
				oldInFiles(t, e)
			}
			if err := e.apply(t, d, strings.Replace(testRoutes, "/exact", "/exactly", 1)); err != nil {
				t.Fatalf("the next change gave %v", err)
			}
			if e.raw(t, request("GET", "portal.test", "/exactly", "exactly")); e.asked("exactly") != "exact" {
				t.Error("the next change is not live")
			}
			if err := e.apply(t, d, testRoutes+"trusted_hops: 1\n"); err == nil || !strings.Contains(err.Error(), "trusted_hops") {
				t.Errorf("a change of the listener gave %v", err)
			}
		})
	}
}

// oldInFiles: an Envoy that starts now has the old as well.
func oldInFiles(t *testing.T, e *edge) {
	t.Helper()
	for _, name := range []string{"cds.json", "rds.json"} {
		data, err := os.ReadFile(filepath.Join(e.dir, "xds", name))
		if err != nil || strings.Contains(string(data), `"bad"`) {
			t.Errorf("%s still has the refused change, or %v", name, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(e.dir, "xds", ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWatchedFilesNeedAnAbsoluteFolder(t *testing.T) {
	t.Parallel()
	f, err := route.Parse("test", inDir(testRoutes, "/tmp"))
	if err != nil {
		t.Fatal(err)
	}
	o := options(f)
	o.Listen = netip.MustParseAddrPort("127.0.0.1:8080")
	for dir, want := range map[string]string{"": "no folder", "xds": "absolute"} {
		o.Files = dir
		if _, err := envoy.NewFiles(o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v", dir, err)
		}
	}
}
