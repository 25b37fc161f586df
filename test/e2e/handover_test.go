package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// onPort gives the gates of an edge one ops port, as a deployment does: the one
// thing that two processes cannot share by renaming.
func onPort(t *testing.T, e *kit.Edge) string {
	t.Helper()
	port := fmt.Sprintf("127.0.0.1:%d", kit.FreePort(t))
	file := filepath.Join(e.Dir, "gate.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "127.0.0.1:0", port, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return "http://" + port
}

func ready(t *testing.T, ops string) bool {
	t.Helper()
	status, _ := kit.Readyz(t, ops)
	return status == 200
}

func TestASecondGateIsRefusedUnlessToldToReplace(t *testing.T) {
	t.Parallel()
	e := kit.StartEdge(t)
	gate := e.Serve(t)
	if out := e.Refused(t, "serve"); !strings.Contains(out, "another gate serves") || !strings.Contains(out, "-replace") {
		t.Errorf("a second gate says %q", out)
	}
	if !ready(t, gate.Ops) {
		t.Error("the first gate is not ready any more")
	}
}

func TestASuccessorTakesTheSamePort(t *testing.T) {
	t.Parallel()
	e := kit.StartEdge(t)
	ops := onPort(t, e)
	first := e.Serve(t)
	second := e.Serve(t, "-replace")
	if log := first.Ended(t); !strings.Contains(log, "a successor serves") {
		t.Errorf("the first gate's log does not say why it ended:\n%s", log)
	}
	if out := e.Run(t, "check", "-ready"); !strings.HasPrefix(out, "ready since ") {
		t.Errorf("gate check -ready says %q", out)
	}
	if second.Ops != ops || !ready(t, ops) {
		t.Errorf("the second gate answers at %s, want %s, ready", second.Ops, ops)
	}
	second.Terminate(t)
	if out := e.Refused(t, "check", "-ready"); !strings.Contains(out, "no gate") {
		t.Errorf("gate check -ready says %q of a gate that is gone", out)
	}
}

// TestAGateGoesOnWhenItsSuccessorDies asks for the place as a successor does
// and leaves at once.
func TestAGateGoesOnWhenItsSuccessorDies(t *testing.T) {
	t.Parallel()
	e := kit.StartEdge(t)
	ops := onPort(t, e)
	gate := e.Serve(t)
	conn, err := net.Dial("unix", filepath.Join(e.Dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("POST /v1/handover HTTP/1.1\r\nHost: gate\r\nConnection: Upgrade\r\nUpgrade: handover\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for line := ""; line != "free\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatalf("the gate does not give way: %v", err)
		}
	}
	free, err := net.Listen("tcp", strings.TrimPrefix(ops, "http://"))
	if err != nil {
		t.Fatalf("the ops port is not free for the successor: %v", err)
	}
	_ = free.Close()
	_ = conn.Close()
	within(t, 30*time.Second, "the gate has its ops port again", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(ops, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	within(t, 20*time.Second, "the gate is ready as before", func() bool { return ready(t, ops) })
	// And another may still take the place.
	e.Serve(t, "-replace")
	gate.Ended(t)
}

// TestSystemdIsToldOfReadinessLifeAndSuccession stands in for systemd's side of
// sd_notify(3), a datagram socket, and sends the signal of `systemctl reload`.
func TestSystemdIsToldOfReadinessLifeAndSuccession(t *testing.T) {
	t.Parallel()
	e := kit.StartEdge(t)
	socket := filepath.Join(e.Dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	await := func(form string) string {
		t.Helper()
		re, b := regexp.MustCompile(form), make([]byte, 512)
		var heard []string
		_ = l.SetReadDeadline(time.Now().Add(30 * time.Second))
		for {
			n, err := l.Read(b)
			if err != nil {
				t.Fatalf("systemd never hears %q, only %q", form, heard)
			}
			if m := re.FindStringSubmatch(string(b[:n])); m != nil {
				return m[len(m)-1]
			}
			heard = append(heard, string(b[:n]))
		}
	}
	gate := e.Serve(t, "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=400000")
	if pid := await(`^MAINPID=(\d+)\nREADY=1$`); pid != fmt.Sprint(gate.PID()) {
		t.Errorf("the main process is said to be %s, it is %d", pid, gate.PID())
	}
	await(`^WATCHDOG=1$`)
	gate.Signal(t, syscall.SIGUSR2)
	var next int
	if _, err := fmt.Sscan(await(`^MAINPID=(\d+)\nREADY=1$`), &next); err != nil || next == gate.PID() {
		t.Fatalf("the successor names %d as the main process (%v)", next, err)
	}
	t.Cleanup(func() { _ = syscall.Kill(next, syscall.SIGKILL) })
	gate.Ended(t)
	if err := syscall.Kill(next, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(`^STOPPING=1$`)
}
