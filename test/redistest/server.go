// Package redistest runs real Redis servers for tests and benchmarks: each in a
// folder of its own, on a Unix socket or a free port, gone afterwards.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// readyWithin bounds how long a server may take to start.
const readyWithin = time.Minute

// Server is one redis-server process. Not safe for concurrent use.
type Server struct {
	// Network and Addr are where it listens: "unix" or "tcp".
	Network, Addr string
	// URL is the same as redisstore.Options takes it.
	URL string
	// Port is 0 on a Unix socket.
	Port int

	dir  string
	args []string
	cmd  *exec.Cmd
	gone chan error
}

// Socket starts a server on a Unix socket with further arguments.
func Socket(args ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "s")
	s := &Server{Network: "unix", Addr: path, URL: (&url.URL{Scheme: "unix", Path: path}).String(), dir: dir}
	s.args = append([]string{"--port", "0", "--unixsocket", path, "--dir", dir, "--save", ""}, args...)
	return s, s.begin()
}

// TCP starts a server on a free port of 127.0.0.1 with further arguments, in
// which "PORT+1" stands for the next port.
func TCP(args ...string) (*Server, error) {
	return onPort("redis", func(port int) []string {
		out := []string{"--port", strconv.Itoa(port)}
		for _, a := range args {
			out = append(out, strings.ReplaceAll(a, "PORT+1", strconv.Itoa(port+1)))
		}
		return out
	})
}

// TLS is TCP for a server that speaks TLS alone; the arguments name its
// certificate.
func TLS(args ...string) (*Server, error) {
	return onPort("rediss", func(port int) []string {
		return append([]string{"--port", "0", "--tls-port", strconv.Itoa(port)}, args...)
	})
}

func onPort(scheme string, args func(port int) []string) (*Server, error) {
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		return nil, err
	}
	for range 5 { // another process may be faster
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		s := &Server{Network: "tcp", Addr: addr, URL: scheme + "://" + addr, Port: port, dir: dir}
		s.args = append(args(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "")
		if err = s.Start(); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

// Sentinel starts a Sentinel that watches a TCP server under the name "main"
// and, without asking others, fails over once that is silent for 300 ms.
func Sentinel(watched *Server) (*Server, error) {
	host, port, err := net.SplitHostPort(watched.Addr)
	if err != nil {
		return nil, err
	}
	for range 5 { // another process may be faster
		var s *Server
		if s, err = sentinel(host, port); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func sentinel(host, port string) (*Server, error) {
	own, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor main %s %s 1\n"+
		"sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n", own, dir, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(own))
	s := &Server{Network: "tcp", Addr: addr, URL: "redis://" + addr + "/0?master_name=main", Port: own, dir: dir, args: []string{file, "--sentinel"}}
	return s, s.begin()
}

// freePort is one on which nobody listens now, below those that the kernel gives
// to outgoing connections: while a server is stopped one of these may take its
// place.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 10_240 + rand.IntN(22_000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

func (s *Server) begin() error {
	err := s.Start()
	if err != nil {
		_ = os.RemoveAll(s.dir)
	}
	return err
}

// Start runs the server, again after Stop, and returns when it is ready.
func (s *Server) Start() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not installed; on Debian: apt-get install redis-server")
	}
	cmd := exec.Command(path, s.args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.gone = cmd, make(chan error, 1)
	ready := make(chan string, 1)
	go func() {
		var said strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if said.Len() < 1<<16 {
				said.WriteString(lines.Text() + "\n")
			}
			if strings.Contains(lines.Text(), "eady to accept connections") || strings.Contains(lines.Text(), "+monitor master") {
				ready <- ""
			}
		}
		s.gone <- cmd.Wait()
		select {
		case ready <- said.String():
		default:
		}
	}()
	select {
	case said := <-ready:
		if said == "" {
			return nil
		}
		return fmt.Errorf("redis-server did not start:\n%s", said)
	case <-time.After(readyWithin):
		return errors.Join(fmt.Errorf("redis-server was not ready within %v", readyWithin), s.Stop())
	}
}

// PID is the process, while it runs.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop kills the server and waits for its end. Start runs it again.
func (s *Server) Stop() error {
	if s.cmd == nil {
		return nil
	}
	err := s.cmd.Process.Kill()
	<-s.gone
	s.cmd = nil
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return err
}

// Pause stops the process without ending it: connections stay and answer
// nothing. Continue undoes that.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue undoes Pause.
func (s *Server) Continue() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Close stops the server and removes its folder.
func (s *Server) Close() error { return errors.Join(s.Stop(), os.RemoveAll(s.dir)) }

// Do sends one command and returns the first line of the reply.
func (s *Server) Do(ctx context.Context, args ...string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, s.Network, s.Addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(readyWithin)); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if strings.HasPrefix(line, "-") {
		return "", errors.New(line)
	}
	return line, nil
}
