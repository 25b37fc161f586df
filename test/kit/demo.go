package kit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Domain is the parent of the demo's hosts.
const Domain = "neosc.localhost"

// patience lets a gate under test decide for as long as the edge waits: where
// several race-built gates share two cores, a decision can wait for one of them
// longer than it does anywhere else.
const patience = "GATE_POLICY_TIMEOUT=950ms"

// ceiling is how long a program may take to start, to end or to answer before a
// test gives it up: some seconds, and far longer where much else runs.
const ceiling = 2 * time.Minute

// verdicts is the folder in which the gates of all tests keep what the
// comparison of the two evaluators found. It is kept by binary and policy, and
// takes seconds of a core that many gates at once do not have.
var verdicts = sync.OnceValue(func() string {
	root, err := Root()
	if err != nil {
		return ""
	}
	dir := filepath.Join(root, ".tools", "verdicts")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return "GATE_POLICY_STATE=" + dir
})

// Demo is a running `gate dev`.
type Demo struct {
	Port      int
	State     string // folder of gate.yaml, edge.log, access.log
	Bin       string // the gate binary
	Passwords map[string]string
	TLS       bool // the edge speaks it, by an authority of the demo's own

	cmd    *exec.Cmd
	done   chan struct{}
	mu     sync.Mutex
	output bytes.Buffer
}

// DemoOptions set up a Demo. The zero value runs the shipped rules.
type DemoOptions struct {
	// Port is the edge's; 0 means a free one.
	Port int
	// State is the state folder; "" makes one that goes with the test.
	State string
	// Policy is the policy folder; "" is the built-in one, "raised" the shipped
	// rules with limits that are never reached.
	Policy string
	// Providers is YAML with the key providers, "" for none.
	Providers string
	// Demo is YAML with the key demo: which demo sessions there are; "" for those
	// of gate dev.
	Demo string
	// TLS has the demo speak it.
	TLS bool
	// Env are settings that override gate.yaml, such as "GATE_SESSION_IDLE=2s".
	Env []string
}

// password finds "email  password" rows in what gate dev prints.
var password = regexp.MustCompile(`(?m)^\s+(\S+@neosc\.localhost)\s+(\S{16,})\s`)

// StartDemo runs gate dev on a free port until the test ends.
func StartDemo(t testing.TB, o DemoOptions) *Demo {
	t.Helper()
	bin, err := Gate()
	if err != nil {
		t.Fatal(err)
	}
	if o.State == "" {
		o.State = filepath.Join(t.TempDir(), "state")
	}
	if o.Policy == "raised" {
		o.Policy = filepath.Join(t.TempDir(), "policies")
		if err := WritePolicies(o.Policy); err != nil {
			t.Fatal(err)
		}
	}
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	d := &Demo{Port: o.Port, State: o.State, Bin: bin, Passwords: map[string]string{}, TLS: o.TLS, done: make(chan struct{})}
	args := []string{"dev", "-port", fmt.Sprint(d.Port), "-state", d.State, "-ops", "127.0.0.1:0"}
	if o.TLS {
		args = append(args, "-tls")
	}
	if o.Policy != "" {
		args = append(args, "-policy", o.Policy)
	}
	for name, text := range map[string]string{"providers": o.Providers, "demo": o.Demo} {
		if text == "" {
			continue
		}
		file := filepath.Join(t.TempDir(), name+".yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-"+name, file)
	}
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command(bin, args...)
	d.cmd.Dir = root // where Envoy is found
	d.cmd.Env = append(append(os.Environ(), patience, verdicts()), o.Env...)
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = lockedWriter{d}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop(t) })
	d.await(t, stdout)
	return d
}

// await reads what gate dev prints until it says where to go.
func (d *Demo) await(t testing.TB, stdout io.Reader) {
	ready := make(chan struct{})
	go func() {
		defer close(d.done)
		s := bufio.NewScanner(stdout)
		for s.Scan() {
			d.write(s.Text() + "\n")
			if strings.HasPrefix(s.Text(), "Ctrl-C") {
				close(ready)
			}
		}
		_ = d.cmd.Wait()
	}()
	select {
	case <-ready:
	case <-d.done:
		t.Fatalf("gate dev ended:\n%s", d.Output())
	case <-time.After(ceiling):
		t.Fatalf("gate dev is not ready after %v:\n%s", ceiling, d.Output())
	}
	for _, m := range password.FindAllStringSubmatch(d.Output(), -1) {
		d.Passwords[m[1]] = m[2]
	}
}

type lockedWriter struct{ d *Demo }

func (w lockedWriter) Write(p []byte) (int, error) { w.d.write(string(p)); return len(p), nil }

func (d *Demo) write(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.output.WriteString(s)
}

// Output is what gate dev has printed so far, on both streams.
func (d *Demo) Output() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.output.String()
}

// PID is gate's process id.
func (d *Demo) PID() int { return d.cmd.Process.Pid }

// Gone waits until a gate dev that was killed is no more: until its last thread
// has ended it holds its state.
func (d *Demo) Gone(t testing.TB) {
	t.Helper()
	select {
	case <-d.done:
	case <-time.After(ceiling):
		t.Fatalf("gate dev is not gone within %v", ceiling)
	}
}

// Stop sends the interrupt that Ctrl-C sends and waits for the end; a data race
// that the detector found fails the test.
func (d *Demo) Stop(t testing.TB) {
	_ = d.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-d.done:
	case <-time.After(ceiling):
		_ = d.cmd.Process.Kill()
		t.Errorf("gate dev did not end within %v of its interrupt:\n%s", ceiling, d.Output())
		<-d.done
	}
	if strings.Contains(d.Output(), "WARNING: DATA RACE") {
		t.Errorf("gate dev has a data race:\n%s", d.Output())
	}
}

// Origin is the external origin of one of the demo's hosts ("portal",
// "api.portal", "gate").
func (d *Demo) Origin(host string) string {
	scheme := "http"
	if d.TLS {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s.%s:%d", scheme, host, Domain, d.Port)
}

// Run runs another gate command against this demo and returns its output.
func (d *Demo) Run(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.Bin, append(args, "-config", filepath.Join(d.State, "gate.yaml"))...).CombinedOutput()
	if err != nil {
		t.Fatalf("gate %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// EdgeLog reads the lines that Envoy has logged so far.
func (d *Demo) EdgeLog(t testing.TB) []string { return lines(t, filepath.Join(d.State, "edge.log")) }

// AccessLog reads the lines that gate has logged so far.
func (d *Demo) AccessLog(t testing.TB) []string {
	return lines(t, filepath.Join(d.State, "access.log"))
}

func lines(t testing.TB, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}
