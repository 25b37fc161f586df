package redisstore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/redisstore/redistest"
)

// server starts a Redis of the test's own, which it may stop, pause and flush.
func server(t testing.TB, args ...string) *redistest.Server {
	t.Helper()
	s, err := redistest.Socket(args...)
	return started(t, s, err)
}

func started(t testing.TB, s *redistest.Server, err error) *redistest.Server {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// gate is one process of several: a manager with a store of its own.
type gate struct {
	*session.Manager
	store *redisstore.Store
}

// gates returns one gate for each URL, all with one key ring and one prefix.
// change may alter the options of the managers.
func gates(t testing.TB, change func(*session.Options), urls ...string) []*gate {
	t.Helper()
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cookie.New(ring, "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	o := options("")
	var out []*gate
	for _, u := range urls {
		o.URL = u
		g := &gate{store: open(t, o)}
		mo := session.Options{Store: g.store, Sealer: sealer, Logger: quiet}
		if change != nil {
			change(&mo)
		}
		if g.Manager, err = session.NewManager(mo); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		out = append(out, g)
		eventually(t, "the feed is up", func() bool { return g.fresh() })
	}
	return out
}

func (g *gate) fresh() bool { return time.Now().Before(g.store.FreshUntil()) }

func (g *gate) create(t testing.TB, user string) (session.Key, string) {
	t.Helper()
	id := session.Identity{Provider: "local", UserID: user, Email: user + "@example.com", Roles: []string{"user"}}
	s, value, err := g.Create(context.Background(), id, session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s.Key, value
}

// begin begins a session on the first gate and gives every gate a copy, after
// all have heard of the creation: hearing of it later would drop the copy.
func begin(t testing.TB, gs []*gate) (session.Key, string) {
	t.Helper()
	var mu sync.Mutex
	heard := make([]map[session.Key]bool, len(gs))
	for i, g := range gs {
		heard[i] = map[session.Key]bool{}
		defer g.store.Watch(func(k session.Key) { mu.Lock(); defer mu.Unlock(); heard[i][k] = true })()
	}
	k, v := gs[0].create(t, "ana")
	eventually(t, "all gates have heard of the session", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !slices.ContainsFunc(heard, func(h map[session.Key]bool) bool { return !h[k] })
	})
	warm(t, gs, v)
	return k, v
}

// admits reports whether the gate lets a cookie in now, and why not.
func (g *gate) admits(value string) (bool, error) {
	_, err := g.ByCookies(context.Background(), []string{value}, time.Now())
	return err == nil, err
}

// warm gives every gate a copy.
func warm(t testing.TB, gs []*gate, value string) {
	t.Helper()
	for _, g := range gs {
		if ok, err := g.admits(value); !ok {
			t.Fatalf("a live session is refused: %v", err)
		}
	}
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("10 seconds on it does not hold that %s", what)
		}
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that is %q", err, want)
	}
}

// proxy is a way to a server that can stop forwarding without breaking a
// connection, as a network does that drops packets.
type proxy struct {
	url  string
	hole atomic.Bool
	mu   sync.Mutex
	open []net.Conn
}

func through(t testing.TB, s *redistest.Server) *proxy {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: (&url.URL{Scheme: "unix", Path: path}).String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial(s.Network, s.Addr)
			if err != nil {
				_ = c.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, c, up)
			p.mu.Unlock()
			all.Go(func() { p.copy(up, c) })
			all.Go(func() { p.copy(c, up) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
		all.Wait()
	})
	return p
}

// copy swallows what comes while the hole is open: bytes are lost for good, so
// such a connection never works again.
func (p *proxy) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	lost := false
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if lost = lost || p.hole.Load(); lost {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
}
