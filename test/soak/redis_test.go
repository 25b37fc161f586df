package soak

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// redisServer is a real redis-server on a Unix socket, with its data on disk so
// that a restart keeps sessions.
type redisServer struct {
	dir string
	cmd *exec.Cmd
}

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		t.Fatal(err)
	}
	r := &redisServer{dir: dir}
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	r.run(t)
	return r
}

func (r *redisServer) socket() string { return filepath.Join(r.dir, "redis.sock") }
func (r *redisServer) url() string    { return "unix://" + r.socket() }

func (r *redisServer) run(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command("redis-server", "--port", "0", "--unixsocket", r.socket(), "--dir", r.dir, "--appendonly", "yes", "--save", "")
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("redis-server (Debian package redis-server): %v", err)
	}
	r.heal(t)
}

// heal waits until Redis answers.
func (r *redisServer) heal(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
	within(t, time.Minute, "Redis answers", func() bool {
		return exec.Command("redis-cli", "-s", r.socket(), "PING").Run() == nil
	})
}

func (r *redisServer) do(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("redis-cli", append([]string{"-s", r.socket()}, args...)...).CombinedOutput(); err != nil {
		t.Errorf("redis-cli %v: %v %s", args, err, out)
	}
}

// pause stops Redis in its tracks for a while, as a busy machine does.
func (r *redisServer) pause(t *testing.T, d time.Duration) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	time.Sleep(d)
	r.heal(t)
}

func (r *redisServer) restart(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.run(t)
}
