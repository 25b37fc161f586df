package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	gatehook "github.com/neosc/gate/session/demo/webhook"
	"github.com/neosc/gate/test/fakedocker"
	"github.com/neosc/gate/test/fakenetbird"
)

// TestMain is the program itself where a test runs it as one.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_PROVISIONER") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const (
	image = "registry.example.com/desktop:1.16"
	key   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// house is an engine, a network and a folder with a configuration; the
// provisioner in it is a process, and the gate's side is the gate's own code.
type house struct {
	t       *testing.T
	dir     string
	ops     string
	engine  *fakedocker.Engine
	network *fakenetbird.Server
	log     *os.File
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "prov") // short: sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &house{t: t, dir: dir, engine: fakedocker.Start(t, image), network: fakenetbird.Start(t)}
	h.engine.Add("kasm-proxy", "running", map[string]string{"app": "proxy"})
	h.write("hooks.secrets", key+"\n")
	h.write("netbird.token", fakenetbird.Token+"\n")
	h.configure("127.0.0.1:0")
	h.log, err = os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.log.Close() })
	return h
}

func (h *house) configure(ops string) {
	h.t.Helper()
	h.write("provisioner.yaml", fmt.Sprintf(`
listen: {hooks: "unix://%s/hooks.sock", ops: "%s"}
secrets: hooks.secrets
state: state
docker: {socket: "%s"}
netbird: {url: "%s", token: netbird.token, group: %s}
workspaces:
  desktop: {image: "%s", network: own, internet: true, reached_by: [kasm-proxy], user: "1000:1000", memory: 64MiB, cpus: 0.5, pids: 64, enrol: true}
`, h.dir, ops, h.engine.Socket, h.network.URL, fakenetbird.Group, image))
}

func (h *house) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) config() string { return filepath.Join(h.dir, "provisioner.yaml") }

var serves = regexp.MustCompile(`"msg":"provisioner serves".*"ops":"([0-9.:]+)"`)

// run starts the program and waits until it is ready.
func (h *house) run() *exec.Cmd {
	h.t.Helper()
	before := len(serves.FindAllString(h.said(), -1))
	cmd := exec.Command(os.Args[0], "-config", h.config())
	cmd.Env, cmd.Stderr = append(os.Environ(), "RUN_PROVISIONER=1"), h.log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if all := serves.FindAllStringSubmatch(h.said(), -1); len(all) > before {
			h.ops = all[before][1]
			if h.get("/readyz") == http.StatusOK {
				return cmd
			}
		}
		if time.Now().After(end) {
			h.t.Fatalf("it is not ready within 30 s:\n%s", h.said())
		}
	}
}

func (h *house) get(path string) int {
	resp, err := http.Get("http://" + h.ops + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if path == "/metrics" && !bytes.Contains(b, []byte("provisioner_messages_total")) {
		return 0
	}
	return resp.StatusCode
}

func (h *house) said() string {
	b, _ := os.ReadFile(h.log.Name())
	return string(b)
}

// gate is one of the gate's own steps, pointed here.
func (h *house) gate(step string) *gatehook.Step {
	h.t.Helper()
	s, err := gatehook.New(gatehook.Options{Name: step, URL: "unix://" + h.dir + "/hooks.sock", Secrets: filepath.Join(h.dir, "hooks.secrets")})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func grant(id string) session.DemoGrant {
	now := time.Now()
	return session.DemoGrant{ID: id, UserID: "u1", Email: "ana@example.com", WorkspaceType: "desktop", StartedAt: now, ExpiresAt: now.Add(30 * time.Minute)}
}

func (h *house) states() []string {
	all := []string{}
	for _, c := range h.engine.Containers()[1:] { // but the proxy
		all = append(all, c.Name+" "+c.State)
	}
	return all
}

func (h *house) fine(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v\n%s", err, h.said())
	}
}

func (h *house) wants(what string, got []string, want ...string) {
	h.t.Helper()
	if !slices.Equal(got, want) {
		h.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestGrantFromStartToEnd: the gate's own webhooks, this program as a process,
// the engine's and the network's wire formats.
func TestGrantFromStartToEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	cmd := h.run()
	g := grant("demo-1772712000-k3v9x2")
	container, network := h.gate("container"), h.gate("network")
	h.fine(network.Start(t.Context(), g))
	h.fine(container.Start(t.Context(), g))
	h.fine(container.Start(t.Context(), g))
	h.wants("containers", h.states(), "neosc-"+g.ID+" running")
	env := h.engine.Containers()[1].Body.Env
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "NB_SETUP_KEY=") })
	if i < 0 || !h.network.Enrol(strings.TrimPrefix(env[i], "NB_SETUP_KEY="), g.ID) {
		t.Fatalf("the workspace cannot join with %q", env)
	}
	for _, s := range []*gatehook.Step{container, network} {
		owned, err := s.Owned(t.Context())
		h.fine(err)
		if len(owned) != 1 || owned[0].ID != g.ID {
			t.Errorf("%s: owned %+v", s.Name(), owned)
		}
	}
	for range 2 {
		h.fine(container.End(t.Context(), session.DemoGrant{ID: g.ID}))
		h.fine(network.End(t.Context(), session.DemoGrant{ID: g.ID}))
	}
	h.wants("containers", h.states())
	h.wants("peers", h.network.Peers())
	if left := h.engine.Networks(); len(left) > 0 {
		t.Errorf("networks %+v", left)
	}
	if err := container.Start(t.Context(), g); !errors.Is(err, session.ErrStepRefused) {
		t.Errorf("a start after the end: %v", err)
	}
	if h.get("/metrics") != http.StatusOK || h.get("/healthz") != http.StatusOK {
		t.Error("no metrics or no health")
	}
	h.fine(cmd.Process.Signal(syscall.SIGTERM))
	h.fine(cmd.Wait())
	for _, secret := range []string{key, strings.TrimPrefix(key, "whsec_"), fakenetbird.Token, "SETUP-KEY", "ana@example.com"} {
		if strings.Contains(h.said(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestKillBetweenCreateAndStart: kill -9 while the engine has made a container
// and has not yet answered. Nothing is there twice, nothing is left, and what was
// ended before the kill stays ended.
func TestKillBetweenCreateAndStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g, before := grant("demo-1772712000-killed"), grant("demo-1772712000-before")
	cmd := h.run()
	h.fine(h.gate("container").Start(t.Context(), before))
	h.fine(h.gate("container").End(t.Context(), before))
	made, goOn := make(chan struct{}), make(chan struct{})
	h.engine.After("create", func() { close(made); <-goOn })
	asked := make(chan error, 1)
	go func() { asked <- h.gate("container").Start(context.WithoutCancel(t.Context()), g) }()
	<-made
	h.fine(cmd.Process.Kill())
	_ = cmd.Wait()
	close(goOn)
	if err := <-asked; err == nil || errors.Is(err, session.ErrStepRefused) {
		t.Errorf("the gate is told %v, and has to try again", err)
	}
	h.engine.After("create", nil)
	h.wants("after the kill", h.states(), "neosc-"+g.ID+" created")
	h.run()
	if err := h.gate("container").Start(t.Context(), before); !errors.Is(err, session.ErrStepRefused) {
		t.Errorf("a grant that ended before the kill starts again: %v", err)
	}
	h.fine(h.gate("container").Start(t.Context(), g))
	h.wants("after the next try", h.states(), "neosc-"+g.ID+" running")
	h.fine(h.gate("container").End(t.Context(), g))
	h.wants("after the end", h.states())
}

// TestOrphanOfAKillIsFoundAndRemoved: the gate gave up before the next try.
func TestOrphanOfAKillIsFoundAndRemoved(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.engine.Add("neosc-demo-1-orphan", "created", map[string]string{"io.neosc.demo.instance": "default", "io.neosc.demo.grant": "demo-1-orphan"})
	h.run()
	owned, err := h.gate("container").Owned(t.Context())
	h.fine(err)
	if len(owned) != 1 {
		t.Fatalf("owned %+v", owned)
	}
	h.engine.RemoveSlowly()
	if err := h.gate("container").End(t.Context(), owned[0]); !errors.Is(err, session.ErrStepPending) {
		t.Errorf("a removal that goes on: %v", err)
	}
	h.engine.Removed()
	h.fine(h.gate("container").End(t.Context(), owned[0]))
	h.wants("containers", h.states())
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.write("broken.yaml", "workspaces: 7\n")
	for name, c := range map[string]struct {
		args      []string
		code      int
		out, errs string
	}{
		"Help":         {[]string{"-h"}, 0, "Usage: provisioner -config", ""},
		"LongHelp":     {[]string{"--help"}, 0, "Usage: provisioner -config", ""},
		"Version":      {[]string{"-version"}, 0, "provisioner ", ""},
		"Check":        {[]string{"-check", "-config", h.config()}, 0, "the configuration is right: 1 workspace types", ""},
		"CheckBroken":  {[]string{"-check", "-config", filepath.Join(h.dir, "broken.yaml")}, 1, "", "broken.yaml: "},
		"NoFile":       {[]string{"-config", "/nonexistent.yaml"}, 1, "", "/nonexistent.yaml"},
		"UnknownFlag":  {[]string{"-frobnicate"}, 2, "", "frobnicate"},
		"Argument":     {[]string{"serve"}, 2, "", `unexpected argument "serve"`},
		"NobodyIsHere": {[]string{"-ready", "-config", h.config()}, 1, "", "/readyz"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), c.args, &out, &errs); code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) || c.errs == "" && errs.Len() > 0 {
			t.Errorf("%s: code %d\nstdout %s\nstderr %s", name, code, out.String(), errs.String())
		}
	}
	if err := os.Chmod(filepath.Join(h.dir, "hooks.secrets"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-config", h.config()}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "chmod 600") {
		t.Errorf("with secrets that all may read: %d %s", code, errs.String())
	}
}

// TestReadyMeansThatTheEngineAnswers also asks as an image's health check does.
func TestReadyMeansThatTheEngineAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run()
	h.configure(h.ops)
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-ready", "-config", h.config()}, &out, &errs); code != 0 {
		t.Errorf("ready: %d %s", code, errs.String())
	}
	h.engine.Fail("ping", http.StatusInternalServerError, "by the test")
	if code := run(t.Context(), []string{"-ready", "-config", h.config()}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "not ready") {
		t.Errorf("with an engine that fails: %d %s", code, errs.String())
	}
}
