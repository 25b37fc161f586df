package soak

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// rollingRoutes has a public route that says which version is in use.
const rollingRoutes = `gate: http://gate.neosc.localhost:%[1]d
listen: 127.0.0.1:%[1]d
shields: {requests_per_second: 100000}
upstreams: {app: "%[2]s"}
hosts:
- origin: http://portal.neosc.localhost:%[1]d
  routes:
  - {name: portal, prefix: /, upstream: app, pass_identity_headers: true}
  - {name: version, path: /version, public: true, respond: {status: 200, body: v0}} # end
- origin: http://gate.neosc.localhost:%[1]d
  routes:
  - {name: gate, prefix: /, upstream: gate, pass_authorization: true}
`

// rollingGate is gate.yaml; %s is how Envoy gets changes.
const rollingGate = `listen: {authz: a.sock, http: h.sock, admin: admin.sock, ops: "127.0.0.1:0"}
cookie: {domain: .neosc.localhost, insecure: true}
envoy: {%s, admin: e.sock}
policy: {path: policies}
log: {access: "off"}
`

// startRolling starts an edge whose Envoy gets changes of the routes by watched
// files, or else by discovery.
func startRolling(t *testing.T, watched bool) *kit.Edge {
	t.Helper()
	o := kit.EdgeOptions{
		Routes: rollingRoutes, GateYAML: fmt.Sprintf(rollingGate, "files: xds"), Watched: true,
		Upstream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Header.Get("X-Pomerium-Email"))
		}),
	}
	if !watched {
		o.GateYAML, o.Watched, o.Discovered = fmt.Sprintf(rollingGate, "ads: ads.sock"), false, true
	}
	e := kit.StartEdgeOf(t, o)
	if err := kit.WritePolicies(e.Dir + "/policies"); err != nil {
		t.Fatal(err)
	}
	return e
}

// rollingRuns is how many requests are asked at least, and how often routes
// change and gates are replaced meanwhile.
func rollingRuns() (requests int64, changes, restarts int) {
	if *long {
		return 500000, 600, 150
	}
	return 10000, 20, 5
}

// TestSoakChangesOfRoutesAndRollingRestarts asks for pages without pause while
// the routes file changes and one gate succeeds another: not one request fails.
func TestSoakChangesOfRoutesAndRollingRestarts(t *testing.T) {
	for name, watched := range map[string]bool{"WatchedFiles": true, "Discovery": false} {
		t.Run(name, func(t *testing.T) { rolling(t, startRolling(t, watched)) })
	}
}

func rolling(t *testing.T, e *kit.Edge) {
	requests, changes, restarts := rollingRuns()
	gate := e.Serve(t)
	p := &pages{edge: e, people: signIn(t, e, 10), client: e.Client(t), done: make(chan struct{})}
	within(t, time.Minute, "the edge is open", func() bool { return p.one(0) == "" })
	p.start(8)
	for i := 1; i <= changes; i++ {
		version := fmt.Sprintf("v%d", i)
		from, to := fmt.Sprintf("body: v%d}} # end", i-1), fmt.Sprintf("body: %s}} # end", version)
		e.Change(t, from, to)
		within(t, time.Minute, "the change to "+version+" is live", func() bool { return p.version(t) == version })
		if i*restarts/changes > (i-1)*restarts/changes {
			next := e.Serve(t, "-replace")
			gate.Ended(t)
			gate = next
		}
	}
	within(t, 10*time.Minute, fmt.Sprintf("%d requests", requests), func() bool { return p.asked.Load() >= requests })
	p.stop()
	t.Logf("%d requests, %d changes of the routes, %d restarts: %d failed", p.asked.Load(), changes, restarts, len(p.wrong))
	for i, w := range p.wrong {
		if t.Error(w); i == 10 {
			break
		}
	}
	gate.Terminate(t)
}

// TestAKilledGateIsShutAndOpensAgain kills the only gate under load, with all
// that it holds: nobody passes who should not, answers are whole, and the next
// gate goes on with the same sessions.
func TestAKilledGateIsShutAndOpensAgain(t *testing.T) {
	e := startRolling(t, true)
	gate := e.Serve(t)
	p := &pages{edge: e, people: signIn(t, e, 4), client: e.Client(t), done: make(chan struct{}), shut: true}
	p.start(4)
	for range 3 {
		goal := p.asked.Load() + 200
		within(t, time.Minute, "200 more requests", func() bool { return p.asked.Load() >= goal })
		gate.Signal(t, syscall.SIGKILL)
		within(t, time.Minute, "the edge is shut", func() bool { return p.one(0) == "503" })
		gate.Gone(t)
		gate = e.Serve(t)
		within(t, time.Minute, "the edge is open", func() bool { return p.one(0) == "" })
	}
	p.stop()
	for i, w := range p.wrong {
		if t.Error(w); i == 10 {
			break
		}
	}
	gate.Terminate(t)
}

// pages are people who ask for a page, again and again.
type pages struct {
	edge   *kit.Edge
	people []string
	client *http.Client
	// shut: a 503 is no failure.
	shut  bool
	asked atomic.Int64
	mu    sync.Mutex
	wrong []string
	done  chan struct{}
	all   sync.WaitGroup
}

func (p *pages) start(n int) {
	for range n {
		p.all.Go(func() {
			for {
				select {
				case <-p.done:
					return
				default:
				}
				fault := p.one(rand.IntN(len(p.people)))
				p.asked.Add(1)
				if fault == "" || p.shut && fault == "503" {
					continue
				}
				p.mu.Lock()
				p.wrong = append(p.wrong, fault)
				p.mu.Unlock()
			}
		})
	}
}

func (p *pages) stop() { close(p.done); p.all.Wait() }

// one asks for somebody's page and returns "" when it is theirs, "503" when the
// edge is shut, else what is wrong.
func (p *pages) one(who int) string {
	req, err := http.NewRequest(http.MethodGet, p.edge.Origin("portal")+"/", nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Cookie", p.people[who])
	req.Header.Set("Accept", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err.Error()
	case resp.StatusCode == http.StatusServiceUnavailable:
		return "503"
	case resp.StatusCode != http.StatusOK || string(b) != fmt.Sprintf("soak%d@example.com", who):
		return fmt.Sprintf("%s %.300s", resp.Status, b)
	}
	return ""
}

// version is what Envoy's routes say of themselves.
func (p *pages) version(t *testing.T) string {
	t.Helper()
	resp, err := p.client.Get(p.edge.Origin("portal") + "/version")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
