package kit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/envoy"
)

// Edge is a real Envoy configured by `gate envoy bootstrap`, before one
// upstream that echoes; gates are started and stopped behind it by hand.
type Edge struct {
	Dir  string // of gate.yaml, routes.yaml and the sockets; short
	Port int
	Bin  string

	config string // Envoy's bootstrap
}

// edgeRoutes is the routes file of an Edge: port, upstream.
const edgeRoutes = `gate: http://gate.neosc.localhost:%[1]d
listen: 127.0.0.1:%[1]d
shields: {requests_per_second: 100000}
set_headers: [x-pomerium-*, x-user, x-roles, x-tenant, x-validated-by, x-session-id, x-user-email, x-workspace-type]
response_headers: [x-tenant, vary, cache-control, content-type, location]
upstreams: {app: "%[2]s"}
hosts:
- origin: http://portal.neosc.localhost:%[1]d
  routes:
  - {name: portal, prefix: /, upstream: app, pass_identity_headers: true}
- origin: http://gate.neosc.localhost:%[1]d
  routes:
  - {name: gate, prefix: /, upstream: gate, pass_authorization: true}
`

// StartEdge starts upstream and Envoy, and no gate yet.
func StartEdge(t testing.TB) *Edge {
	t.Helper()
	return StartEdgeBefore(t, edgeRoutes, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"Path": r.URL.Path, "Query": r.URL.Query(), "Headers": r.Header})
	}))
}

// StartEdgeBefore is StartEdge for a routes file and an upstream of the test's
// own. In routes, %[1]d is the edge's port and %[2]s the upstream's address.
func StartEdgeBefore(t testing.TB, routes string, upstream http.Handler) *Edge {
	t.Helper()
	bin, err := Gate()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "edge") // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	up := httptest.NewServer(upstream)
	t.Cleanup(up.Close)
	e := &Edge{Dir: dir, Port: FreePort(t), Bin: bin, config: filepath.Join(dir, "envoy.yaml")}
	e.write(t, "routes.yaml", fmt.Sprintf(routes, e.Port, strings.TrimPrefix(up.URL, "http://")))
	e.Configure(t, "")
	cmd := exec.CommandContext(t.Context(), bin, "envoy", "bootstrap", "-config", e.file("gate.yaml"), "-access-log", e.file("edge.log"), "-o", e.file("envoy.yaml"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gate envoy bootstrap: %v\n%s", err, out)
	}
	e.runEnvoy(t, true)
	return e
}

func (e *Edge) file(name string) string { return filepath.Join(e.Dir, name) }

func (e *Edge) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(e.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Change replaces a text that the routes file has once, all at one time, as a
// deployment does.
func (e *Edge) Change(t testing.TB, old, next string) {
	t.Helper()
	b, err := os.ReadFile(e.file("routes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(b), old) != 1 {
		t.Fatalf("the routes have not one %q:\n%s", old, b)
	}
	e.write(t, ".routes.yaml", strings.Replace(string(b), old, next, 1))
	if err := os.Rename(e.file(".routes.yaml"), e.file("routes.yaml")); err != nil {
		t.Fatal(err)
	}
}

// Configure writes gate.yaml anew, with settings (whole lines of YAML) besides
// those that an Edge needs.
func (e *Edge) Configure(t testing.TB, settings string) {
	t.Helper()
	e.write(t, "gate.yaml", `listen: {authz: a.sock, http: h.sock, admin: admin.sock, ops: "127.0.0.1:0"}
cookie: {domain: .neosc.localhost, insecure: true}
log: {access: access.log}
`+settings)
}

// runEnvoy starts Envoy, and waits until it listens unless that takes a gate.
func (e *Edge) runEnvoy(t testing.TB, wait bool) {
	t.Helper()
	binary, err := envoy.FindBinary()
	if err != nil {
		t.Fatal(err)
	}
	log := &output{}
	cmd := exec.Command(binary, envoy.Args(e.config, 2)...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-gone })
	for end := time.Now().Add(ceiling); wait; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", e.addr())
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-gone:
			t.Fatalf("Envoy ended:\n%s", log)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("Envoy does not listen:\n%s", log)
		}
	}
}

func (e *Edge) addr() string { return fmt.Sprintf("127.0.0.1:%d", e.Port) }

// Origin is the external origin of "portal" or "gate".
func (e *Edge) Origin(host string) string {
	return fmt.Sprintf("http://%s.%s:%d", host, Domain, e.Port)
}

// Client is an HTTP client that dials this edge, whatever the host is called,
// follows no redirects and is Patient.
func (e *Edge) Client(t testing.TB) *http.Client {
	c := e.Impatient(t)
	c.Transport = Patient(c.Transport.(*http.Transport))
	c.Timeout = 2 * time.Minute
	return c
}

// Impatient is Client for tests that look for requests which are lost.
func (e *Edge) Impatient(t testing.TB) *http.Client {
	var d net.Dialer
	tr := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", e.addr())
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Run runs another gate command against this edge's gate and returns its output.
func (e *Edge) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), e.Bin, append(args, "-config", e.file("gate.yaml"))...).CombinedOutput()
	if err != nil {
		t.Fatalf("gate %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Refused runs a gate command that must fail, and returns its output.
func (e *Edge) Refused(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), e.Bin, append(args, "-config", e.file("gate.yaml"))...).CombinedOutput()
	if err == nil {
		t.Fatalf("gate %s succeeds:\n%s", strings.Join(args, " "), out)
	}
	return string(out)
}

// Server is one running `gate serve`.
type Server struct {
	Ops  string // base address of /metrics, /readyz, …
	cmd  *exec.Cmd
	log  *output
	gone chan struct{}
	err  error
}

// Serve starts a gate with the gate.yaml of now and waits until it serves.
// Arguments that hold a = before any dash are variables for its environment, the
// others go to gate serve.
func (e *Edge) Serve(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{log: &output{}, gone: make(chan struct{})}
	s.cmd = exec.Command(e.Bin, "serve", "-config", e.file("gate.yaml"))
	s.cmd.Env = append(os.Environ(), patience, verdicts())
	for _, a := range args {
		if !strings.HasPrefix(a, "-") && strings.Contains(a, "=") {
			s.cmd.Env = append(s.cmd.Env, a)
		} else {
			s.cmd.Args = append(s.cmd.Args, a)
		}
	}
	s.cmd.Stderr = s.log
	s.cmd.WaitDelay = time.Second // a successor of its own holds the same stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		if s.err = s.cmd.Wait(); errors.Is(s.err, exec.ErrWaitDelay) {
			s.err = nil
		}
		close(s.gone)
	}()
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); <-s.gone })
	for end := time.Now().Add(ceiling); s.Ops == ""; time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(s.log.String()) {
			var x struct{ Msg, Ops string }
			if json.Unmarshal([]byte(line), &x) == nil && x.Msg == "serving" {
				s.Ops = "http://" + x.Ops
			}
		}
		select {
		case <-s.gone:
			t.Fatalf("gate serve ended: %v\n%s", s.err, s.log)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("gate serve does not serve:\n%s", s.log)
		}
	}
	return s
}

// Terminate asks the gate to end, as systemd does, and waits; its log is
// returned, and anything but a clean end fails the test.
func (s *Server) Terminate(t testing.TB) string {
	t.Helper()
	s.Signal(t, syscall.SIGTERM)
	return s.Ended(t)
}

// Signal sends the gate a signal.
func (s *Server) Signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("gate serve: %v: %v", sig, err)
	}
}

// Gone waits until a gate that was killed is no more: until its last thread has
// ended it holds its ports and files, with the race detector for a second or more.
func (s *Server) Gone(t testing.TB) {
	t.Helper()
	select {
	case <-s.gone:
	case <-time.After(ceiling):
		t.Fatalf("gate serve is not gone within %v", ceiling)
	}
}

// PID is the gate's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log is what the gate has written to stderr so far.
func (s *Server) Log() string { return s.log.String() }

// Ended waits until the gate ends by itself, cleanly, and returns its log.
func (s *Server) Ended(t testing.TB) string {
	t.Helper()
	select {
	case <-s.gone:
	case <-time.After(ceiling):
		t.Fatalf("gate serve did not end within %v:\n%s", ceiling, s.log)
	}
	if s.err != nil || strings.Contains(s.log.String(), "WARNING: DATA RACE") {
		t.Errorf("gate serve ended with %v:\n%s", s.err, s.log)
	}
	return s.log.String()
}

// output is a buffer that a process writes and a test reads.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Troubles are the lines of Envoy's access log that tell of 5xx answers, for
// the message of a test that found some.
func (e *Edge) Troubles(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(e.file("edge.log"))
	if err != nil {
		return err.Error()
	}
	var found strings.Builder
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, `"status":5`) && found.Len() < 4<<10 {
			found.WriteString(line)
		}
	}
	return found.String()
}
