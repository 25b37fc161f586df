package storetest

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// outage: copies are served until the feed's promise is over, with a grace for
// longer, and nothing after that until the server is back.
func outage[B Backend](t *testing.T, b B, o Outage[B]) {
	gs := Gates(t, nil, b.Open(t, false))
	graceful := Gates(t, func(o *session.Options) { o.StaleGrace = time.Minute }, b.Open(t, false))
	_, value := Begin(t, gs)
	_, kept := Begin(t, graceful)
	_, token := newToken(t, gs, "ana")
	_, keptToken := newToken(t, graceful, "ana")
	g, until := gs[0], gs[0].Store.FreshUntil()
	harmed := make(chan error, 1)
	go func() { harmed <- o.Harm(b) }()
	for time.Until(until) > 50*time.Millisecond {
		for what, admits := range map[string]func() (bool, error){"session": func() (bool, error) { return g.Admits(value) }, "token": func() (bool, error) { return g.AdmitsToken(token) }} {
			if ok, err := admits(); !ok && time.Until(until) > 0 {
				t.Fatalf("a %s is refused %v before the second was over: %v", what, time.Until(until), err)
			}
		}
		time.Sleep(time.Millisecond)
	}
	if err := <-harmed; err != nil {
		t.Fatal(err)
	}
	Eventually(t, "copies are no longer served", func() bool { return !g.Fresh() && !graceful[0].Fresh() })
	_, err := g.Admits(value)
	WantErr(t, err, session.ErrUnavailable)
	_, err = g.AdmitsToken(token)
	WantErr(t, err, session.ErrUnavailable)
	if ok, err := graceful[0].Admits(kept); !ok {
		t.Errorf("a session is refused within the grace: %v", err)
	}
	if ok, err := graceful[0].AdmitsToken(keptToken); !ok {
		t.Errorf("a token is refused within the grace: %v", err)
	}
	if err := o.Mend(b); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the feed is up again", g.Fresh)
	if !o.Forgets {
		Warm(t, gs, value)
	}
	Eventually(t, "the server answers", func() bool { _, err := g.Admits(value); return !errors.Is(err, session.ErrUnavailable) })
	Eventually(t, "tokens are let in again", func() bool { ok, _ := g.AdmitsToken(token); return ok })
	Begin(t, gs)
}

// fillsThatRace: the feed goes on all the time, so that a copy that slipped in
// would stay.
func fillsThatRace(t *testing.T, gs []*Gate) {
	values := make([]string, 200)
	for i := range values {
		k, v := gs[0].SignIn(t, "ana")
		values[i] = v
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = gs[1].Admits(v) }) // fills
		Insist(t, func() error { return gs[0].Revoke(t.Context(), k) })
		wg.Wait()
	}
	Fence(t, gs[1].Store)
	for _, v := range values {
		if ok, _ := gs[1].Admits(v); ok {
			t.Fatal("a revoked session is still admitted")
		}
	}
}

// allEndBeforeTheirRecords: everybody's mark ends sessions on all gates, whenever
// their records are deleted, and none that begins after it.
func allEndBeforeTheirRecords(t *testing.T, gs []*Gate) {
	k, value := Begin(t, gs)
	s, err := gs[0].Store.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	marked := s.CreatedAt.Add(time.Millisecond)
	Insist(t, func() error {
		return gs[0].Store.SetMark(t.Context(), session.EveryoneMark(), marked, time.Now().Add(time.Hour))
	})
	began := time.Now()
	for i, g := range gs {
		for {
			asked := time.Since(began)
			ok, _ := g.Admits(value)
			if !ok {
				break
			}
			if asked > session.FeedPromise {
				t.Fatalf("gate %d admits after %v", i, asked)
			}
			runtime.Gosched()
		}
	}
	t.Logf("over on all gates after %v", time.Since(began))
	if _, err := gs[0].Store.Get(t.Context(), k); err != nil {
		t.Errorf("the record: %v", err)
	}
	for time.Now().Before(marked) {
		runtime.Gosched()
	}
	_, later := Begin(t, gs)
	Warm(t, gs, later)
	for _, g := range gs {
		if ok, err := g.Admits(value); ok || !errors.Is(err, session.ErrInvalid) {
			t.Errorf("the old session: %v, %v", ok, err)
		}
	}
}

// fillsThatRaceTheEndOfAll: records that were read before the mark was set leave
// no copy behind it.
func fillsThatRaceTheEndOfAll(t *testing.T, gs []*Gate) {
	for range 50 {
		k, v := gs[0].SignIn(t, "ana")
		s, err := gs[0].Store.Get(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		at := s.CreatedAt.Add(time.Millisecond)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = gs[1].Admits(v) }) // fills
		Insist(t, func() error {
			return gs[0].Store.SetMark(t.Context(), session.EveryoneMark(), at, time.Now().Add(time.Hour))
		})
		wg.Wait()
		Fence(t, gs[1].Store)
		if ok, _ := gs[1].Admits(v); ok {
			t.Fatal("a session is still admitted that began before all were ended")
		}
		for time.Now().Before(at) {
			runtime.Gosched()
		}
	}
}

func changedRoles(t *testing.T, gs []*Gate) {
	k, v := Begin(t, gs)
	Insist(t, func() error {
		_, err := gs[0].Update(t.Context(), k, func(id *session.Identity) error { id.Roles = []string{"admin"}; return nil })
		return err
	})
	Eventually(t, "the other gate knows the new role", func() bool {
		s, err := gs[1].ByCookies(t.Context(), []string{v}, time.Now())
		return err == nil && slices.Equal(s.Identity.Roles, []string{"admin"})
	})
}

func useDropsNothing(t *testing.T, gs []*Gate) {
	k, v := Begin(t, gs)
	told := make(map[session.Key]bool)
	var mu sync.Mutex
	defer gs[1].Store.Watch(func(k session.Key) { mu.Lock(); told[k] = true; mu.Unlock() })()
	s, err := gs[0].ByCookies(t.Context(), []string{v}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	mark := session.UserMark("ana")
	Insist(t, func() error { return gs[0].Store.Touch(t.Context(), k, s.IdleExpiresAt.Add(time.Minute)) })
	Insist(t, func() error { return gs[0].Store.SetMark(t.Context(), mark, time.Now(), time.Now().Add(time.Hour)) })
	Fence(t, gs[1].Store)
	mu.Lock()
	defer mu.Unlock()
	if told[k] || !told[mark] {
		t.Errorf("told of a touch: %v, want false; of a mark: %v, want true", told[k], told[mark])
	}
}

// LeavesNothingRunning opens stores and closes them. It must not run beside
// other tests.
func LeavesNothingRunning(t *testing.T, open ...func() (FeedStore, error)) {
	t.Helper()
	before := runtime.NumGoroutine()
	for range 3 {
		for _, f := range open {
			st, err := f()
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
	}
	Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
