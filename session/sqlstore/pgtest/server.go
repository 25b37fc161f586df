// Package pgtest runs real Postgres servers for tests and benchmarks: each with
// a cluster in a folder of its own, on a Unix socket, gone afterwards. Postgres
// refuses to run as root; a root process has it run as the user postgres.
package pgtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// readyWithin bounds how long a server may take to start.
	readyWithin = 30 * time.Second
	// port is part of the socket's name; nothing listens on the network.
	port = "5432"
)

// Server is one postgres process with its children. Not safe for concurrent
// use.
type Server struct {
	// URL is as sqlstore.PostgresOptions takes it. The user is a superuser.
	URL string
	// Socket is the file on which it listens.
	Socket string

	dir  string
	bin  string
	args []string
	cred *syscall.SysProcAttr
	cmd  *exec.Cmd
	gone chan struct{} // closed once the process has ended
}

// New makes a cluster and starts its server, with further settings like
// "fsync=off". What it writes survives Stop, Kill and Start, but not Close.
func New(settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	return create(bin, settings, (*Server).init)
}

// Another is New, but quicker: it copies the cluster as s had it at first. s
// must not be closed yet.
func (s *Server) Another(settings ...string) (*Server, error) {
	return create(s.bin, settings, func(o *Server) error { return o.copy(s.pristine(), o.pristine()) })
}

func create(bin string, settings []string, fill func(*Server) error) (*Server, error) {
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, Socket: filepath.Join(dir, ".s.PGSQL."+port), URL: URL(dir)}
	data := filepath.Join(dir, "data")
	s.args = []string{"-D", data, "-k", dir, "-p", port, "-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-c", "max_connections=200"}
	for _, c := range settings {
		s.args = append(s.args, "-c", c)
	}
	for _, step := range []func() error{
		s.unprivileged, func() error { return fill(s) }, func() error { return s.copy(s.pristine(), data) }, s.Start,
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	return s, nil
}

// pristine is the folder of a cluster that was never started.
func (s *Server) pristine() string { return filepath.Join(s.dir, "pristine") }

func (s *Server) copy(from, to string) error {
	cmd := exec.Command("cp", "-a", "--reflink=auto", from, to)
	cmd.SysProcAttr = s.cred
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	return nil
}

// URL returns the URL of a server whose socket is in a folder.
func URL(dir string) string {
	return "postgres://postgres@/postgres?host=" + url.QueryEscape(dir) + "&port=" + port
}

// binaries returns the folder of initdb and postgres, which Debian keeps out of
// the path.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("postgres is not installed; on Debian: apt-get install postgresql")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

func (s *Server) unprivileged() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.cred = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return os.Chown(s.dir, int(uid), int(gid))
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Env = s.dir, s.cred, []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	return cmd
}

func (s *Server) init() error {
	out, err := s.command("initdb", "-D", s.pristine(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w:\n%s", err, out)
	}
	return nil
}

// Start runs the server, again after Stop or Kill, and returns when it is ready.
func (s *Server) Start() error {
	cmd := s.command("postgres", s.args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.gone = cmd, make(chan struct{})
	ready := make(chan string, 1)
	go func(gone chan<- struct{}) {
		var said bytes.Buffer
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if said.Len() < 1<<16 {
				said.WriteString(lines.Text() + "\n")
			}
			if strings.Contains(lines.Text(), "ready to accept connections") {
				select {
				case ready <- "":
				default:
				}
			}
		}
		_ = cmd.Wait()
		close(gone)
		select {
		case ready <- said.String():
		default:
		}
	}(s.gone)
	select {
	case said := <-ready:
		if said == "" {
			return nil
		}
		return fmt.Errorf("postgres did not start:\n%s", said)
	case <-time.After(readyWithin):
		return errors.Join(fmt.Errorf("postgres was not ready within %v", readyWithin), s.Kill())
	}
}

// Stop ends the server as an operator's fast shutdown does: sessions are
// terminated, transactions rolled back.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends the server at once; the next Start recovers from its log.
func (s *Server) Kill() error { return s.end(syscall.SIGQUIT) }

func (s *Server) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	err := s.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-s.gone:
	case <-time.After(readyWithin):
		err = errors.Join(err, errors.New("postgres did not end"), s.cmd.Process.Kill())
		<-s.gone
	}
	s.cmd = nil
	return err
}

// Pause stops the server and each of its children without ending them:
// connections stay and answer nothing. Continue undoes that.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Continue undoes Pause.
func (s *Server) Continue() error { return s.signal(syscall.SIGCONT) }

// signal sends to the server first, so that it makes no further children.
func (s *Server) signal(sig syscall.Signal) error {
	parent := s.cmd.Process.Pid
	if err := s.cmd.Process.Signal(sig); err != nil {
		return err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (name) state ppid …; the name may have spaces.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// Close stops the server and removes its folder.
func (s *Server) Close() error {
	var err error
	if s.cmd != nil {
		err = errors.Join(s.Continue(), s.Kill())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
