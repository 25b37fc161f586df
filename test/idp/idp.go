// Package idp launches a certified OpenID provider (the npm package
// oidc-provider) for tests, and is the browser's part at it.
package idp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// Client is a registration, by the names of OpenID Connect Dynamic Client
// Registration 1.0.
type Client map[string]any

// Settings are what a provider is started with.
type Settings struct {
	Port int `json:"port"`
	// Alg signs ID tokens: RS256 or ES256.
	Alg     string   `json:"alg"`
	Clients []Client `json:"clients"`
	// Accounts are claims by login, which is also the subject.
	Accounts map[string]map[string]any `json:"accounts"`
	// AccessSeconds is the life of access tokens; 0 means an hour.
	AccessSeconds int `json:"accessSeconds,omitempty"`
}

// Provider is a running one.
type Provider struct {
	Issuer string

	cmd    *exec.Cmd
	done   chan struct{}
	mu     sync.Mutex
	output bytes.Buffer
	events []map[string]any
	change chan struct{} // closed and replaced with each event
}

// Start runs a provider until the test ends.
func Start(t testing.TB, s Settings) *Provider {
	t.Helper()
	root, err := kit.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "test", "idp")
	if out, err := installed(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if s.Port == 0 {
		s.Port = kit.FreePort(t)
	}
	settings, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{Issuer: fmt.Sprintf("http://127.0.0.1:%d", s.Port), done: make(chan struct{}), change: make(chan struct{})}
	p.cmd = exec.Command("node", "idp.mjs")
	p.cmd.Dir = dir
	p.cmd.Stdin = bytes.NewReader(settings)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = writer{p}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	ready := make(chan struct{})
	go p.read(bufio.NewScanner(stdout), ready)
	select {
	case <-ready:
	case <-p.done:
		t.Fatalf("the provider ended:\n%s", p.Output())
	case <-time.After(2 * time.Minute):
		t.Fatalf("the provider is not ready after 2 minutes:\n%s", p.Output())
	}
	return p
}

// installed: once a process is enough.
var installed = sync.OnceValues(func() (string, error) {
	root, err := kit.Root()
	if err != nil {
		return "", err
	}
	out, err := exec.Command("bash", filepath.Join(root, "test", "idp", "install.sh")).CombinedOutput()
	return string(out), err
})

func (p *Provider) read(s *bufio.Scanner, ready chan struct{}) {
	defer close(p.done)
	for s.Scan() {
		_, _ = writer{p}.Write(append(bytes.Clone(s.Bytes()), '\n'))
		if s.Text() == "ready" {
			close(ready)
			continue
		}
		var event map[string]any
		if json.Unmarshal(s.Bytes(), &event) == nil {
			p.mu.Lock()
			p.events = append(p.events, event)
			close(p.change)
			p.change = make(chan struct{})
			p.mu.Unlock()
		}
	}
	_ = p.cmd.Wait()
}

type writer struct{ p *Provider }

func (w writer) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.output.Write(b)
}

// Output is what the provider has printed so far.
func (p *Provider) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// Await waits until the provider has told of an event.
func (p *Provider) Await(t testing.TB, event string) map[string]any {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		p.mu.Lock()
		change := p.change
		for _, e := range p.events {
			if e["event"] == event {
				p.mu.Unlock()
				return e
			}
		}
		p.mu.Unlock()
		select {
		case <-change:
		case <-deadline:
			t.Fatalf("the provider told of no %s within a minute:\n%s", event, p.Output())
		}
	}
}

// Stop ends the provider; a test does so to have one that is away.
func (p *Provider) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}
