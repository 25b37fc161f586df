// Package redisserver runs real Redis servers for tests and benchmarks: each in
// a folder of its own, on a Unix socket or a free port, and gone afterwards.
package redisserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is one redis-server process that can be stopped, paused and started
// again at the same address. Not safe for concurrent use.
type Server struct {
	// Addr is host:port, or the path of a Unix socket.
	Addr string
	// Port is 0 on a Unix socket.
	Port int
	dir  string
	args []string
	cmd  *exec.Cmd
}

// startTime bounds how long a server may take to be ready.
const startTime = 10 * time.Second

// Socket starts a server on a Unix socket, with further arguments.
func Socket(args ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "rl")
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: filepath.Join(dir, "s"), dir: dir}
	s.args = append([]string{"--port", "0", "--unixsocket", s.Addr, "--save", "", "--dir", dir}, args...)
	return s, s.orRemove(s.Start())
}

// TCP starts a server on a free port. "PORT+1" in args stands for the next one.
func TCP(args ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "rl")
	if err != nil {
		return nil, err
	}
	var failed error
	for range 5 { // another process may take the port first
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s := &Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Port: port, dir: dir}
		s.args = []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--dir", dir}
		for _, a := range args {
			s.args = append(s.args, strings.ReplaceAll(a, "PORT+1", strconv.Itoa(port+1)))
		}
		if failed = s.Start(); failed == nil {
			return s, nil
		}
	}
	return nil, errors.Join(failed, os.RemoveAll(dir))
}

// Sentinel starts a Sentinel that watches the server at 127.0.0.1:port under
// the name "master" and fails over alone after 300 ms.
func Sentinel(port int) (*Server, error) {
	dir, err := os.MkdirTemp("", "rl")
	if err != nil {
		return nil, err
	}
	own, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor master 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds master 300\nsentinel failover-timeout master 2000\n", own, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(own)), Port: own, dir: dir, args: []string{conf, "--sentinel"}}
	return s, s.orRemove(s.Start())
}

func (s *Server) orRemove(err error) error {
	if err != nil {
		_ = os.RemoveAll(s.dir)
	}
	return err
}

// freePort finds a port whose neighbour is likely free too.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Start runs the server (again) and waits until it is ready.
func (s *Server) Start() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not installed: apt-get install redis-server (Debian package redis-server)")
	}
	cmd := exec.Command(path, s.args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() {
		r := bufio.NewReader(out)
		var seen strings.Builder
		for {
			line, err := r.ReadString('\n')
			seen.WriteString(line)
			if strings.Contains(line, "eady to accept connections") || strings.Contains(line, "monitor master") {
				ready <- nil
				_, _ = io.Copy(io.Discard, r)
				return
			}
			if err != nil {
				ready <- fmt.Errorf("redis-server did not start:\n%s", seen.String())
				return
			}
		}
	}()
	select {
	case err = <-ready:
	case <-time.After(startTime):
		err = fmt.Errorf("redis-server was not ready after %v", startTime)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	s.cmd = cmd
	return nil
}

// PID is the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server at once; its data is gone.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Pause stops the process without closing its connections.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (s *Server) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Close ends the server and removes its folder.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}
