package dev

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childOptions run this test binary in a role, by a wrapper script: EnvoyOptions
// has no environment, since Envoy needs none.
func childOptions(t *testing.T, role string) EnvoyOptions {
	t.Helper()
	dir, err := NewSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	socket, err := dir.Socket("admin.sock")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir.Path(), "envoy")
	text := "#!/bin/sh\nDEV_TEST_CHILD=" + role + " exec '" + os.Args[0] + "' \"$@\"\n"
	// A process that another test forks meanwhile would have the file open for
	// writing, and what is being written cannot be run (ETXTBSY).
	syscall.ForkLock.RLock()
	err = os.WriteFile(script, []byte(text), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return EnvoyOptions{Path: script, Args: []string{socket}, AdminSocket: socket}
}

func start(t *testing.T, o EnvoyOptions) *Envoy {
	t.Helper()
	e, err := StartEnvoy(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Stop(context.Background()) })
	return e
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestEnvoyIsReadyThenStopsWhenAsked(t *testing.T) {
	t.Parallel()
	e := start(t, childOptions(t, "good"))
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Err(); err != nil {
		t.Errorf("asked to stop, yet Err says %v", err)
	}
	if alive(e.PID()) {
		t.Error("the child is still there")
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestEnvoyThatIgnoresSIGTERMIsKilled(t *testing.T) {
	t.Parallel()
	o := childOptions(t, "stubborn")
	o.StopTimeout = 50 * time.Millisecond
	e := start(t, o)
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if alive(e.PID()) {
		t.Error("the child is still there")
	}
}

func TestEnvoyWithBrokenConfigSaysWhyInOneLine(t *testing.T) {
	t.Parallel()
	o := childOptions(t, "broken")
	var log bytes.Buffer
	o.Log = &log
	_, err := StartEnvoy(t.Context(), o)
	if err == nil {
		t.Fatal("no error")
	}
	wantText(t, err.Error(), "before it was ready", "exit status 1", "no such field: 'lisener'")
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	wantText(t, log.String(), "initializing", "exiting")
}

func TestEnvoyThatNeverGetsReadyIsEnded(t *testing.T) {
	t.Parallel()
	o := childOptions(t, "never")
	o.ReadyTimeout = 300 * time.Millisecond
	_, err := StartEnvoy(t.Context(), o)
	if err == nil {
		t.Fatal("no error")
	}
	wantText(t, err.Error(), "not ready within 300ms")
	if c, err := net.Dial("unix", o.AdminSocket); err == nil {
		_ = c.Close()
		t.Error("the child is still serving")
	}
}

func TestEnvoyStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartEnvoy(ctx, childOptions(t, "never")); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestEnvoyThatDiesIsReported(t *testing.T) {
	t.Parallel()
	o := childOptions(t, "good")
	e := start(t, o)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", o.AdminSocket)
	}}}
	if res, err := client.Get("http://envoy/crash"); err == nil {
		_ = res.Body.Close()
	}
	<-e.Done()
	err := e.Err()
	if err == nil {
		t.Fatal("no error")
	}
	wantText(t, err.Error(), "stopped by itself", "exit status 139", "Segmentation fault")
}

func TestEnvoyThatIsMissingSaysHowToGetIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "make run", dir: "not a program", plain: "not a program",
	} {
		_, err := StartEnvoy(t.Context(), EnvoyOptions{Path: path})
		if err == nil {
			t.Fatalf("%s: no error", path)
		}
		wantText(t, err.Error(), want, "GATE_ENVOY")
	}
}

func TestEnvoyDiesWithItsKilledParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Log("only Linux binds a child's life to its parent's")
		return
	}
	dir, err := NewSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	socket, err := dir.Socket("admin.sock")
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0], socket)
	parent.Env = append(os.Environ(), "DEV_TEST_CHILD=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	deadline := time.Now().Add(time.Minute)
	for answering(socket) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the grandchild outlived its parent")
		}
		runtime.Gosched()
	}
}

func answering(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func TestTailPicksTheTellingLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"Nothing":          {"", ""},
		"LastPlainLine":    {"one\ntwo\n", ": two"},
		"WithoutNewline":   {"one\ntwo", ": two"},
		"ErrorOverLater":   {"[t][1][error][config] [a.cc:1] bad port\n[t][1][info][main] [b.cc:2] exiting\n", ": bad port"},
		"FirstCritical":    {"[t][1][critical][main] [a.cc:1] cause\n[t][1][critical][main] [a.cc:2] exiting\n", ": cause"},
		"ControlsAreBlank": {"bad \x1b[31mred\n", ": bad  [31mred"},
	} {
		t.Run(name, func(t *testing.T) {
			tl := newTail(nil)
			for i := range len(c.in) {
				_, _ = tl.Write([]byte{c.in[i]})
			}
			if got := tl.because(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTailIsBounded(t *testing.T) {
	t.Parallel()
	tl := newTail(nil)
	_, _ = tl.Write(bytes.Repeat([]byte("x"), 1<<20))
	for range 1000 {
		_, _ = tl.Write([]byte("y\n"))
	}
	if len(tl.lines) != tailLines || cap(tl.part) > 2*tailWidth {
		t.Errorf("%d lines, part of %d", len(tl.lines), cap(tl.part))
	}
}
