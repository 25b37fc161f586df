package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

// A request through Envoy costs several times a check: blocks at many callers
// are longer, and those at one are more, since a time is compared there.
const (
	edgeBlockTime  = 300 * time.Millisecond
	aloneBlocks    = 40
	aloneBlockTime = 200 * time.Millisecond
)

// checkEnvoy measures gate and the no-op behind an Envoy each, with the same
// configuration but for the socket that it asks, and beside them an Envoy that
// asks nobody: what a check adds is the difference to that.
func checkEnvoy(ctx context.Context, r *report, s *stand) error {
	gate, err := s.startGate(ctx, gateOptions{name: "gate"})
	if err != nil {
		return err
	}
	noop, err := s.startStock(ctx, "noop", gate.people)
	if err != nil {
		return err
	}
	stop, err := serveUpstream(filepath.Join(gate.dir, "up.sock"))
	if err != nil {
		return err
	}
	defer stop()
	nobody := &contender{name: "nobody", people: gate.people}
	edges := map[*contender]*edge{}
	for _, c := range []*contender{nobody, noop, gate} {
		e, err := startEdge(ctx, gate.dir, c)
		if err != nil {
			return err
		}
		defer e.stop()
		edges[c] = e
	}
	m, err := interleave(blocks, []*contender{noop, gate}, func(c *contender) (*burst, error) {
		return edges[c].run(ctx, c.people, c == gate, manyCallers, edgeBlockTime)
	})
	if err != nil {
		return err
	}
	r.ratio("envoy+gate/envoy+noop_cpu@16", ratios(m.of[gate].cpu, m.of[noop].cpu), maxEnvoy)
	r.ratio("envoy+gate/envoy+noop_p50@16", ratios(m.of[gate].p50, m.of[noop].p50), 0)
	r.ratio("envoy+gate/envoy+noop_p99@16", ratios(m.of[gate].p99, m.of[noop].p99), 0)
	m, err = interleave(aloneBlocks, []*contender{nobody, noop, gate}, func(c *contender) (*burst, error) {
		return edges[c].run(ctx, c.people, c == gate, 1, aloneBlockTime)
	})
	if err != nil {
		return err
	}
	added := func(c *contender) []float64 {
		out := make([]float64, aloneBlocks)
		for i := range out {
			out[i] = m.of[c].p50[i] - m.of[nobody].p50[i]
		}
		return out
	}
	for _, c := range []*contender{noop, gate} {
		r.figure("envoy+"+c.name+"_cpu@1", median(m.of[c].cpu), "µs/request", 0)
		r.figure("envoy+"+c.name+"_added_p50@1", median(added(c)), "µs", 0)
	}
	r.ratio("envoy+gate/envoy+noop_cpu@1", ratios(m.of[gate].cpu, m.of[noop].cpu), maxEnvoy)
	r.ratio("envoy+gate/envoy+noop_added_p50@1", ratios(added(gate), added(noop)), maxAdded)
	return nil
}

// edge is a running Envoy and a client of it.
type edge struct {
	*process
	http *http.Client
}

// startEdge starts an Envoy that asks the contender, with the routes file and the
// sockets of dir. It asks nobody where there is no process.
func startEdge(ctx context.Context, dir string, c *contender) (*edge, error) {
	f, err := route.Load(filepath.Join(dir, "routes.yaml"))
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	b, err := envoy.Bootstrap(envoy.Options{
		Routes: f, AuthzSocket: cmp.Or(c.socket, filepath.Join(dir, "run", "authz.sock")), GateSocket: filepath.Join(dir, "run", "http.sock"), Listen: addr,
		AdminSocket: filepath.Join(dir, c.name+"-admin.sock"), AccessLogPath: filepath.Join(dir, c.name+"-edge.log"),
	})
	if err != nil {
		return nil, err
	}
	if c.process == nil {
		if err := askNobody(b); err != nil {
			return nil, err
		}
	}
	y, err := envoy.RenderYAML(b)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, c.name+"-envoy.yaml")
	if err := os.WriteFile(file, y, 0o600); err != nil {
		return nil, err
	}
	bin, err := envoy.FindBinary()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, "envoy-"+c.name, dir, bin, envoy.Args(file, 1)...)
	if err != nil {
		return nil, err
	}
	if err := waitFor(ctx, p, "tcp", addr.String()); err != nil {
		return nil, err
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr.String())
	}}
	return &edge{p, &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// askNobody takes the check out of an Envoy's configuration.
func askNobody(b *bootstrapv3.Bootstrap) error {
	for _, l := range b.GetStaticResources().GetListeners() {
		for _, chain := range l.GetFilterChains() {
			for _, f := range chain.GetFilters() {
				var hcm hcmv3.HttpConnectionManager
				if !f.GetTypedConfig().MessageIs(&hcm) {
					continue
				}
				if err := f.GetTypedConfig().UnmarshalTo(&hcm); err != nil {
					return err
				}
				hcm.HttpFilters = slices.DeleteFunc(hcm.HttpFilters, func(h *hcmv3.HttpFilter) bool { return h.GetName() == "envoy.filters.http.ext_authz" })
				if err := f.GetTypedConfig().MarshalFrom(&hcm); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// run sends everybody's request through Envoy. The upstream echoes the identity
// header, which must be this person's.
func (e *edge) run(ctx context.Context, ps []person, wantIdentity bool, callers int, d time.Duration) (*burst, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		mu   sync.Mutex
		b    burst
	)
	end := time.Now().Add(d)
	for range callers {
		wg.Go(func() {
			var took []time.Duration
			for time.Now().Before(end) && ctx.Err() == nil {
				i := int(next.Add(1) % int64(len(ps)))
				t := time.Now()
				if err := e.one(ctx, &ps[i], i, wantIdentity); err != nil {
					cancel(err)
					return
				}
				took = append(took, time.Since(t))
			}
			mu.Lock()
			b.calls += int64(len(took))
			b.latencies = append(b.latencies, took...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("the run is invalid: %w", err)
	}
	return &b, nil
}

func (e *edge) one(ctx context.Context, p *person, i int, wantIdentity bool) error {
	_, host, method, path := target(i)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, nil)
	if err != nil {
		return err
	}
	for _, h := range p.headers(i, host) {
		req.Header.Set(h[0], h[1])
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || wantIdentity && string(body) != p.email {
		return fmt.Errorf("%s %s%s answered %s %q", method, host, path, resp.Status, body)
	}
	return nil
}

// serveUpstream answers every request with the identity that the edge gave.
func serveUpstream(socket string) (stop func(), err error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Pomerium-Email"))
	})}
	go func() { _ = srv.Serve(l) }()
	return func() { _ = srv.Close() }, nil
}

func freeAddr() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer l.Close()
	return netip.ParseAddrPort(l.Addr().String())
}
