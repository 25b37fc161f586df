package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/cmd/gate/internal/tlsfiles"
)

// sockets opens the listeners that Envoy speaks to.
type sockets struct {
	tls *tls.Config // nil unless there are TCP listeners
	// shares says that the ports may be another gate's still, whose place this
	// one takes.
	shares bool
}

func newSockets(a *app, shares bool) (*sockets, error) {
	conf, err := listenTLS(a.cfg, a.log)
	return &sockets{tls: conf, shares: shares}, err
}

// listenTLS is what the TCP listeners show and want to see; nil where there are
// none.
func listenTLS(cfg *config.Config, log *slog.Logger) (*tls.Config, error) {
	t := cfg.Listen.TLS
	if t == (config.ListenTLS{}) {
		return nil, nil
	}
	conf, err := tlsfiles.Server(tlsfiles.Options{Cert: t.Cert, Key: t.Key, CA: t.ClientCA, Names: t.ClientNames(), Logger: log})
	if err != nil {
		return nil, fmt.Errorf("listen.tls: %w", err)
	}
	return conf, nil
}

const (
	// handshakeTime bounds a handshake; gRPC's own two minutes are for others.
	handshakeTime = 5 * time.Second
	// connectionAge is how long a connection with certificates is used: longer
	// than that nobody goes on with one that has ended or was replaced. Envoy is
	// told and opens another; no check is lost.
	connectionAge = 10 * time.Minute
)

// grpcOptions are what the check server needs besides. The leash's connections
// never are too old: they hold streams.
func (s *sockets) grpcOptions() []grpc.ServerOption {
	opts := []grpc.ServerOption{grpc.ConnectionTimeout(handshakeTime)}
	if s.tls != nil {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: connectionAge}))
	}
	return opts
}

// open listens where a listen.* key says: on a Unix socket with that mode, or on
// TCP with certificates on both sides.
func (s *sockets) open(ctx context.Context, listener string, mode fs.FileMode) (net.Listener, error) {
	address, ok := config.TCP(listener)
	if !ok {
		return listenUnix(listener, mode)
	}
	if s.tls == nil {
		return nil, fmt.Errorf("%s: without certificates nobody listens on TCP", listener)
	}
	if !s.shares {
		// Sharing a port with a stranger, who would get half of the checks, is
		// what SO_REUSEPORT below would not refuse.
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", listener, err)
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("%s: %w", listener, err)
		}
	}
	lc := net.ListenConfig{Control: reusePort}
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", listener, err)
	}
	return tls.NewListener(l, s.tls), nil
}

// reusePort lets a successor listen on the port that the running gate has, so
// that nobody meets a closed door. Only processes of the same user may.
func reusePort(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, set)
}

// inside is a listener without an address, by which a gate asks its own check
// server: a port may be a successor's already, and wants a certificate.
type inside struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newInside() *inside { return &inside{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (l *inside) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *inside) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *inside) Addr() net.Addr { return &net.UnixAddr{Name: "inside", Net: "pipe"} }

// dial connects to whoever accepts.
func (l *inside) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
