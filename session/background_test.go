package session_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// metric returns the value of a counter or gauge, by label value if it has one.
func metric(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

// run starts Run and returns what stops it and waits for its end.
func (r *rig) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func TestSessionInUseOutlivesItsIdleTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	for r.clock.Now().Before(s.ExpiresAt.Add(-50 * time.Minute)) {
		r.clock.Advance(50 * time.Minute)
		got, err := r.lookup(v)
		wantLive(t, got, err, s)
	}
	r.clock.Advance(50 * time.Minute)
	_, err := r.lookup(v)
	wantErr(t, err, session.ErrInvalid) // its absolute end holds all the same
}

func TestSessionOutOfUseEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, v := r.create(t)
	r.clock.Advance(time.Hour)
	_, err := r.lookup(v)
	wantErr(t, err, session.ErrInvalid)
}

func TestShortIdleTimesAreKeptAliveToo(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *session.Options) { o.Idle = 6 * time.Second })
	s, v := r.create(t)
	for range 10 {
		r.clock.Advance(4 * time.Second)
		got, err := r.lookup(v)
		wantLive(t, got, err, s)
	}
}

func TestTouchesAreWrittenSeldom(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	for range 3600 { // an hour of a request per second
		r.clock.Advance(time.Second)
		if _, err := r.lookup(v); err != nil {
			t.Fatal(err)
		}
	}
	r.run(t)() // writes what waits before it returns
	if n := r.store.touches.Load(); n != 20 {
		t.Errorf("%d touches in an hour of use with 1 h of idle time, want 20", n)
	}
	got, err := r.store.Store.Get(t.Context(), s.Key)
	if err != nil || !got.IdleExpiresAt.Equal(r.clock.Now().Add(time.Hour)) {
		t.Errorf("stored idle end %v, error %v", got.IdleExpiresAt, err)
	}
}

func TestTouchesBeyondTheQueueAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	r := newRig(t, func(o *session.Options) { o.Registerer, o.Lifetime = reg, 1000*time.Hour })
	_, v := r.create(t)
	for range 8192 + 5 { // nobody writes them
		r.clock.Advance(4 * time.Minute)
		if _, err := r.lookup(v); err != nil {
			break // once dropped, the copy is not believed to live on
		}
	}
	if n := metric(t, reg, "pomerium_session_touches_total", "dropped"); n < 1 {
		t.Error("no touch was counted as dropped")
	}
}

func TestAFailedTouchIsTriedAgain(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	r := newRig(t, func(o *session.Options) { o.Registerer, o.Logger = reg, slog.New(slog.DiscardHandler) })
	r.store.touched = make(chan session.Key)
	_, v := r.create(t)
	stop := r.run(t)
	r.clock.Advance(4 * time.Minute)
	if _, err := r.lookup(v); err != nil {
		t.Fatal(err)
	}
	<-r.store.touched // written
	r.store.failWith(session.ErrUnavailable)
	r.clock.Advance(4 * time.Minute)
	if _, err := r.lookup(v); err != nil {
		t.Fatal(err)
	}
	<-r.store.touched // failed
	r.store.failWith(nil)
	stop()
	if _, err := r.lookup(v); err != nil { // queues it again
		t.Fatal(err)
	}
	go func() { <-r.store.touched }()
	r.run(t)()
	if n := metric(t, reg, "pomerium_session_touches_total", "written"); n != 2 {
		t.Errorf("%v touches written, want 2", n)
	}
	if n := metric(t, reg, "pomerium_session_touches_total", "failed"); n != 1 {
		t.Errorf("%v touches failed, want 1", n)
	}
}

func TestRunCountsAndSweeps(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	r := newRig(t, func(o *session.Options) { o.Registerer, o.Housekeeping = reg, time.Millisecond })
	r.store.counted = make(chan struct{})
	r.create(t)
	_, err := r.RevokeUser(t.Context(), "ana")
	if err != nil {
		t.Fatal(err)
	}
	r.create(t)
	dead, _, err := r.Create(t.Context(), ana(), session.Browser, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	for range 3 { // at the start, after the changes, with the first sweep
		<-r.store.counted
	}
	cancel()
	for stopped := false; !stopped; {
		select {
		case <-r.store.counted:
		case <-done:
			stopped = true
		}
	}
	if n := metric(t, reg, "pomerium_active_sessions", ""); n != 1 {
		t.Errorf("active sessions: %v, want 1", n)
	}
	if n := metric(t, reg, "pomerium_sessions_created_total", "browser"); n != 3 {
		t.Errorf("created: %v, want 3", n)
	}
	if n := metric(t, reg, "pomerium_sessions_revoked_total", ""); n != 1 {
		t.Errorf("revoked: %v, want 1", n)
	}
	_, err = r.store.Store.Get(t.Context(), dead.Key)
	wantErr(t, err, session.ErrNotFound)
}
