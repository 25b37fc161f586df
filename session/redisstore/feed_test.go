package redisstore_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/redisstore/redistest"
)

// admittedUntil looks a cookie up on each gate without pause for a while and
// returns the age, since the revocation, of the last lookup that was let in.
// Lookups count from their beginning.
func admittedUntil(gs []*gate, value string, revoked time.Time, watch time.Duration) time.Duration {
	last := make([]time.Duration, len(gs))
	var wg sync.WaitGroup
	for i, g := range gs {
		wg.Go(func() {
			for {
				began := time.Now()
				age := began.Sub(revoked)
				if age > watch {
					return
				}
				if ok, _ := g.admits(value); ok {
					last[i] = age
				}
				time.Sleep(200 * time.Microsecond)
			}
		})
	}
	wg.Wait()
	return slices.Max(last)
}

func TestRevocationReachesOtherGatesInMilliseconds(t *testing.T) {
	gs := gates(t, nil, common.URL, common.URL, common.URL)
	var took []time.Duration
	for i := range 200 {
		k, v := begin(t, gs)
		began := time.Now()
		if err := gs[i%3].Revoke(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		for _, g := range gs {
			for {
				ok, err := g.admits(v)
				if !ok {
					wantErr(t, err, session.ErrInvalid)
					break
				}
				if time.Since(began) > time.Second {
					t.Fatal("a session is admitted a second after it was revoked")
				}
				runtime.Gosched()
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("revoked on one of three gates, dead on all: p50 %v, p99 %v, max %v", took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

func TestRevokedSessionIsDeadWithinASecond(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, *redistest.Server, *proxy){
		"FeedIsHealthy": func(*testing.T, *redistest.Server, *proxy) {},
		"FeedIsKilledJustBefore": func(t *testing.T, s *redistest.Server, _ *proxy) {
			if _, err := s.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal"); err != nil {
				t.Fatal(err)
			}
		},
		"FeedIsBlackholedJustBefore": func(_ *testing.T, _ *redistest.Server, p *proxy) { p.hole.Store(true) },
	}
	for name, harm := range tests {
		for i := range 2 {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				t.Parallel()
				s := server(t)
				p := through(t, s)
				gs := gates(t, nil, s.URL, p.url, p.url)
				k, v := begin(t, gs)
				time.Sleep(time.Duration(i) * 130 * time.Millisecond) // another point between two pings
				harm(t, s, p)
				var err error
				for range 3 { // its own connections may have been killed as well
					if err = gs[0].Revoke(t.Context(), k); err == nil {
						break
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				revoked := time.Now()
				last := admittedUntil(gs[1:], v, revoked, 1300*time.Millisecond)
				t.Logf("last admitted %v after", last)
				if last > time.Second {
					t.Errorf("admitted %v after the revocation", last)
				}
			})
		}
	}
}

func TestGateThatLostTheServerServesCopiesForASecondAndRecovers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ harm, mend func(*redistest.Server) error }{
		"Paused":  {(*redistest.Server).Pause, (*redistest.Server).Continue},
		"Stopped": {(*redistest.Server).Stop, (*redistest.Server).Start},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			gs := gates(t, nil, s.URL)
			g := gs[0]
			_, v := begin(t, gs)
			until := g.store.FreshUntil()
			if err := c.harm(s); err != nil {
				t.Fatal(err)
			}
			for time.Until(until) > 50*time.Millisecond {
				if ok, err := g.admits(v); !ok {
					t.Fatalf("refused %v before the second was over: %v", time.Until(until), err)
				}
				time.Sleep(time.Millisecond)
			}
			eventually(t, "copies are no longer served", func() bool { return !g.fresh() })
			_, err := g.admits(v)
			wantErr(t, err, session.ErrUnavailable)
			if err := c.mend(s); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the feed is up again", g.fresh)
			eventually(t, "the server answers", func() bool { _, err := g.admits(v); return !errors.Is(err, session.ErrUnavailable) })
			begin(t, gs)
		})
	}
}

func TestStaleGraceServesCopiesWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	s := server(t)
	gs := gates(t, func(o *session.Options) { o.StaleGrace = time.Minute }, s.URL)
	_, v := begin(t, gs)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second is over", func() bool { return !gs[0].fresh() })
	warm(t, gs, v)
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
			gs := gates(t, nil, s.URL, s.URL)
			_, v := begin(t, gs)
			if err := forget(t, s); err != nil {
				t.Fatal(err)
			}
			for _, g := range gs {
				eventually(t, "the session is over", func() bool { _, err := g.admits(v); return errors.Is(err, session.ErrInvalid) })
			}
		})
	}
}

func TestFillsThatRaceARevocationLose(t *testing.T) {
	t.Parallel()
	gs := gates(t, nil, common.URL, common.URL)
	values := make([]string, 300)
	for i := range values {
		k, v := gs[0].create(t, "ana")
		values[i] = v
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = gs[1].admits(v) }) // fills
		if err := gs[0].Revoke(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
	// The feed goes on all the time, so a copy that slipped in would stay.
	last, v := begin(t, gs)
	if err := gs[0].Revoke(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last revocation has come", func() bool { ok, _ := gs[1].admits(v); return !ok })
	for _, v := range values {
		if ok, _ := gs[1].admits(v); ok {
			t.Fatal("a revoked session is still admitted")
		}
	}
}

func TestChangedRolesReachOtherGates(t *testing.T) {
	t.Parallel()
	gs := gates(t, nil, common.URL, common.URL)
	k, v := begin(t, gs)
	if _, err := gs[0].Update(t.Context(), k, func(id *session.Identity) error { id.Roles = []string{"admin"}; return nil }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other gate knows the new role", func() bool {
		s, err := gs[1].ByCookies(t.Context(), []string{v}, time.Now())
		return err == nil && slices.Equal(s.Identity.Roles, []string{"admin"})
	})
}

func TestUseDropsNoCopies(t *testing.T) {
	t.Parallel()
	st := open(t, options(common.URL))
	var told []session.Key
	var mu sync.Mutex
	stop := st.Watch(func(k session.Key) { mu.Lock(); told = append(told, k); mu.Unlock() })
	defer stop()
	seen := func(k session.Key) bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(told, k) }
	eventually(t, "the feed is up", func() bool { return !st.FreshUntil().IsZero() })
	first, second := sample(1, "ana", time.Now()), sample(2, "ana", time.Now())
	for _, s := range []*session.Session{first, second} {
		if err := st.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the creation is told", func() bool { return seen(s.Key) })
	}
	mu.Lock()
	told = nil
	mu.Unlock()
	if err := st.Touch(t.Context(), first.Key, first.IdleExpiresAt.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := st.Delete(t.Context(), second.Key); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deletion is told", func() bool { return seen(second.Key) })
	if seen(first.Key) {
		t.Error("a touch dropped the copies of other gates")
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
	eventually(t, "the master's feed is up", func() bool { return !direct.FreshUntil().IsZero() })
	if !st.FreshUntil().IsZero() {
		t.Error("a replica's word was taken for what the master knows")
	}
}

func TestNothingIsLeftRunningAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 10 {
		o := options(common.URL)
		if i%2 == 1 {
			o.URL = "redis://127.0.0.1:1" // nobody listens
		}
		st, err := redisstore.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = st.CountLive(t.Context(), time.Now())
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if !st.FreshUntil().IsZero() {
			t.Error("a closed feed says that copies are fresh")
		}
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

func BenchmarkLookup(b *testing.B) {
	gs := gates(b, nil, common.URL)
	_, v := begin(b, gs)
	now, values := time.Now(), []string{v}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gs[0].ByCookies(b.Context(), values, now); err != nil {
			b.Fatal(err)
		}
	}
}
