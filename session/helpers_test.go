package session_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
)

var base = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

// clock is a clock that tests set.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(base.UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ns.Add(int64(d)) }

// spy is a store whose reads can be counted, held up and failed.
type spy struct {
	session.Store
	gets, touches atomic.Int64
	fail          atomic.Pointer[error]
	// onGet, if set, is called with what a Get has read, before it returns.
	onGet   func(*session.Session)
	counted chan struct{} // told of each CountLive, if not nil
	touched chan session.Key
}

func (s *spy) failWith(err error) {
	if err == nil {
		s.fail.Store(nil)
		return
	}
	s.fail.Store(&err)
}

func (s *spy) failing() error {
	if p := s.fail.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *spy) Get(ctx context.Context, k session.Key) (*session.Session, error) {
	s.gets.Add(1)
	if err := s.failing(); err != nil {
		return nil, err
	}
	got, err := s.Store.Get(ctx, k)
	if s.onGet != nil {
		s.onGet(got)
	}
	return got, err
}

func (s *spy) Touch(ctx context.Context, k session.Key, t time.Time) error {
	s.touches.Add(1)
	err := s.failing()
	if err == nil {
		err = s.Store.Touch(ctx, k, t)
	}
	if s.touched != nil {
		s.touched <- k
	}
	return err
}

func (s *spy) Delete(ctx context.Context, k session.Key) error {
	if err := s.failing(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, k)
}

func (s *spy) CountLive(ctx context.Context, now time.Time) (int, error) {
	n, err := s.Store.CountLive(ctx, now)
	if s.counted != nil {
		s.counted <- struct{}{}
	}
	return n, err
}

// shared is a spy with a feed, as a store that several processes share has it.
type shared struct {
	*spy
	mu    sync.Mutex
	watch func(session.Key)
	fresh atomic.Int64
}

func (s *shared) Watch(f func(session.Key)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watch = nil
	}
}

func (s *shared) FreshUntil() time.Time {
	if ns := s.fresh.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// rig is a manager with everything around it.
type rig struct {
	*session.Manager
	clock *clock
	store *spy
}

func ring(t testing.TB) *cookie.Ring {
	t.Helper()
	r, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newRig returns a manager over a spy on a memory store; change may alter the
// options before.
func newRig(t testing.TB, change func(*session.Options)) *rig {
	t.Helper()
	sealer, err := cookie.New(ring(t), "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{clock: newClock(), store: &spy{Store: memstore.New()}}
	o := session.Options{Store: r.store, Sealer: sealer, Clock: r.clock.Now, Idle: time.Hour}
	if change != nil {
		change(&o)
	}
	if r.Manager, err = session.NewManager(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func withFeed(r **shared) func(*session.Options) {
	return func(o *session.Options) {
		s := &shared{spy: o.Store.(*spy)}
		s.fresh.Store(base.Add(time.Second).UnixNano())
		*r, o.Store = s, s
	}
}

func ana() session.Identity {
	return session.Identity{Provider: "local", UserID: "ana", Email: "ana@example.com", EmailVerified: true,
		Roles: []string{"user"}, Claims: map[string]any{"sub": "ana"}, AMR: []string{"pwd"}}
}

func (r *rig) create(t testing.TB) (*session.Session, string) {
	t.Helper()
	s, v, err := r.Create(context.Background(), ana(), session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

// lookup finds the session of cookie values now.
func (r *rig) lookup(values ...string) (*session.Session, error) {
	return r.ByCookies(context.Background(), values, r.clock.Now())
}
