package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// traffic is a steady load on one edge, that counts and keeps what went wrong.
type traffic struct {
	asked atomic.Int64
	late  atomic.Int64 // answered 503 by an edge that had waited its whole second
	mu    sync.Mutex
	wrong []string
	end   context.CancelFunc
	all   sync.WaitGroup
}

// startTraffic lets n clients ask target without pause until stopped.
func startTraffic(t *testing.T, client *http.Client, n int, target, cookie string) *traffic {
	ctx, cancel := context.WithCancel(t.Context())
	x := &traffic{end: cancel}
	t.Cleanup(x.stop)
	for range n {
		x.all.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, target, nil)
				if err != nil {
					return
				}
				if cookie != "" {
					req.Header.Set("Cookie", cookie)
				}
				req.Header.Set("Accept", "application/json")
				x.one(client, req)
			}
		})
	}
	return x
}

func (x *traffic) one(client *http.Client, req *http.Request) {
	x.asked.Add(1)
	fault, start := "", time.Now()
	resp, err := client.Do(req)
	if err != nil {
		fault = err.Error()
	} else {
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			fault = fmt.Sprintf("%s %v %.300s", resp.Status, err, body)
		}
		if resp.StatusCode == http.StatusServiceUnavailable && time.Since(start) > edgeWaits {
			x.late.Add(1)
			return
		}
	}
	if fault != "" {
		x.note(fault)
	}
}

// edgeWaits is a little less than an edge waits for a check.
const edgeWaits = 950 * time.Millisecond

// mostLate is how many checks an edge may have waited too long for: none, but
// that gates with the race detector in them, on a machine that is busy, answer a
// few later than that. What is lost in another way is answered sooner.
func (x *traffic) mostLate() int64 {
	if kit.Race {
		return 1 + x.asked.Load()/100
	}
	return 0
}

// note keeps what went wrong.
func (x *traffic) note(fault string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wrong = append(x.wrong, fault)
}

func (x *traffic) stop() { x.end(); x.all.Wait() }

// more waits until so many further requests were asked.
func (x *traffic) more(t *testing.T, n int64) {
	t.Helper()
	goal := x.asked.Load() + n
	within(t, time.Minute, fmt.Sprintf("%d more requests", n), func() bool { return x.asked.Load() >= goal })
}

// TestReplacingAGateLosesNoRequest starts a second gate in the place of the
// first, which ends by itself, and again, under load on an application and on
// the gate's own pages.
//
// It runs by itself, not beside the others: the edge's patience is a second.
func TestReplacingAGateLosesNoRequest(t *testing.T) {
	e := kit.StartEdge(t)
	dir := t.TempDir() + "/policies"
	if err := kit.WritePolicies(dir); err != nil {
		t.Fatal(err)
	}
	e.Configure(t, fmt.Sprintf("policy: {path: %q}\n", dir))
	gate := e.Serve(t)
	var made struct{ Cookie string }
	if err := json.Unmarshal([]byte(e.Run(t, "session", "create", "-email", "ana@kappa4.com", "-role", "user", "-json")), &made); err != nil {
		t.Fatal(err)
	}
	client := e.Impatient(t)
	app := startTraffic(t, client, 12, e.Origin("portal")+"/", made.Cookie)
	own := startTraffic(t, client, 4, e.Origin("gate")+"/oauth2/sign_in", "")
	app.more(t, 100)
	for range 3 {
		next := e.Serve(t, "-replace")
		log := gate.Ended(t)
		if strings.Contains(log, "not done within") {
			t.Errorf("the old gate did not drain:\n%s", log)
		}
		app.more(t, 100)
		own.more(t, 20)
		gate = next
	}
	app.stop()
	own.stop()
	for name, x := range map[string]*traffic{"the application": app, "the gate's own pages": own} {
		if len(x.wrong) > 0 {
			t.Errorf("%d of %d requests to %s failed, the first: %s\n%s", len(x.wrong), x.asked.Load(), name, x.wrong[0], e.Troubles(t))
		}
		if x.late.Load() > x.mostLate() {
			t.Errorf("%d of %d requests to %s waited too long, want at most %d:\n%s", x.late.Load(), x.asked.Load(), name, x.mostLate(), e.Troubles(t))
		}
	}
	if status, r := kit.Readyz(t, gate.Ops); status != http.StatusOK || !r.Ready {
		t.Errorf("the last gate answers %d %+v", status, r)
	}
}

// TestWithoutAGateEverythingIsShut ends the only gate: nothing opens, nothing
// redirects, everybody is told why in their own way, and a new gate opens again
// with the same sessions.
func TestWithoutAGateEverythingIsShut(t *testing.T) {
	t.Parallel()
	e := kit.StartEdge(t)
	gate := e.Serve(t)
	var made struct{ Cookie string }
	if err := json.Unmarshal([]byte(e.Run(t, "session", "create", "-email", "ana@kappa4.com", "-role", "user", "-json")), &made); err != nil {
		t.Fatal(err)
	}
	client := e.Client(t)
	status := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.Origin("portal")+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", made.Cookie)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(); got != http.StatusOK {
		t.Fatalf("with a gate: %d", got)
	}
	gate.Terminate(t)
	if got := status(); got != http.StatusServiceUnavailable {
		t.Errorf("without a gate: %d, want 503", got)
	}
	for _, tc := range toldOfNoGate {
		t.Run(tc.who, func(t *testing.T) { tc.told(t, e) })
	}
	e.Serve(t)
	within(t, 30*time.Second, "the new gate opens the portal to the old session", func() bool { return status() == http.StatusOK })
}
