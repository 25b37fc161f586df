package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	blocks    = 20
	blockTime = 250 * time.Millisecond
)

// callerCounts are how many Checks are under way at once over one connection.
var callerCounts = []int{1, 16, 64}

// checkArea measures server CPU per Check of gate with everything on (session
// by real cookie, policy, limit, logs, metrics) in units of a stock grpc-go
// no-op server, beside stock OPA, interleaved block by block; and the same
// three behind Envoy.
func checkArea(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := newStand(ctx, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, callers := range callerCounts {
		if err := s.measure(ctx, r, callers); err != nil {
			return err
		}
	}
	return edgeOfCheck(ctx, r, s)
}

// contender is a server with its client and the calls it must answer.
type contender struct {
	*process
	socket string
	client *client
	calls  []call
}

// stand holds the three servers, the unit first.
type stand struct {
	dir               string
	noop, stock, gate *contender
	people            []person
}

func (s *stand) all() []*contender { return []*contender{s.noop, s.stock, s.gate} }

func (s *stand) stop() {
	for _, c := range s.all() {
		if c != nil {
			c.process.stop()
		}
	}
}

func newStand(ctx context.Context, dir string) (*stand, error) {
	s := &stand{dir: dir}
	stock, err := build(ctx, dir, "stock", "./test/bench/stock")
	if err != nil {
		return nil, err
	}
	gate, err := build(ctx, dir, "gate", "./cmd/gate")
	if err != nil {
		return nil, err
	}
	if err := writeWorld(dir); err != nil {
		return nil, err
	}
	g, err := start(ctx, "gate-serve", dir, gate, "serve", "-config", "gate.yaml")
	if err != nil {
		return nil, err
	}
	s.gate = &contender{process: g, socket: filepath.Join(dir, "run", "authz.sock")}
	if err := waitFor(ctx, g, "unix", s.gate.socket); err != nil {
		return nil, err
	}
	if s.people, err = signIn(ctx, filepath.Join(dir, "run", "admin.sock")); err != nil {
		return nil, err
	}
	if err := writeSessions(filepath.Join(dir, "sessions.json"), s.people); err != nil {
		return nil, err
	}
	if s.noop, err = startStock(ctx, dir, stock, "noop"); err != nil {
		return nil, err
	}
	if s.stock, err = startStock(ctx, dir, stock, "opa", "-policies", "policies", "-sessions", "sessions.json"); err != nil {
		return nil, err
	}
	for _, c := range s.all() {
		if c.calls, err = prepare(s.people, c != s.noop); err != nil {
			return nil, err
		}
		if c.client, err = dial(c.socket); err != nil {
			return nil, err
		}
		if err := c.client.verify(ctx, c.calls); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return s, nil
}

func startStock(ctx context.Context, dir, bin, name string, args ...string) (*contender, error) {
	socket := filepath.Join(dir, name+".sock")
	p, err := start(ctx, name, dir, bin, append([]string{"-socket", socket}, args...)...)
	if err != nil {
		return nil, err
	}
	return &contender{process: p, socket: socket}, waitFor(ctx, p, "unix", socket)
}

// measure runs interleaved blocks: each block visits every server, so that a
// change of the machine's mood falls on all of them.
func (s *stand) measure(ctx context.Context, r *report, callers int) error {
	cost := map[*contender][]float64{}
	p50 := map[*contender][]float64{}
	p99 := map[*contender][]float64{}
	for block := range blocks + 1 {
		for _, c := range s.all() {
			before, err := c.cpu()
			if err != nil {
				return err
			}
			b, err := c.client.run(ctx, c.calls, callers, blockTime)
			if err != nil {
				return fmt.Errorf("%s at %d callers: %w", c.name, callers, err)
			}
			after, err := c.cpu()
			if err != nil {
				return err
			}
			if block == 0 {
				continue // warm-up
			}
			cost[c] = append(cost[c], float64((after-before).Nanoseconds())/1e3/float64(b.calls))
			p50[c] = append(p50[c], float64(b.quantile(0.5).Nanoseconds())/1e3)
			p99[c] = append(p99[c], float64(b.quantile(0.99).Nanoseconds())/1e3)
		}
	}
	at := func(name string) string { return fmt.Sprintf("%s@%d", name, callers) }
	bound := 0.0
	if callers == 16 {
		bound = 5
	}
	r.figure(at("noop_cpu"), median(cost[s.noop]), "µs/check", 0)
	r.figure(at("opa_cpu"), median(cost[s.stock]), "µs/check", 0)
	r.figure(at("gate_cpu"), median(cost[s.gate]), "µs/check", 0)
	r.ratio(at("opa/noop_cpu"), ratios(cost[s.stock], cost[s.noop]), 0)
	r.ratio(at("gate/noop_cpu"), ratios(cost[s.gate], cost[s.noop]), bound)
	r.ratio(at("gate/opa_cpu"), ratios(cost[s.gate], cost[s.stock]), 0)
	r.ratio(at("gate/noop_p50"), ratios(p50[s.gate], p50[s.noop]), 0)
	r.ratio(at("gate/noop_p99"), ratios(p99[s.gate], p99[s.noop]), 0)
	return nil
}

func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// writeSessions gives stock OPA what gate finds behind a cookie.
func writeSessions(file string, ps []person) error {
	m := map[string]any{}
	for i, p := range ps {
		m[p.cookie] = map[string]any{
			"id": p.id, "user": map[string]any{"id": p.id, "email": p.email, "email_verified": true}, "roles": []string{role(i)}, "claims": map[string]any{},
			"provider": "local", "kind": "browser", "authenticated_at": "2026-03-05T10:00:00Z", "expires_at": "2036-03-05T10:00:00Z",
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}
