package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// children returns the processes below pid, by /proc.
func children(t *testing.T, pid int) []int {
	t.Helper()
	parents := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // gone meanwhile
		}
		// The name in parentheses may hold spaces; state and parent follow it.
		after := b[strings.LastIndexByte(string(b), ')')+1:]
		fields := strings.Fields(string(after))
		if len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent, _ := strconv.Atoi(fields[1])
		parents[parent] = append(parents[parent], child)
	}
	var out []int
	for next := parents[pid]; len(next) > 0; next = next[1:] {
		out = append(out, next[0])
		next = append(next, parents[next[0]]...)
	}
	return out
}

func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.HasPrefix(string(b[strings.LastIndexByte(string(b), ')')+1:]), " Z")
}

var socketPath = regexp.MustCompile(`authz: "([^"]+)"`)

// socketDir is where a demo's sockets lie, as its gate.yaml says.
func socketDir(t *testing.T, d *kit.Demo) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.State, "gate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := socketPath.FindStringSubmatch(string(b))
	if m == nil {
		t.Fatalf("gate.yaml names no socket:\n%s", b)
	}
	return filepath.Dir(m[1])
}

func free(port int) bool {
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}

func TestCtrlCEndsEveryChildAndRemovesTheSockets(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	p := d.SignedIn(t, "neosc")
	// What is open must not keep it from ending.
	c, resp, err := dialSocket(t, d, p, "workspace.portal", d.Origin("workspace.portal"))
	if err != nil {
		t.Fatalf("%v (%v)", err, resp)
	}
	echoes(t, c, "open")
	sockets, below := socketDir(t, d), children(t, d.PID())
	if info, err := os.Stat(sockets); err != nil || info.Mode().Perm() != 0o700 || strings.HasPrefix(sockets, d.State) {
		t.Errorf("the sockets' folder %s: %v %v, want 0700 outside of the state", sockets, info, err)
	}
	if len(below) == 0 {
		t.Fatal("no Envoy runs below gate dev")
	}
	began := time.Now()
	d.Stop(t)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("Ctrl-C took %v", took)
	}
	for _, pid := range below {
		if running(pid) {
			t.Errorf("process %d outlives gate dev", pid)
		}
	}
	if _, err := os.Stat(sockets); !os.IsNotExist(err) {
		t.Errorf("the sockets' folder is still there: %v", err)
	}
	if !free(d.Port) {
		t.Error("somebody still listens on the port")
	}
	if strings.Contains(d.Output(), "gate dev:") {
		t.Errorf("ending was not clean:\n%s", d.Output())
	}
}

func TestAKilledGateTakesEnvoyWithIt(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	sockets, below := socketDir(t, d), children(t, d.PID())
	t.Cleanup(func() { _ = os.RemoveAll(sockets) }) // a killed program tidies nothing up
	if len(below) == 0 {
		t.Fatal("no Envoy runs below gate dev")
	}
	if err := syscall.Kill(d.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "Envoy ends with its killed parent", func() bool {
		for _, pid := range below {
			if running(pid) {
				return false
			}
		}
		return free(d.Port)
	})
	d.Gone(t)
	// The next run works: nothing that the killed one left is in its way.
	d = kit.StartDemo(t, kit.DemoOptions{State: d.State})
	if len(d.Passwords) != 0 {
		t.Error("the users were seeded again")
	}
}

func TestAnEnvoyThatDiesEndsTheDemoWithOneLine(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	sockets, below := socketDir(t, d), children(t, d.PID())
	for _, pid := range below {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	within(t, 20*time.Second, "gate dev ends", func() bool { return !running(d.PID()) })
	d.Stop(t) // reads what is left of the output
	if got := d.Output(); !strings.Contains(got, "gate dev: envoy stopped by itself") {
		t.Errorf("gate dev says\n%s", got)
	}
	if _, err := os.Stat(sockets); !os.IsNotExist(err) {
		t.Errorf("the sockets' folder is still there: %v", err)
	}
}
