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
	"github.com/neosc/gate/session/storetest"
)

func TestRevocationDuringAFrozenServerCountsOnceItIsMade(t *testing.T) {
	t.Parallel()
	s := server(t)
	gs := gates(t, s.URL, s.URL, s.URL)
	k, v := gs[0].SignIn(t, "ana")
	storetest.Warm(t, gs, v)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(session.FeedPromise)
	// Nobody is told that it is revoked …
	storetest.WantErr(t, gs[0].Revoke(t.Context(), k), session.ErrUnavailable)
	storetest.Eventually(t, "copies are no longer served", func() bool { return !gs[1].Fresh() && !gs[2].Fresh() })
	for _, g := range gs[1:] {
		if late := g.Store.FreshUntil().Sub(until); late > 0 {
			t.Errorf("copies were served %v after the last answered ping", late+session.FeedPromise)
		}
	}
	// … and everybody fails closed.
	for _, g := range gs[1:] {
		_, err := g.Admits(v)
		storetest.WantErr(t, err, session.ErrUnavailable)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "the server answers", func() bool { return gs[0].Revoke(t.Context(), k) == nil })
	for _, g := range gs {
		storetest.Eventually(t, "it is revoked everywhere", func() bool { _, err := g.Admits(v); return errors.Is(err, session.ErrInvalid) })
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
	gs := gates(t, s.URL, s.URL)
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
	storetest.Eventually(t, "people sign in", func() bool { return count() > 20 })
	for _, stop := range []func() error{s.Stop, s.Kill} {
		if err := errors.Join(stop(), s.Start()); err != nil {
			t.Fatal(err)
		}
		before := count()
		storetest.Eventually(t, "people sign in again", func() bool { return count() > before+20 })
	}
	cancel()
	wg.Wait()
	for _, v := range values {
		storetest.Warm(t, gs, v)
	}
}
