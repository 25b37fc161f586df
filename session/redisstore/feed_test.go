package redisstore_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/storetest"
	"github.com/neosc/gate/test/redistest"
)

// backend is a server of a test's own, and a way to it that can be cut.
type backend struct {
	*redistest.Server
	proxy *storetest.Proxy
	o     redisstore.Options
}

func newBackend(t testing.TB) *backend {
	t.Helper()
	s := server(t)
	dir, err := os.MkdirTemp("", "redisproxy") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &backend{s, storetest.NewProxy(t, filepath.Join(dir, "p"), s.Network, s.Addr), options(s.URL)}
}

func (b *backend) Open(t testing.TB, far bool) storetest.FeedStore {
	t.Helper()
	o := b.o
	if far {
		o.URL = (&url.URL{Scheme: "unix", Path: b.proxy.Path()}).String()
	}
	return open(t, o)
}

func TestFeedKeepsTheContract(t *testing.T) {
	storetest.RunFeed(t, storetest.Feeds[*backend]{
		New: newBackend,
		Harms: map[string]func(*testing.T, *backend){
			"FeedIsHealthy": func(*testing.T, *backend) {},
			"FeedIsKilledJustBefore": func(t *testing.T, b *backend) {
				if _, err := b.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal"); err != nil {
					t.Fatal(err)
				}
			},
			"FeedIsBlackholedJustBefore": func(_ *testing.T, b *backend) { b.proxy.Hole.Store(true) },
		},
		NewServer: newBackend,
		Outages: map[string]storetest.Outage[*backend]{
			"Paused":  {Harm: (*backend).Pause, Mend: (*backend).Continue},
			"Stopped": {Harm: (*backend).Stop, Mend: (*backend).Start, Forgets: true},
		},
	})
}

func TestWhatTheServerForgetsIsForgotten(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, *redistest.Server) error{
		"Flush": func(t *testing.T, s *redistest.Server) error {
			_, err := s.Do(t.Context(), "FLUSHALL")
			return err
		},
		"Restart": func(_ *testing.T, s *redistest.Server) error { return errors.Join(s.Stop(), s.Start()) },
	}
	for name, forget := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			gs := gates(t, s.URL, s.URL)
			_, v := storetest.Begin(t, gs)
			if err := forget(t, s); err != nil {
				t.Fatal(err)
			}
			for _, g := range gs {
				storetest.Eventually(t, "the session is over", func() bool { _, err := g.Admits(v); return errors.Is(err, session.ErrInvalid) })
			}
		})
	}
}

func TestFeedWantsAMaster(t *testing.T) {
	t.Parallel()
	master, err := redistest.TCP()
	started(t, master, err)
	o := options(replicaOf(t, master).URL)
	st := open(t, o)
	o.URL = master.URL
	direct := open(t, o)
	storetest.Eventually(t, "the master's feed is up", func() bool { return !direct.FreshUntil().IsZero() })
	if !st.FreshUntil().IsZero() {
		t.Error("a replica's word was taken for what the master knows")
	}
}

func TestNothingIsLeftRunningAfterClose(t *testing.T) {
	here, nobody := options(common.URL), options("redis://127.0.0.1:1")
	storetest.LeavesNothingRunning(t,
		func() (storetest.FeedStore, error) { return redisstore.Open(here) },
		func() (storetest.FeedStore, error) { return redisstore.Open(nobody) })
}

func BenchmarkLookup(b *testing.B) {
	gs := gates(b, common.URL)
	_, v := storetest.Begin(b, gs)
	now, values := time.Now(), []string{v}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gs[0].ByCookies(b.Context(), values, now); err != nil {
			b.Fatal(err)
		}
	}
}
