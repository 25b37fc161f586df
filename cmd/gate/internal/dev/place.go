package dev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxSocketPath is what fits into sockaddr_un.sun_path (108 bytes with its
// closing zero, unix(7)); Envoy and the kernel refuse longer ones.
const maxSocketPath = 107

// SocketDir is a private folder (mode 0700) for Unix sockets. It lies in the
// system's temporary folder and has a short name: a socket beside the project
// would fail as soon as somebody's checkout path is long.
type SocketDir struct{ path string }

// NewSocketDir makes the folder. Close removes it with all that is in it.
func NewSocketDir() (*SocketDir, error) {
	p, err := os.MkdirTemp("", "gate-")
	if err != nil {
		return nil, fmt.Errorf("no room for sockets: %w; set TMPDIR to a folder that can be written", err)
	}
	return &SocketDir{path: p}, nil
}

// Path returns where the folder is.
func (d *SocketDir) Path() string { return d.path }

// Socket returns the path of the socket with the given plain name, or an error
// that says how to mend a path that is too long.
func (d *SocketDir) Socket(name string) (string, error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("socket name %q is not a plain file name", name)
	}
	p := filepath.Join(d.path, name)
	if len(p) > maxSocketPath {
		return "", fmt.Errorf("socket path %s has %d bytes, at most %d are possible; set TMPDIR to a shorter folder, such as /tmp",
			p, len(p), maxSocketPath)
	}
	return p, nil
}

// Close removes the folder.
func (d *SocketDir) Close() error { return os.RemoveAll(d.path) }

// CheckPort says whether the edge will be able to listen on host:port, before
// anything is started. It listens and lets go again; without SO_REUSEPORT, so
// that another Envoy, which sets it, is noticed too.
func CheckPort(host string, port int) error {
	if port < 1 || port > 65535 {
		return fmt.Errorf("port %d is not one; use -port N with N from 1 to 65535", port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d is taken by another program; free it or use -port N", port)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("port %d may not be opened by this user; use -port N with N from 1024 up", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("address %s is not one of this machine's; port %d cannot be opened there", host, port)
	default:
		return fmt.Errorf("port %d cannot be opened: %w", port, err)
	}
}

// CheckOps says whether the address of health and metrics can be listened on.
func CheckOps(address string) error {
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s, where health and metrics would be, is taken by another program; free it or use -ops ADDRESS:PORT (port 0 takes any)", address)
	default:
		return fmt.Errorf("-ops %s cannot be opened: %w", address, err)
	}
}
