package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/neosc/gate/test/kit"
)

// shieldRoutes has shields low enough to be met by a test.
const shieldRoutes = `gate: http://gate.neosc.localhost:%[1]d
listen: 127.0.0.1:%[1]d
shields: {requests_per_second: 40, burst: 80, header_timeout: 1s, idle_timeout: 2s, streams: 50}
upstreams: {app: "%[2]s"}
hosts:
- origin: http://portal.neosc.localhost:%[1]d
  routes:
  - {name: portal, prefix: /, upstream: app, pass_identity_headers: true}
- origin: http://gate.neosc.localhost:%[1]d
  routes:
  - {name: gate, prefix: /, upstream: gate}
`

// shieldRate and shieldBurst are what shieldRoutes lets one address ask, and
// workEvery is how often the one who works asks, which is less.
const (
	shieldRate, shieldBurst = 40.0, 80.0
	workEvery               = 40 * time.Millisecond
)

// longestWait is how long one who is signed in waits at most during a flood: on
// an idle machine it is some ms, but flood and test share its cores, and the race
// detector is in all of it but Envoy.
func longestWait() time.Duration {
	if kit.Race {
		return 30 * time.Second
	}
	return 3 * time.Second
}

// TestFloodsOfStrangersStarveNobody sends what attackers send from addresses of
// their own while somebody who is signed in goes on working from another.
func TestFloodsOfStrangersStarveNobody(t *testing.T) {
	e := kit.StartEdgeBefore(t, shieldRoutes, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	gate := e.Serve(t)
	_, rest, _ := strings.Cut(e.Run(t, "session", "create", "-email", "ada@example.com", "-role", "user"), "_pomerium=")
	cookie := "_pomerium=" + strings.Fields(rest)[0]
	t.Run("Nobody", func(t *testing.T) { working(t, e, cookie, 2*time.Second, nil, func(context.Context) {}) })
	t.Run("ManyRequests", func(t *testing.T) { manyRequests(t, e, gate, cookie) })
	t.Run("SlowHeaders", func(t *testing.T) { slowHeaders(t, e, cookie) })
	t.Run("SilentConnections", func(t *testing.T) { silentConnections(t, e, cookie) })
	t.Run("ResetStreams", func(t *testing.T) { resetStreams(t, e, gate, cookie) })
}

// working has one who is signed in ask for a page now and then, below the limit,
// while the flood goes on: every answer is the page. It lasts until the flood has
// shown what it has to, a minute at most.
func working(t *testing.T, e *kit.Edge, cookie string, lasts time.Duration, shown func() bool, flood func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var flooding sync.WaitGroup
	flooding.Go(func() { flood(ctx) })
	defer flooding.Wait()
	defer cancel()
	client := e.Client(t)
	var took []time.Duration
	tick := time.NewTicker(workEvery)
	defer tick.Stop()
	for least := time.Now().Add(lasts); ctx.Err() == nil && (time.Now().Before(least) || shown != nil && !shown()); <-tick.C {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.Origin("portal")+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", cookie)
		began := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("after %d requests: %v", len(took), err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if took = append(took, time.Since(began)); resp.StatusCode != http.StatusOK {
			t.Fatalf("request %d was answered %s", len(took), resp.Status)
		}
	}
	cancel()
	flooding.Wait()
	slices.Sort(took)
	t.Logf("%d requests, all answered 200: p50 %v, p99 %v, longest %v", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	if longest := took[len(took)-1]; longest > longestWait() {
		t.Errorf("one waited %v", longest)
	}
}

// from dials the edge from a loopback address.
func from(ctx context.Context, e *kit.Edge, last byte) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
	return d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", e.Port))
}

// checks is how many checks the gate has decided.
func checks(t *testing.T, gate *kit.Server) float64 {
	t.Helper()
	return kit.Value(kit.Metrics(t, gate.Ops)["pomerium_check_duration_seconds"])
}

func manyRequests(t *testing.T, e *kit.Edge, gate *kit.Server, cookie string) {
	var refused, asked atomic.Int64
	var sample atomic.Pointer[http.Response]
	var body atomic.Value
	before, began := checks(t, gate), time.Now()
	working(t, e, cookie, 4*time.Second, func() bool { return sample.Load() != nil }, func(ctx context.Context) {
		tr := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return from(ctx, e, 2) }}
		defer tr.CloseIdleConnections()
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				for ctx.Err() == nil {
					req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Origin("portal")+"/", nil)
					if err != nil {
						return
					}
					resp, err := tr.RoundTrip(req)
					if err != nil {
						continue
					}
					b, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if asked.Add(1); resp.StatusCode == http.StatusTooManyRequests && len(b) > 0 {
						refused.Add(1)
						body.Store(b)
						sample.Store(resp)
					}
				}
			})
		}
		all.Wait()
	})
	reached := checks(t, gate) - before
	t.Logf("%d requests of strangers, %d refused before the gate, which decided %v", asked.Load(), refused.Load(), reached)
	// The stranger's share, the worker's, and some for the bucket's arithmetic.
	if s := time.Since(began).Seconds(); reached > 1.2*(shieldBurst+shieldRate*s)+s/workEvery.Seconds() {
		t.Errorf("%v checks reached the gate in %.1f s", reached, s)
	}
	resp := sample.Load()
	if resp == nil {
		t.Fatal("nobody was refused")
	}
	var p struct {
		Type, Title, Detail string
		Status              int
		Reasons             []string
		RequestID           string `json:"request_id"`
	}
	b, _ := body.Load().([]byte)
	if err := json.Unmarshal(b, &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" || p.Status != 429 || !slices.Equal(p.Reasons, []string{"rate_limited"}) || p.RequestID == "" {
		t.Errorf("a refusal is %v %s (%v)", resp.Header, b, err)
	}
	if resp.Header.Get("Retry-After") == "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a refusal's headers are %v", resp.Header)
	}
}

// slowHeaders holds a thousand connections with headers that never end.
func slowHeaders(t *testing.T, e *kit.Edge, cookie string) {
	var closed, opened atomic.Int64
	working(t, e, cookie, 3*time.Second, func() bool { return opened.Load() >= 500 }, func(ctx context.Context) {
		var all sync.WaitGroup
		for range 1000 {
			c, err := from(ctx, e, 3)
			if err != nil {
				break
			}
			opened.Add(1)
			all.Go(func() {
				defer c.Close()
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: portal.neosc.localhost\r\n")
				go func() { // one more line now and then, as slow clients do
					for ctx.Err() == nil {
						if _, err := io.WriteString(c, "X-A: b\r\n"); err != nil {
							return
						}
						time.Sleep(300 * time.Millisecond)
					}
				}()
				_ = c.SetReadDeadline(time.Now().Add(time.Minute))
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				switch { // a reset can overtake the answer
				case err == nil:
					_ = resp.Body.Close()
					if resp.StatusCode == http.StatusRequestTimeout {
						closed.Add(1)
					}
				case !errors.Is(err, os.ErrDeadlineExceeded):
					closed.Add(1)
				}
			})
		}
		all.Wait()
	})
	if closed.Load() != opened.Load() || opened.Load() < 500 {
		t.Errorf("%d of %d connections with slow headers were closed", closed.Load(), opened.Load())
	}
}

// silentConnections are opened, and nothing is said.
func silentConnections(t *testing.T, e *kit.Edge, cookie string) {
	var closed, opened atomic.Int64
	working(t, e, cookie, 3*time.Second, func() bool { return opened.Load() >= 500 }, func(ctx context.Context) {
		var all sync.WaitGroup
		for range 1000 {
			c, err := from(ctx, e, 4)
			if err != nil {
				break
			}
			opened.Add(1)
			all.Go(func() {
				defer c.Close()
				_ = c.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := c.Read(make([]byte, 1)); err == io.EOF {
					closed.Add(1)
				}
			})
		}
		all.Wait()
	})
	if closed.Load() != opened.Load() || opened.Load() < 500 {
		t.Errorf("%d of %d silent connections were closed", closed.Load(), opened.Load())
	}
}

// resetStreams opens streams over HTTP/2 and resets each at once
// (CVE-2023-44487), on connection after connection.
func resetStreams(t *testing.T, e *kit.Edge, gate *kit.Server, cookie string) {
	var streams, connections atomic.Int64
	before, began := checks(t, gate), time.Now()
	working(t, e, cookie, 4*time.Second, func() bool { return connections.Load() >= 5 }, func(ctx context.Context) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for ctx.Err() == nil {
					n := resetUntilClosed(ctx, e)
					streams.Add(n)
					connections.Add(1)
				}
			})
		}
		all.Wait()
	})
	reached := checks(t, gate) - before
	t.Logf("%d streams reset on %d connections; the gate decided %v", streams.Load(), connections.Load(), reached)
	if connections.Load() < 5 {
		t.Errorf("only %d connections were needed: is one that resets its streams not closed?", connections.Load())
	}
	// What the tests before have not used is there too.
	if s := time.Since(began).Seconds(); reached > 2.4*(shieldBurst+shieldRate*s)+s/workEvery.Seconds() {
		t.Errorf("%v checks reached the gate in %.1f s", reached, s)
	}
}

func resetUntilClosed(ctx context.Context, e *kit.Edge) (n int64) {
	c, err := from(ctx, e, 5)
	if err != nil {
		return 0
	}
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	var head strings.Builder
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "portal.neosc.localhost"}} {
		if enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) != nil {
			return 0
		}
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return 0
	}
	f := http2.NewFramer(c, nil)
	if f.WriteSettings() != nil {
		return 0
	}
	for id := uint32(1); ctx.Err() == nil; id += 2 {
		_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(head.String()), EndHeaders: true, EndStream: true}) != nil ||
			f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			return n
		}
		n++
	}
	return n
}
