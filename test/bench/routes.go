package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

const (
	manyRoutes   = 10_000
	renderRounds = 5
	liveChanges  = 20
	liveRoutes   = 100
)

// routesPart measures what the edge promises of the routes file: how long ten
// thousand routes take to become Envoy's configuration, and how long after a file
// was put in place an answer of Envoy follows it.
func routesPart(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "gateroutes")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := renderMany(ctx, r); err != nil {
		return err
	}
	gate, err := build(ctx, dir, "gate", "./cmd/gate")
	if err != nil {
		return err
	}
	for _, by := range []string{"files", "ads"} {
		took, err := liveBy(ctx, gate, by)
		if err != nil {
			return fmt.Errorf("routes by %s: %w", by, err)
		}
		r.figure("route_change_live_by_"+by, median(took), "ms", 100)
	}
	return nil
}

// renderMany holds a file of many routes against the clock and the real Envoy.
func renderMany(ctx context.Context, r *report) error {
	data := routesOf(manyRoutes, "127.0.0.1:8080", "one")
	var took []float64
	var bootstrap []byte
	for range renderRounds {
		began := time.Now()
		f, err := route.Parse("routes.yaml", data)
		if err != nil {
			return err
		}
		b, err := envoy.Bootstrap(envoy.Options{Routes: f, AuthzSocket: "/run/gate/authz.sock", GateSocket: "/run/gate/http.sock", AdminSocket: "/run/gate/envoy.sock"})
		if err != nil {
			return err
		}
		if bootstrap, err = envoy.RenderJSON(b); err != nil {
			return err
		}
		took = append(took, time.Since(began).Seconds())
	}
	r.figure("render_10000_routes", median(took), "s", 1)
	bin, err := envoy.FindBinary()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := envoy.Validate(ctx, bin, bootstrap); err != nil {
		return fmt.Errorf("%d routes: %w", manyRoutes, err)
	}
	r.figure("envoy_takes_10000_routes", time.Since(began).Seconds(), "s", 0)
	return nil
}

// routesOf is a file of n routes, ten to a host, and one that answers body.
func routesOf(n int, listen, body string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "gate: http://gate.neosc.localhost:8080\nlisten: %s\nupstreams:\n  app: '127.0.0.1:3000'\nhosts:\n- origin: http://gate.neosc.localhost:8080\n  routes:\n", listen)
	fmt.Fprintf(&b, "  - {name: gate, prefix: /, upstream: gate}\n  - {name: version, path: /version, public: true, respond: {status: 200, body: %q}}\n", body)
	for i := range n - 2 {
		if i%10 == 0 {
			fmt.Fprintf(&b, "- origin: http://h%d.neosc.localhost:8080\n  routes:\n  - {name: r%d, prefix: /, upstream: app}\n", i/10, i)
			continue
		}
		fmt.Fprintf(&b, "  - {name: r%d, prefix: /app/%d, upstream: app, pass_identity_headers: true, policy: {rate_limit: true}}\n", i, i)
	}
	return []byte(b.String())
}

// liveBy changes the routes of a running gate and Envoy, and returns how many ms
// passed each time until an answer was of the new ones.
func liveBy(ctx context.Context, gate, by string) ([]float64, error) {
	dir, err := os.MkdirTemp("", "gatelive")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	listen, err := freeAddr()
	if err != nil {
		return nil, err
	}
	put := func(body string) error {
		next := filepath.Join(dir, "next")
		if err := os.WriteFile(next, routesOf(liveRoutes, listen.String(), body), 0o600); err != nil {
			return err
		}
		return os.Rename(next, filepath.Join(dir, "routes.yaml"))
	}
	config := "listen: {authz: a.sock, http: h.sock, admin: admin.sock, ops: \"127.0.0.1:0\"}\ncookie: {domain: .neosc.localhost, insecure: true}\nenvoy: {" + by + ": xds, admin: e.sock}\n"
	if err := os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	if err := put("0"); err != nil {
		return nil, err
	}
	stop, err := startLive(ctx, gate, by, dir, listen)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := untilSays(ctx, listen, "0"); err != nil {
		return nil, err
	}
	var took []float64
	for i := 1; i <= liveChanges; i++ {
		if err := put(fmt.Sprint(i)); err != nil {
			return nil, err
		}
		d, err := untilSays(ctx, listen, fmt.Sprint(i))
		if err != nil {
			return nil, err
		}
		took = append(took, float64(d.Microseconds())/1e3)
	}
	return took, nil
}

// startLive starts a gate and the Envoy on what it prepares.
func startLive(ctx context.Context, gate, by, dir string, listen netip.AddrPort) (stop func(), err error) {
	args, bootstrap := []string{"envoy", "files"}, filepath.Join(dir, "xds", "envoy.yaml")
	if by == "ads" {
		bootstrap = filepath.Join(dir, "envoy.yaml")
		args = []string{"envoy", "bootstrap", "-ads", "-o", bootstrap}
	}
	cmd := exec.CommandContext(ctx, gate, append(args, "-access-log", filepath.Join(dir, "edge.log"))...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	g, err := start(ctx, "gate-"+by, dir, gate, "serve")
	if err != nil {
		return nil, err
	}
	if err := waitFor(ctx, g, "unix", filepath.Join(dir, "a.sock")); err != nil {
		g.stop()
		return nil, err
	}
	bin, err := envoy.FindBinary()
	if err != nil {
		g.stop()
		return nil, err
	}
	e, err := start(ctx, "envoy-"+by, dir, bin, envoy.Args(bootstrap, 1)...)
	if err != nil {
		g.stop()
		return nil, err
	}
	if err := waitFor(ctx, e, "tcp", listen.String()); err != nil {
		e.stop()
		g.stop()
		return nil, err
	}
	return func() { e.stop(); g.stop() }, nil
}

// untilSays asks until the answer is body, on a connection for each question.
func untilSays(ctx context.Context, at netip.AddrPort, body string) (time.Duration, error) {
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", at.String())
	}}}
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(500 * time.Microsecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gate.neosc.localhost:8080/version", nil)
		if err != nil {
			return 0, err
		}
		res, err := c.Do(req)
		if err != nil {
			continue
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil && string(got) == body {
			return time.Since(began), nil
		}
	}
	return 0, fmt.Errorf("in 10 s no answer is %q", body)
}
