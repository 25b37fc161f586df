package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/envoy"
	"github.com/neosc/gate/test/kit"
)

// threeHosts is a network like a deployment's: the client's host reaches the
// edge's, the edge's reaches the application's, and nothing forwards.
type threeHosts struct {
	client, edge, app *kit.Host
	dir, bin          string
	reached           atomic.Int64 // connections that the application has had
}

const (
	edgeAddr = "10.77.1.1:8080"
	appAddr  = "10.77.2.2:3000"
)

func startThreeHosts(t *testing.T) *threeHosts {
	t.Helper()
	bin, err := kit.Gate()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &threeHosts{client: kit.NewHost(t), edge: kit.NewHost(t), app: kit.NewHost(t), dir: dir, bin: bin}
	kit.Link(t, n.client, "10.77.1.2/24", n.edge, "10.77.1.1/24")
	kit.Link(t, n.edge, "10.77.2.1/24", n.app, "10.77.2.2/24")
	// An attacker sends packets for the application to the edge's host.
	n.client.Run(t, "ip", "route", "add", "default", "via", "10.77.1.1")
	n.app.Run(t, "ip", "route", "add", "default", "via", "10.77.2.1")
	n.serveApp(t)
	n.startEdge(t)
	return n
}

func (n *threeHosts) serveApp(t *testing.T) {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Pomerium-Email")) }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				n.reached.Add(1)
			}
		},
	}
	l := n.app.Listen(t, appAddr)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
}

// startEdge runs gate and Envoy on the edge's host.
func (n *threeHosts) startEdge(t *testing.T) {
	t.Helper()
	for name, text := range map[string]string{
		"gate.yaml": `listen: {authz: a.sock, http: h.sock, admin: admin.sock, ops: "127.0.0.1:9464"}
cookie: {domain: .neosc.localhost, insecure: true}
log: {access: access.log}
policy: {timeout: 950ms}
`,
		"routes.yaml": `gate: http://gate.neosc.localhost:8080
listen: ` + edgeAddr + `
set_headers: [x-pomerium-*, x-session-id, x-user-email, x-workspace-type]
upstreams: {app: "` + appAddr + `"}
hosts:
- origin: http://portal.neosc.localhost:8080
  routes: [{name: portal, prefix: /, upstream: app, pass_identity_headers: true}]
- origin: http://gate.neosc.localhost:8080
  routes: [{name: gate, prefix: /, upstream: gate, pass_authorization: true}]
`,
	} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(n.dir, "gate.yaml")
	bootstrap := filepath.Join(n.dir, "envoy.yaml")
	if out, err := exec.Command(n.bin, "envoy", "bootstrap", "-config", config, "-access-log", filepath.Join(n.dir, "edge.log"), "-o", bootstrap).CombinedOutput(); err != nil {
		t.Fatalf("gate envoy bootstrap: %v\n%s", err, out)
	}
	binary, err := envoy.FindBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{n.bin, "serve", "-config", config}, append([]string{binary}, envoy.Args(bootstrap, 1)...)} {
		cmd := n.edge.Command(args...)
		log, err := os.Create(filepath.Join(n.dir, filepath.Base(args[0])+".log"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = log.Close() })
	}
	within(t, time.Minute, "gate and Envoy serve", func() bool {
		status, _, err := n.get("")
		return err == nil && status != http.StatusServiceUnavailable
	})
}

// get asks for the portal from the client's host.
func (n *threeHosts) get(cookie string) (status int, body string, err error) {
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return n.client.Dial(net.Dialer{Timeout: 5 * time.Second}, edgeAddr)
	}}
	c := &http.Client{Transport: kit.Patient(tr), Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequest(http.MethodGet, "http://portal.neosc.localhost:8080/", nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Pomerium-Email", "ceo@company.com")
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return resp.StatusCode, string(b), err
}

func TestAnApplicationIsReachedThroughTheEdgeAlone(t *testing.T) {
	t.Parallel()
	n := startThreeHosts(t)
	out, err := exec.Command(n.bin, "session", "create", "-email", "ana@kappa4.com", "-role", "user", "-json", "-config", filepath.Join(n.dir, "gate.yaml")).Output()
	var made struct{ Cookie string }
	if err != nil || json.Unmarshal(out, &made) != nil {
		t.Fatalf("gate session create: %v\n%s", err, out)
	}
	if status, _, err := n.get(""); err != nil || status != http.StatusUnauthorized || n.reached.Load() != 0 {
		t.Errorf("without a session: %d (%v), and the application had %d connections", status, err, n.reached.Load())
	}
	if status, body, err := n.get(made.Cookie); err != nil || status != http.StatusOK || body != "ana@kappa4.com" {
		t.Errorf("with a session: %d %q (%v)", status, body, err)
	}
	before := n.reached.Load()
	if c, err := n.client.Dial(net.Dialer{Timeout: time.Second}, appAddr); err == nil {
		_ = c.Close()
		t.Error("the application is reached past the edge")
	}
	if n.reached.Load() != before {
		t.Error("the application has had a connection past the edge")
	}
}

// TestTheEdgeShowsOnePort reads what the edge's host listens on beyond itself.
func TestTheEdgeShowsOnePort(t *testing.T) {
	t.Parallel()
	n := startThreeHosts(t)
	const listening, loopback = "0A", "0100007F"
	for _, family := range []string{"tcp", "tcp6", "udp", "udp6"} {
		for line := range strings.Lines(n.edge.Run(t, "cat", "/proc/net/"+family)) {
			f := strings.Fields(line)
			if len(f) < 4 || f[0] == "sl" || strings.HasPrefix(family, "tcp") && f[3] != listening {
				continue
			}
			addr, hexPort, _ := strings.Cut(f[1], ":")
			port, _ := strconv.ParseUint(hexPort, 16, 16)
			if addr != loopback && (family != "tcp" || port != 8080) {
				t.Errorf("the edge listens on %s port %d at %s", family, port, addr)
			}
		}
	}
}
