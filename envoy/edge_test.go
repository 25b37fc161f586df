package envoy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

// testRoutes is a routes file with every feature that the tests need. The %s
// is the folder of the sockets.
const testRoutes = `
gate: http://gate.test:8080
check_headers: [x-test-id, x-test-mode]
strip_headers: [x-user-*]
upstreams:
  frontend: unix:%[1]s/up.sock
  gone: unix:%[1]s/gone.sock
hosts:
- origin: http://portal.test:8080
  routes:
  - {name: portal, prefix: /, upstream: frontend, upgrades: [websocket], timeout: 20s}
  - {name: brief, prefix: /brief, upstream: frontend, upgrades: [websocket], timeout: 300ms}
  - {name: exact, path: /exact, upstream: frontend}
- origin: http://api.test:8080
  cors: {allow_origins: ["http://portal.test:8080"], credentials: true, methods: [GET, POST], headers: [content-type], expose_headers: [x-request-id], max_age: 5m}
  routes:
  - {name: api, prefix: /, upstream: frontend, timeout: 20s}
  - {name: gate-api, prefix: [/api/auth, /api/users], upstream: gate, pass_authorization: true}
- origin: http://admin.test:8080
  routes:
  - {name: admin, prefix: /admin, upstream: frontend}
- origin: http://workspace.test:8080
  routes:
  - {name: workspace, prefix: /, upstream: frontend, upgrades: [websocket, SPDY/3.1], timeout: 0s}
- origin: http://gate.test:8080
  routes:
  - {name: gate, prefix: /, upstream: gate}
`

// edge is a running Envoy between a recording upstream and a recording
// ext_authz server, both of which stand in for the real ones.
type edge struct {
	addr, dir, log string
	authz          *authzFixture
	upstream       *upstreamFixture
}

// binary installs the pinned Envoy when it is not there yet.
var binary = sync.OnceValues(func() (string, error) {
	if path, err := envoy.FindBinary(); err == nil {
		return path, nil
	}
	var stderr bytes.Buffer
	cmd := exec.Command("sh", "install.sh")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("installing Envoy: %w: %s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
})

func envoyBinary(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startEdge starts all three with testRoutes and returns when Envoy is ready.
func startEdge(t *testing.T) *edge {
	t.Helper()
	return startEdgeWith(t, testRoutes)
}

func startEdgeWith(t *testing.T, routes string, sockets ...string) *edge {
	t.Helper()
	e, file := prepareEdge(t, routes, sockets...)
	o := e.options(file)
	b, err := envoy.Bootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	yaml, err := envoy.RenderYAML(b)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(e.dir, "envoy.yaml")
	if err := os.WriteFile(config, yaml, 0o600); err != nil {
		t.Fatal(err)
	}
	e.run(t, config, o.AdminSocket)
	return e
}

// prepareEdge starts what is on both sides of Envoy.
func prepareEdge(t *testing.T, routes string, sockets ...string) (*edge, *route.File) {
	t.Helper()
	dir, err := os.MkdirTemp("", "edge") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := &edge{dir: dir, log: filepath.Join(dir, "access.log")}
	e.authz = startAuthz(t, filepath.Join(dir, "authz.sock"))
	e.upstream = startUpstream(t, filepath.Join(dir, "up.sock"), filepath.Join(dir, "gate.sock"))
	for _, s := range sockets {
		e.upstream.listen(t, filepath.Join(dir, s))
	}
	file, err := route.Parse("test", inDir(routes, dir))
	if err != nil {
		t.Fatal(err)
	}
	return e, file
}

func (e *edge) options(f *route.File) envoy.Options {
	return envoy.Options{
		Routes: f, AuthzSocket: filepath.Join(e.dir, "authz.sock"), GateSocket: filepath.Join(e.dir, "gate.sock"),
		AdminSocket: filepath.Join(e.dir, "admin.sock"), AccessLogPath: e.log, Listen: netip.MustParseAddrPort("127.0.0.1:0"),
	}
}

// inDir puts the folder of the sockets in the place of %[1]s.
func inDir(routes, dir string) []byte { return []byte(strings.ReplaceAll(routes, "%[1]s", dir)) }

// run starts Envoy and returns when it is ready.
func (e *edge) run(t *testing.T, config, admin string) {
	t.Helper()
	e.start(t, config, admin, func(bool) {})
}

// start starts Envoy and returns when it is ready; until then it tells look, time
// and again, whether it is.
func (e *edge) start(t *testing.T, config, admin string, look func(ready bool)) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(envoyBinary(t), envoy.Args(config, 1)...)
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("Envoy said:\n%s", stderr.String())
		}
	})
	client := adminClient(admin)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case <-exited:
			t.Fatalf("Envoy ended before it was ready:\n%s", stderr.String())
		case <-time.After(10 * time.Millisecond):
		}
		answers, ready := isReady(client)
		addr, listens := "", false
		if ready {
			addr, listens = listenerAddress(client)
		}
		if answers {
			look(listens)
		}
		if listens {
			e.addr = addr
			return
		}
	}
	t.Fatal("Envoy was not ready in a minute")
}

func adminClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

// isReady says whether the admin interface answers, and that Envoy is ready.
func isReady(c *http.Client) (answers, ready bool) {
	res, err := c.Get("http://envoy/ready")
	if err != nil {
		return false, false
	}
	res.Body.Close()
	return true, res.StatusCode == 200
}

func listenerAddress(c *http.Client) (string, bool) {
	res, err := c.Get("http://envoy/listeners?format=json")
	if err != nil {
		return "", false
	}
	defer res.Body.Close()
	var l struct {
		Statuses []struct {
			Local struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if json.NewDecoder(res.Body).Decode(&l) != nil || len(l.Statuses) != 1 || l.Statuses[0].Local.Socket.Port == 0 {
		return "", false
	}
	s := l.Statuses[0].Local.Socket
	return fmt.Sprintf("%s:%d", s.Address, s.Port), true
}

// answer is what a client got back.
type answer struct {
	status int
	header http.Header
	body   string
}

// raw sends bytes just as they are and reads the first answer.
func (e *edge) raw(t *testing.T, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// request writes an HTTP/1.1 request; headers are whole lines.
func request(method, host, target, id string, headers ...string) string {
	lines := append([]string{method + " " + target + " HTTP/1.1", "Host: " + host, "X-Test-Id: " + id, "Connection: close"}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}
