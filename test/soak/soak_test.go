// Package soak keeps a real Envoy, a real gate and a real Redis under mixed
// load while something breaks every few seconds, and looks at what must not
// change: memory, goroutines, and that every answer is one of ours. `make soak`
// runs it for ten minutes, `go test` for a few seconds, the same code.
package soak

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

var long = flag.Bool("soak", false, "run for ten minutes instead of some seconds")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	kit.Cleanup()
	os.Exit(code)
}

// settings of the run: how long, and how often something breaks.
func settings() (duration, every time.Duration) {
	if *long {
		return 10 * time.Minute, 5 * time.Second
	}
	return 15 * time.Second, time.Second
}

func TestSoakMixedLoadWithFaults(t *testing.T) {
	duration, every := settings()
	redis := startRedis(t)
	e := kit.StartEdge(t)
	chargeEveryRequest(t, e)
	if err := kit.WritePolicies(e.Dir + "/policies"); err != nil {
		t.Fatal(err)
	}
	e.Configure(t, fmt.Sprintf("session: {store: redis, redis: %q}\nlimits: {store: redis, redis: %q}\npolicy: {path: policies}\n", redis.url(), redis.url()))
	gate := e.Serve(t)
	people := signIn(t, e, 20)

	l := &load{edge: e, people: people, client: e.Client(t)}
	l.start(t, 8)
	time.Sleep(duration / 5) // pools, caches and the heap have found their size
	before := look(t, gate)
	end := time.Now().Add(duration)
	for i := 0; time.Now().Before(end); i++ {
		f := faults[i%len(faults)]
		f.break_(t, redis, e)
		time.Sleep(every)
	}
	redis.heal(t)
	l.stop()
	within(t, time.Minute, "the gate is well again", func() bool {
		return l.one(0).status == http.StatusOK
	})
	after := look(t, gate)
	t.Logf("%d answers: %v; memory %.0f → %.0f MiB, goroutines %d → %d", l.answers.Load(), l.counts(), before.memory/(1<<20), after.memory/(1<<20), before.goroutines, after.goroutines)
	if after.memory > 1.5*before.memory+64<<20 {
		t.Errorf("memory grew from %.0f to %.0f MiB", before.memory/(1<<20), after.memory/(1<<20))
	}
	if after.goroutines > before.goroutines+50 {
		t.Errorf("goroutines grew from %d to %d", before.goroutines, after.goroutines)
	}
	if after.charged == 0 {
		t.Error("no limit was charged")
	}
	if after.panics != 0 {
		t.Errorf("%v panics", after.panics)
	}
	if n := l.counts()[http.StatusOK]; n < 100 {
		t.Errorf("only %d requests were allowed: is this a load at all?", n)
	}
	gate.Terminate(t)
}

// chargeEveryRequest has the portal's requests charged: without that, no limit
// would be asked of Redis at all.
func chargeEveryRequest(t *testing.T, e *kit.Edge) {
	t.Helper()
	file := e.Dir + "/routes.yaml"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const before = "name: portal, "
	if strings.Count(string(b), before) != 1 {
		t.Fatalf("the routes have not one portal:\n%s", b)
	}
	text := strings.Replace(string(b), before, before+"policy: {rate_limit: true}, ", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fault is one thing that goes wrong; what it breaks is mended by itself or by
// the next one.
type fault struct {
	name   string
	break_ func(*testing.T, *redisServer, *kit.Edge)
}

var faults = []fault{
	{"RedisPausedShortly", func(t *testing.T, r *redisServer, _ *kit.Edge) { r.pause(t, 300*time.Millisecond) }},
	{"ScriptsForgotten", func(t *testing.T, r *redisServer, _ *kit.Edge) { r.do(t, "SCRIPT", "FLUSH") }},
	{"ConnectionsKilled", func(t *testing.T, r *redisServer, _ *kit.Edge) { r.do(t, "CLIENT", "KILL", "TYPE", "normal") }},
	{"PolicyReloaded", func(t *testing.T, _ *redisServer, e *kit.Edge) {
		now := time.Now()
		if err := os.Chtimes(e.Dir+"/policies/data.yaml", now, now); err != nil {
			t.Error(err)
		}
	}},
	{"RedisPausedPastTheSecond", func(t *testing.T, r *redisServer, _ *kit.Edge) { r.pause(t, 1500*time.Millisecond) }},
	{"RedisRestarted", func(t *testing.T, r *redisServer, _ *kit.Edge) { r.restart(t) }},
}

// load sends what people, programs and attackers send, all the time.
type load struct {
	edge    *kit.Edge
	people  []string
	client  *http.Client
	answers atomic.Int64
	mu      sync.Mutex
	seen    map[int]int
	done    chan struct{}
	all     sync.WaitGroup
}

func (l *load) start(t *testing.T, workers int) {
	l.seen, l.done = map[int]int{}, make(chan struct{})
	for range workers {
		l.all.Go(func() {
			for {
				select {
				case <-l.done:
					return
				default:
				}
				a := l.one(rand.IntN(10))
				if why := a.foreign(); why != "" {
					t.Errorf("an answer that is none of ours: %s", why)
				}
				l.answers.Add(1)
				l.mu.Lock()
				l.seen[a.status]++
				l.mu.Unlock()
			}
		})
	}
}

func (l *load) stop() { close(l.done); l.all.Wait() }

func (l *load) counts() map[int]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[int]int{}
	for k, v := range l.seen {
		out[k] = v
	}
	return out
}

// answer is what came back.
type answer struct {
	status int
	body   string
	id     string
	err    error
}

// foreign says why an answer is not one that gate or upstream gave, or "".
func (a answer) foreign() string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case a.status >= 500 && (a.status != http.StatusServiceUnavailable || a.id == "" || strings.Contains(a.body, "gate_unavailable") || !strings.Contains(a.body, "reasons") && !strings.Contains(a.body, "<h1>")):
		return fmt.Sprintf("%d %.200s", a.status, a.body)
	}
	return ""
}

// one sends one request of a kind: 0–5 a person's, 6 a stranger's, 7 junk, 8 a
// bearer, 9 a write without its origin.
func (l *load) one(kind int) answer {
	method, target := http.MethodGet, l.edge.Origin("portal")+"/page?x=1"
	if kind == 9 {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, target, nil)
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Accept", "application/json")
	switch kind {
	case 6:
	case 7:
		req.Header.Set("Cookie", "_pomerium=v1.junk.junk; \xff=\xfe")
	case 8:
		req.Header.Set("Authorization", "Bearer junk")
	default:
		req.Header.Set("Cookie", l.people[rand.IntN(len(l.people))])
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return answer{resp.StatusCode, string(b), resp.Header.Get("X-Request-Id"), err}
}

// signIn makes n people and returns their cookies.
func signIn(t *testing.T, e *kit.Edge, n int) []string {
	t.Helper()
	var out []string
	for i := range n {
		text := e.Run(t, "session", "create", "-email", fmt.Sprintf("soak%d@example.com", i), "-role", "user")
		_, rest, ok := strings.Cut(text, "_pomerium=")
		if !ok {
			t.Fatalf("gate session create says\n%s", text)
		}
		out = append(out, "_pomerium="+strings.Fields(rest)[0])
	}
	return out
}

// state is what must stay flat.
type state struct {
	memory     float64
	goroutines int
	panics     float64
	charged    float64 // script calls of the limiter
}

func look(t *testing.T, s *kit.Server) state {
	t.Helper()
	m := kit.Metrics(t, s.Ops)
	return state{
		memory:     kit.Value(m["process_resident_memory_bytes"]),
		goroutines: int(kit.Value(m["go_goroutines"])),
		panics:     kit.Value(m["pomerium_check_panics_total"]),
		charged:    kit.Value(m["pomerium_limit_redis_calls_total"]),
	}
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
