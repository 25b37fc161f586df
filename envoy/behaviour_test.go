package envoy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPreflightIsAnsweredWithoutACheck(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	a := e.raw(t, request("OPTIONS", "api.test", "/api/x", "pre", "Origin: http://portal.test:8080", "Access-Control-Request-Method: POST"))
	if a.status != 200 || len(e.authz.seen("pre"))+len(e.upstream.seen("pre")) != 0 {
		t.Errorf("a preflight gave %d, %d checks", a.status, len(e.authz.seen("pre")))
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "http://portal.test:8080", "Access-Control-Allow-Credentials": "true",
		"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "content-type", "Access-Control-Max-Age": "300",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("the preflight's %s is %q, want %q", name, got, want)
		}
	}
	for id, headers := range map[string][]string{ // W6: what only looks like a preflight is a request
		"NoMethod":      {"Origin: http://portal.test:8080"},
		"ForeignOrigin": {"Origin: http://evil.test", "Access-Control-Request-Method: POST"},
		"NoOrigin":      {"Access-Control-Request-Method: POST"},
		"EmptyMethod":   {"Origin: http://portal.test:8080", "Access-Control-Request-Method:"},
	} {
		a := e.raw(t, request("OPTIONS", "api.test", "/api/x", id, headers...))
		if len(e.authz.seen(id)) != 1 {
			t.Errorf("%s gave %d and %d checks, want 1", id, a.status, len(e.authz.seen(id)))
		}
	}
	// A page must be able to read why it was refused.
	a = e.raw(t, request("GET", "api.test", "/api/x", "denied", "Origin: http://portal.test:8080", "X-Test-Mode: deny"))
	if a.status != 403 || a.header.Get("Access-Control-Allow-Origin") != "http://portal.test:8080" {
		t.Errorf("a denial gave %d with Access-Control-Allow-Origin %q", a.status, a.header.Get("Access-Control-Allow-Origin"))
	}
}

// dialUpgrade asks for an upgrade and returns the status and, after a 101, what
// comes back for "ping".
func (e *edge) dialUpgrade(t *testing.T, host, path, protocol string) (status int, echo string) {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Test-Id: up-%s-%s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", path, host, host, protocol, protocol)
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 {
		return res.StatusCode, ""
	}
	// Longer than the route's timeout: an upgraded connection is not cut by it.
	for range 5 {
		time.Sleep(100 * time.Millisecond)
		buf := make([]byte, 4)
		if _, err := io.WriteString(conn, "ping"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(br, buf); err != nil {
			t.Fatalf("%s on %s was cut: %v", protocol, host, err)
		}
		echo = string(buf)
	}
	return 101, echo
}

// socket is an open WebSocket to the echo.
type socket struct {
	conn net.Conn
	br   *bufio.Reader
}

func (e *edge) openSocket(t *testing.T, host string) *socket {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", host)
	s := &socket{conn, bufio.NewReader(conn)}
	res, err := http.ReadResponse(s.br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("no WebSocket: %v %v", res, err)
	}
	return s
}

func (s *socket) echo() error {
	_ = s.conn.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4)
	if _, err := io.WriteString(s.conn, "ping"); err != nil {
		return err
	}
	_, err := io.ReadFull(s.br, buf)
	return err
}

func TestUpgradesOnlyWhereListed(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	for _, c := range []struct {
		host, path, protocol string
		status               int
	}{
		{"portal.test", "/brief/ws", "websocket", 101}, {"portal.test", "/brief/ws", "SPDY/3.1", 403},
		{"workspace.test", "/ws", "websocket", 101}, {"workspace.test", "/ws", "SPDY/3.1", 101},
		{"api.test", "/ws", "websocket", 403}, {"api.test", "/ws", "SPDY/3.1", 403}, {"workspace.test", "/ws", "foo", 403},
	} {
		status, echo := e.dialUpgrade(t, c.host, c.path, c.protocol)
		if status != c.status || status == 101 && echo != "ping" {
			t.Errorf("%s on %s gave %d %q, want %d", c.protocol, c.host, status, echo, c.status)
		}
		id := "up-" + c.host + "-" + c.protocol
		if status == 101 {
			if r := only(t, "checks", e.authz.seen(id)); strings.Join(header(r, "upgrade"), "") == "" {
				t.Errorf("the check of %s does not say that it is an upgrade", id)
			}
		} else if len(e.upstream.seen(id)) != 0 {
			t.Errorf("%s reached the upstream", id)
		}
	}
}

func TestTimeoutIsTheRoutesOwn(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	for _, c := range []struct {
		host, path string
		status     int
	}{
		{"portal.test", "/brief?wait=30000", 504}, {"api.test", "/slow?wait=700", 200}, {"workspace.test", "/slow?wait=700", 200},
	} {
		if a := e.raw(t, request("GET", c.host, c.path, "slow"+c.host)); a.status != c.status {
			t.Errorf("%s on %s gave %d, want %d", c.path, c.host, a.status, c.status)
		}
	}
}

func TestAccessLogTellsTheWholeRequest(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	e.raw(t, request("GET", "portal.test", "/page?token=secret-query", "log1", "Cookie: _pomerium=secret-cookie", "Authorization: Bearer secret-token"))
	e.raw(t, request("GET", "portal.test", "/denied?token=secret-query", "log2", "X-Test-Mode: deny"))
	e.raw(t, request("GET", "evil.test", "/", "log3"))
	lines := e.logLines(t, 3)
	allow, deny, unknown := lines["/page"], lines["/denied"], lines["/"]
	for k, want := range map[string]any{
		"level": "info", "user": "u-1", "email": "ada@company.com", "method": "GET", "host": "portal.test", "decision": "allow",
		"reason": "matched_policy", "status": 200.0, "route": "portal", "session": "5e55", "policy_revision": "r1", "client_ip": "127.0.0.1",
	} {
		if allow[k] != want {
			t.Errorf("the log's %s is %v, want %v", k, allow[k], want)
		}
	}
	if _, err := time.Parse(time.RFC3339, fmt.Sprint(allow["timestamp"])); err != nil {
		t.Error(err)
	}
	if _, ok := allow["duration_ms"].(float64); !ok || len(fmt.Sprint(allow["request_id"])) != 36 {
		t.Errorf("the log's duration_ms is %v, its request_id %v", allow["duration_ms"], allow["request_id"])
	}
	if deny["decision"] != "deny" || deny["reason"] != "role_required" || deny["status"] != 403.0 {
		t.Errorf("a denial's line is %v", deny)
	}
	if unknown["decision"] != nil || unknown["status"] != 404.0 || unknown["details"] != "route_not_found" {
		t.Errorf("an unknown host's line is %v", unknown)
	}
	if data, _ := os.ReadFile(e.log); strings.Contains(string(data), "secret") {
		t.Errorf("a secret is in the log: %s", data)
	}
}

// logLines waits until the access log has n lines and returns them by path.
func (e *edge) logLines(t *testing.T, n int) map[string]map[string]any {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		data, err := os.ReadFile(e.log)
		if err != nil || strings.Count(string(data), "\n") < n {
			continue
		}
		lines := map[string]map[string]any{}
		for line := range strings.Lines(string(data)) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			lines[fmt.Sprint(fields["path"])] = fields
		}
		return lines
	}
	t.Fatalf("the access log did not get %d lines", n)
	return nil
}

// A gate that is replaced by renaming the new socket over the old one loses no
// request; one that is away gives 503, never a pass.
func TestGateIsReplacedWithoutALostRequest(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	var sent load
	stop, done := make(chan struct{}), make(chan struct{}, 4)
	for range cap(done) {
		go func() {
			defer func() { done <- struct{}{} }()
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				req, _ := http.NewRequest("GET", "http://"+e.addr+"/", nil)
				req.Host = "portal.test"
				began, failure := time.Now(), ""
				res, err := client.Do(req)
				switch {
				case err != nil:
					failure = err.Error()
				case res.StatusCode != 200:
					failure = res.Status
				}
				if err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				sent.done(began, failure)
			}
		}()
	}
	old := e.authz.server
	for i := range 5 {
		sent.await(50)
		next, err := net.Listen("unix", filepath.Join(e.dir, fmt.Sprintf("next%d.sock", i)))
		if err != nil {
			t.Fatal(err)
		}
		next.(*net.UnixListener).SetUnlinkOnClose(false)
		fresh := e.authz.serve(next)
		if err := os.Rename(next.Addr().String(), filepath.Join(e.dir, "authz.sock")); err != nil {
			t.Fatal(err)
		}
		old.GracefulStop()
		old = fresh
	}
	close(stop)
	for range cap(done) {
		<-done
	}
	sent.check(t)
	old.Stop()
	if a := e.raw(t, request("GET", "portal.test", "/", "away")); a.status != 503 || len(e.upstream.seen("away")) != 0 {
		t.Errorf("without a gate a request gave %d", a.status)
	}
}
