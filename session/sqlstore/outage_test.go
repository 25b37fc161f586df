package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

func TestRevocationDuringAFrozenServerCountsOnceItIsMade(t *testing.T) {
	t.Parallel()
	s := server(t)
	gs := gates(t, nil, s.URL, s.URL, s.URL)
	k, v := gs[0].create(t, "ana")
	warm(t, gs, v)
	until := gs[1].store.FreshUntil()
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	// Nobody is told that it is revoked …
	wantErr(t, gs[0].Revoke(t.Context(), k), session.ErrUnavailable)
	eventually(t, "copies are no longer served", func() bool { return !gs[1].fresh() && !gs[2].fresh() })
	if late := time.Since(until); late > time.Second {
		t.Errorf("copies were served %v after the last answered ping", late+session.FeedPromise)
	}
	// … and everybody fails closed.
	for _, g := range gs[1:] {
		_, err := g.admits(v)
		wantErr(t, err, session.ErrUnavailable)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server answers", func() bool { return gs[0].Revoke(t.Context(), k) == nil })
	for _, g := range gs {
		eventually(t, "it is revoked everywhere", func() bool { _, err := g.admits(v); return errors.Is(err, session.ErrInvalid) })
	}
}

func TestGateThatLostPostgresServesCopiesForASecondAndRecovers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ harm, mend func(*pgtest.Server) error }{
		"Paused":  {(*pgtest.Server).Pause, (*pgtest.Server).Continue},
		"Stopped": {(*pgtest.Server).Stop, (*pgtest.Server).Start},
		"Killed":  {(*pgtest.Server).Kill, (*pgtest.Server).Start},
	}
	s := server(t) // one after another
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			g := gates(t, nil, s.URL)[0]
			_, v := g.create(t, "ana")
			warm(t, []*gate{g}, v)
			until := g.store.FreshUntil()
			harmed := make(chan error)
			go func() { harmed <- c.harm(s) }()
			for time.Until(until) > 50*time.Millisecond {
				if ok, err := g.admits(v); !ok {
					t.Fatalf("refused %v before the second was over: %v", time.Until(until), err)
				}
				time.Sleep(time.Millisecond)
			}
			if err := <-harmed; err != nil {
				t.Fatal(err)
			}
			eventually(t, "copies are no longer served", func() bool { return !g.fresh() })
			_, err := g.admits(v)
			wantErr(t, err, session.ErrUnavailable)
			if err := c.mend(s); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the feed is up again", g.fresh)
			warm(t, []*gate{g}, v) // sessions outlive the server's restart
		})
	}
}

func TestLostConnectionsCostNobodyAnAnswer(t *testing.T) {
	t.Parallel()
	db, name := admin(t, common.URL), "lost"
	url := schema(t) + "&application_name=" + name
	st := openPostgres(t, patient(url))
	if err := st.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var wg sync.WaitGroup // fills the pool
		for range sqlstore.DefaultConns {
			wg.Go(func() { _, _ = st.CountLive(t.Context(), base) })
		}
		wg.Wait()
		kill(t, db, name, everyone)
		for range 2 * sqlstore.DefaultConns {
			if _, err := st.Get(t.Context(), sample(1).Key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRestartInTheMiddleOfSignInsLosesNothingThatWasAnswered(t *testing.T) {
	t.Parallel()
	s := server(t)
	gs := gates(t, nil, s.URL, s.URL)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var values []string
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				id := session.Identity{Provider: "local", UserID: fmt.Sprint("u", i), Roles: []string{"user"}}
				if _, v, err := gs[i%2].Create(ctx, id, session.Browser, 0); err == nil {
					mu.Lock()
					values = append(values, v)
					mu.Unlock()
				} else if !errors.Is(err, session.ErrUnavailable) {
					t.Errorf("error %v, want one that is %q", err, session.ErrUnavailable)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(values) }
	eventually(t, "people sign in", func() bool { return count() > 20 })
	for _, stop := range []func() error{s.Stop, s.Kill} {
		if err := errors.Join(stop(), s.Start()); err != nil {
			t.Fatal(err)
		}
		before := count()
		eventually(t, "people sign in again", func() bool { return count() > before+20 })
	}
	cancel()
	wg.Wait()
	for _, v := range values {
		warm(t, gs, v)
	}
}
