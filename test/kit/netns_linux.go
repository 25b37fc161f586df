package kit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
)

// Host is a machine of its own as far as the network goes: a network namespace.
// It needs root and iproute2.
type Host struct{ name string }

var hosts atomic.Int64

// NewHost makes a host with nothing but loopback, which forwards nothing.
func NewHost(t testing.TB) *Host {
	t.Helper()
	h := &Host{name: fmt.Sprintf("neosc-%d-%d", os.Getpid(), hosts.Add(1))}
	sh(t, "ip", "netns", "add", h.name)
	t.Cleanup(func() { sh(t, "ip", "netns", "del", h.name) })
	h.Run(t, "ip", "link", "set", "lo", "up")
	h.Run(t, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
	return h
}

// Link joins two hosts by a cable; the addresses are theirs with the length of
// the network, such as 10.1.2.3/24.
func Link(t testing.TB, a *Host, addrA string, b *Host, addrB string) {
	t.Helper()
	// The two ends' names are unique where they are made, which is here.
	n := hosts.Add(1)
	ends := [2]string{fmt.Sprintf("v%da%d", os.Getpid()%100000, n), fmt.Sprintf("v%db%d", os.Getpid()%100000, n)}
	sh(t, "ip", "link", "add", ends[0], "netns", a.name, "type", "veth", "peer", "name", ends[1], "netns", b.name)
	for i, h := range []*Host{a, b} {
		h.Run(t, "ip", "addr", "add", []string{addrA, addrB}[i], "dev", ends[i])
		h.Run(t, "ip", "link", "set", ends[i], "up")
	}
}

// Run runs a program on the host to its end and returns its output.
func (h *Host) Run(t testing.TB, args ...string) string {
	t.Helper()
	c := h.Command(args...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", c, err, out)
	}
	return string(out)
}

// Command is a program that will run on the host.
func (h *Host) Command(args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.name}, args...)...)
}

// Listen listens on the host.
func (h *Host) Listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	err := h.on(func() (err error) { l, err = net.Listen("tcp", addr); return err })
	if err != nil {
		t.Fatalf("%s: %v", h.name, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Dial dials from the host.
func (h *Host) Dial(d net.Dialer, addr string) (c net.Conn, err error) {
	err = h.on(func() (err error) { c, err = d.Dial("tcp", addr); return err })
	return c, err
}

// on runs f, which opens one socket, on a thread that is on the host. A socket
// belongs to the namespace that it was made in, for good.
func (h *Host) on(f func() error) error {
	there, err := os.Open("/var/run/netns/" + h.name)
	if err != nil {
		return err
	}
	defer there.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err := setns(there); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func setns(f *os.File) error {
	const setnsCall = 308 // x86-64; arm64 has 268
	n := uintptr(setnsCall)
	if runtime.GOARCH == "arm64" {
		n = 268
	}
	if _, _, e := syscall.RawSyscall(n, f.Fd(), syscall.CLONE_NEWNET, 0); e != 0 {
		return fmt.Errorf("setns: %w", e)
	}
	return nil
}

func sh(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}
