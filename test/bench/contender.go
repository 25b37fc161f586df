package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/test/idp/hostile"
)

// stand is where servers are measured side by side.
type stand struct {
	dir, stockBin, gateBin string
	all                    []*contender
}

func (s *stand) stop() {
	for _, c := range s.all {
		c.process.stop()
	}
}

// contender is a server with its client and the calls it must answer.
type contender struct {
	*process
	name   string
	dir    string
	socket string
	client *client
	calls  []call
	people []person
	// stats answers with the process's metrics, of which one counts allocations.
	stats *http.Client
}

// gateOptions tell gates apart.
type gateOptions struct {
	name string
	// cache has decisions remembered.
	cache bool
	// more is added to its configuration.
	more string
}

// startGate starts a gate in a folder of its own and signs everybody in.
func (s *stand) startGate(ctx context.Context, o gateOptions) (*contender, error) {
	dir := filepath.Join(s.dir, o.name+"-home")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := writeWorld(dir); err != nil {
		return nil, err
	}
	ops, err := freeAddr()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "gate.yaml")
	config, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// Gates side by side compare the evaluators once, not each by itself.
	policy := fmt.Sprintf("{path: policies, state: %q", filepath.Join(s.dir, "verdicts"))
	if !o.cache {
		policy += ", cache_mib: 0"
	}
	text := strings.NewReplacer("127.0.0.1:0", ops.String(), "{path: policies}", policy+"}").Replace(string(config)) + o.more
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := start(ctx, "gate-serve", dir, s.gateBin, "serve", "-config", "gate.yaml")
	if err != nil {
		return nil, err
	}
	c := &contender{process: p, name: o.name, dir: dir, socket: filepath.Join(dir, "run", "authz.sock"), stats: tcpClient(ops.String())}
	s.all = append(s.all, c)
	if err := waitFor(ctx, p, "unix", c.socket); err != nil {
		return nil, err
	}
	if err := c.waitMachine(ctx); err != nil {
		return nil, err
	}
	if c.people, err = signIn(ctx, filepath.Join(dir, "run", "admin.sock")); err != nil {
		return nil, err
	}
	if c.calls, err = prepare(c.people, raw, true); err != nil {
		return nil, err
	}
	return c, c.connect(ctx)
}

// startStock starts a stock server, which gets the same requests as gate does.
func (s *stand) startStock(ctx context.Context, name string, people []person, args ...string) (*contender, error) {
	socket := filepath.Join(s.dir, name+".sock")
	p, err := start(ctx, name, s.dir, s.stockBin, append([]string{"-socket", socket}, args...)...)
	if err != nil {
		return nil, err
	}
	c := &contender{process: p, name: name, dir: s.dir, socket: socket, people: people}
	s.all = append(s.all, c)
	if err := waitFor(ctx, p, "unix", socket); err != nil {
		return nil, err
	}
	if c.calls, err = prepare(people, raw, name == "opa"); err != nil {
		return nil, err
	}
	return c, c.connect(ctx)
}

func (c *contender) connect(ctx context.Context) (err error) {
	if c.client, err = dial(c.socket); err != nil {
		return err
	}
	if err := c.client.verify(ctx, c.calls); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// withTokens is the same gate asked by programs: everybody's request carries an
// access token in place of the session cookie, and has the same size.
func (c *contender) withTokens(ctx context.Context, issuer *hostile.Issuer) (*contender, error) {
	people := make([]person, len(c.people))
	for i, p := range c.people {
		p.cookie = ""
		p.token = issuer.AccessToken(map[string]any{"sub": p.id, "email": p.email, "roles": []string{p.role}})
		people[i] = p
	}
	calls, err := prepare(people, raw, true)
	if err != nil {
		return nil, err
	}
	b := &contender{process: c.process, name: "bearer", socket: c.socket, calls: calls, people: people}
	return b, b.connect(ctx)
}

// withMap is the same server asked by an Envoy that sends headers in a map.
func (c *contender) withMap(ctx context.Context) (*contender, error) {
	calls, err := prepare(c.people, mapped, c.calls[0].want != nil)
	if err != nil {
		return nil, err
	}
	m := &contender{process: c.process, name: c.name + "-map", socket: c.socket, calls: calls, people: c.people}
	return m, m.connect(ctx)
}

// withMaps puts what withMap returns in place of each.
func withMaps(ctx context.Context, all ...**contender) (err error) {
	for _, c := range all {
		if *c, err = (*c).withMap(ctx); err != nil {
			return err
		}
	}
	return nil
}

// allocations runs a warm server and returns how many allocations one Check
// takes it.
func (c *contender) allocations(ctx context.Context) (float64, error) {
	for range 4 { // pools and tables find their size
		if _, err := c.client.run(ctx, c.calls, manyCallers, blockTime); err != nil {
			return 0, err
		}
	}
	before, err := c.mallocs(ctx)
	if err != nil {
		return 0, err
	}
	b, err := c.client.run(ctx, c.calls, manyCallers, blocks*blockTime/2)
	if err != nil {
		return 0, err
	}
	after, err := c.mallocs(ctx)
	return (after - before) / float64(b.calls), err
}

func (c *contender) mallocs(ctx context.Context) (float64, error) {
	return c.metric(ctx, "go_memstats_mallocs_total")
}

// waitMachine waits until policy has been compared and runs on the machine.
func (c *contender) waitMachine(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		v, err := c.metric(ctx, `pomerium_policy_evaluator{evaluator="machine"}`)
		if err == nil && v == 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s decides by OPA's evaluator, see %s (%w)", c.name, filepath.Join(c.dir, "gate-serve.log"), errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// metric reads one of the server's metrics.
func (c *contender) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://stats/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.stats.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(n, 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", c.name, name)
}

func unixClient(socket string) *http.Client { return clientOf("unix", socket) }

func tcpClient(addr string) *http.Client { return clientOf("tcp", addr) }

func clientOf(network, addr string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}}
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
