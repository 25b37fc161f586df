package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

// common is a server that tests share which do it no harm; each has a schema of
// its own.
var common *pgtest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of what is tested here is waiting.
	if p := flag.Lookup("test.parallel"); p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", strconv.Itoa(max(6, runtime.GOMAXPROCS(0))))
	}
	var err error
	if common, err = pgtest.New("fsync=off"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := ordinaryRole(common.URL); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, common.Close()))
		os.Exit(1)
	}
	code := m.Run()
	_ = common.Close()
	os.Exit(code)
}

// ordinaryRole makes the role that gates connect as: it owns its schema and may
// nothing else.
func ordinaryRole(url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg)
	_, err = db.Exec(`CREATE ROLE gate LOGIN`)
	return errors.Join(err, db.Close())
}

var base = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

var quiet = slog.New(slog.DiscardHandler)

// server starts a Postgres of the test's own, which it may stop and pause.
func server(t testing.TB) *pgtest.Server {
	t.Helper()
	s, err := common.Another("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// admin is a connection for what gates do not do.
func admin(t testing.TB, url string) *sql.DB {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func do(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

var schemas atomic.Int64

// schema makes a new schema in common's database and returns a URL that names
// it, for the role gate.
func schema(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", schemas.Add(1))
	db := admin(t, common.URL)
	do(t, db, `CREATE SCHEMA `+name+` AUTHORIZATION gate`)
	_ = db.Close()
	return asGate(common.URL) + "&search_path=" + name
}

func asGate(url string) string { return strings.Replace(url, "//postgres@", "//gate@", 1) }

// patient are options for tests in which nothing breaks: on a busy machine
// half a second is little.
func patient(url string) sqlstore.PostgresOptions {
	return sqlstore.PostgresOptions{URL: url, Timeout: 5 * time.Second, Logger: quiet}
}

func openPostgres(t testing.TB, o sqlstore.PostgresOptions) *sqlstore.PostgresStore {
	t.Helper()
	st, err := sqlstore.OpenPostgres(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// gate is one process of several: a manager with a store of its own.
type gate struct {
	*session.Manager
	store *sqlstore.PostgresStore
}

// gates returns one gate for each URL, all with one key ring. change may alter
// the options of the managers.
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
	var out []*gate
	for _, u := range urls {
		g := &gate{store: openPostgres(t, sqlstore.PostgresOptions{URL: u, Logger: quiet})}
		o := session.Options{Store: g.store, Sealer: sealer, Logger: quiet}
		if change != nil {
			change(&o)
		}
		if g.Manager, err = session.NewManager(o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		out = append(out, g)
		eventually(t, "the feed is up", g.fresh)
	}
	return out
}

func (g *gate) fresh() bool { return time.Now().Before(g.store.FreshUntil()) }

func (g *gate) create(t testing.TB, user string) (session.Key, string) {
	t.Helper()
	id := session.Identity{Provider: "local", UserID: user, Email: user + "@example.com", Roles: []string{"user"}}
	var (
		s     *session.Session
		value string
		err   error
	)
	// On a busy machine half a second may pass, once.
	for range 3 {
		if s, value, err = g.Create(context.Background(), id, session.Browser, 0); err == nil {
			return s.Key, value
		}
	}
	t.Fatal(err)
	return session.Key{}, ""
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
		eventually(t, "a live session is let in", func() bool { ok, _ := g.admits(value); return ok && g.fresh() })
	}
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("15 seconds on it does not hold that %s", what)
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

func through(t testing.TB, s *pgtest.Server) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgproxy") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, filepath.Base(s.Socket)))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: pgtest.URL(dir)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("unix", s.Socket)
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
		_ = os.RemoveAll(dir)
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
