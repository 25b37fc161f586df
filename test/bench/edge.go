package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

// edgeBlocks are fewer and longer than those of direct checks: a request
// through Envoy costs several times a check.
const (
	edgeBlocks    = 20
	edgeBlockTime = 300 * time.Millisecond
	edgeCallers   = 16
)

// edgeOfCheck measures the three servers behind an Envoy each, with the same
// configuration but for the socket that it asks.
func edgeOfCheck(ctx context.Context, r *report, s *stand) error {
	stop, err := serveUpstream(filepath.Join(s.dir, "up.sock"))
	if err != nil {
		return err
	}
	defer stop()
	edges := map[*contender]*edge{}
	for _, c := range s.all() {
		e, err := startEdge(ctx, s, c)
		if err != nil {
			return err
		}
		defer e.stop()
		edges[c] = e
	}
	cpu, p50, p99 := map[*contender][]float64{}, map[*contender][]float64{}, map[*contender][]float64{}
	for block := range edgeBlocks + 1 {
		for _, c := range s.all() {
			before, err := c.cpu()
			if err != nil {
				return err
			}
			b, err := edges[c].run(ctx, s.people, c != s.noop)
			if err != nil {
				return fmt.Errorf("%s behind Envoy: %w", c.name, err)
			}
			after, err := c.cpu()
			if err != nil {
				return err
			}
			if block == 0 {
				continue
			}
			cpu[c] = append(cpu[c], float64((after-before).Nanoseconds())/1e3/float64(b.calls))
			p50[c] = append(p50[c], float64(b.quantile(0.5).Nanoseconds())/1e3)
			p99[c] = append(p99[c], float64(b.quantile(0.99).Nanoseconds())/1e3)
		}
	}
	for _, c := range s.all() {
		r.figure("envoy+"+c.name+"_cpu@16", median(cpu[c]), "µs/request", 0)
		r.figure("envoy+"+c.name+"_p50@16", median(p50[c]), "µs", 0)
	}
	r.ratio("envoy+gate/envoy+noop_cpu@16", ratios(cpu[s.gate], cpu[s.noop]), 0)
	r.ratio("envoy+gate/envoy+noop_p50@16", ratios(p50[s.gate], p50[s.noop]), 0)
	r.ratio("envoy+gate/envoy+noop_p99@16", ratios(p99[s.gate], p99[s.noop]), 0)
	r.ratio("envoy+gate/envoy+opa_p50@16", ratios(p50[s.gate], p50[s.stock]), 0)
	return nil
}

// edge is a running Envoy and a client of it.
type edge struct {
	*process
	http *http.Client
}

func startEdge(ctx context.Context, s *stand, c *contender) (*edge, error) {
	f, err := route.Load(filepath.Join(s.dir, "routes.yaml"))
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	b, err := envoy.Bootstrap(envoy.Options{
		Routes: f, AuthzSocket: c.socket, GateSocket: filepath.Join(s.dir, "run", "http.sock"), Listen: addr,
		AdminSocket: filepath.Join(s.dir, c.name+"-admin.sock"), AccessLogPath: filepath.Join(s.dir, c.name+"-edge.log"),
	})
	if err != nil {
		return nil, err
	}
	y, err := envoy.RenderYAML(b)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, c.name+"-envoy.yaml")
	if err := os.WriteFile(file, y, 0o600); err != nil {
		return nil, err
	}
	bin, err := envoy.FindBinary()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, "envoy-"+c.name, s.dir, bin, envoy.Args(file, 1)...)
	if err != nil {
		return nil, err
	}
	if err := waitFor(ctx, p, "tcp", addr.String()); err != nil {
		return nil, err
	}
	tr := &http.Transport{MaxIdleConnsPerHost: edgeCallers, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr.String())
	}}
	return &edge{p, &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// run sends everybody's request through Envoy. The upstream echoes the identity
// header, which must be this person's.
func (e *edge) run(ctx context.Context, ps []person, wantIdentity bool) (*burst, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		mu   sync.Mutex
		b    burst
	)
	end := time.Now().Add(edgeBlockTime)
	for range edgeCallers {
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
