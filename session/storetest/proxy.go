package storetest

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is a way to a server that can stop forwarding without breaking a
// connection, as a network does that drops packets.
type Proxy struct {
	// Hole swallows everything while it is true.
	Hole atomic.Bool

	network, to string
	listener    net.Listener
	all         sync.WaitGroup
	mu          sync.Mutex
	open        []net.Conn
}

// NewProxy listens on the Unix socket at path, until t ends, for connections to
// a server's address.
func NewProxy(t testing.TB, path, network, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{network: network, to: to, listener: l}
	p.all.Go(p.serve)
	t.Cleanup(p.close)
	return p
}

// Path is the socket's.
func (p *Proxy) Path() string { return p.listener.Addr().String() }

func (p *Proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial(p.network, p.to)
		if err != nil {
			_ = c.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, c, up)
		p.mu.Unlock()
		p.all.Go(func() { p.copy(up, c) })
		p.all.Go(func() { p.copy(c, up) })
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.all.Wait()
}

// copy loses for good what comes while the hole is open, so such a connection
// never works again.
func (p *Proxy) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	lost := false
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if lost = lost || p.Hole.Load(); lost {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
}
