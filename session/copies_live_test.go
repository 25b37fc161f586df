package session_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func TestCopiesSpareTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	for range 100 {
		got, err := r.lookup(v)
		wantLive(t, got, err, s)
	}
	if n := r.store.gets.Load(); n != 1 {
		t.Errorf("%d reads of the store for 100 lookups, want 1", n)
	}
	r.store.failWith(session.ErrUnavailable)
	got, err := r.lookup(v)
	wantLive(t, got, err, s) // a store without a feed is this process's own
}

func TestCopiesAreServedOnlyWhileTheFeedIsAlive(t *testing.T) {
	t.Parallel()
	var feed *shared
	r := newRig(t, withFeed(&feed))
	s, v := r.create(t)
	for range 3 {
		got, err := r.lookup(v)
		wantLive(t, got, err, s)
	}
	if n := r.store.gets.Load(); n != 1 {
		t.Errorf("%d reads while the feed is alive, want 1", n)
	}
	r.clock.Advance(time.Second) // the very instant at which freshness ends
	got, err := r.lookup(v)
	wantLive(t, got, err, s)
	if n := r.store.gets.Load(); n != 2 {
		t.Errorf("%d reads, want another one once the feed is silent", n)
	}
	feed.fresh.Store(0)
	r.store.failWith(session.ErrUnavailable)
	_, err = r.lookup(v)
	wantErr(t, err, session.ErrUnavailable)
}

func TestRequestsOwnInstantDoesNotMakeACopyFresh(t *testing.T) {
	t.Parallel()
	var feed *shared
	r := newRig(t, withFeed(&feed))
	_, v := r.create(t)
	if _, err := r.lookup(v); err != nil {
		t.Fatal(err)
	}
	r.store.failWith(session.ErrUnavailable)
	r.clock.Advance(time.Minute) // the process was stopped in the middle of a request
	_, err := r.ByCookies(t.Context(), []string{v}, base)
	wantErr(t, err, session.ErrUnavailable)
}

func TestFeedTellsOfOthersRevocations(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]func(session.Key) session.Key{
		"ItsKey":     func(k session.Key) session.Key { return k },
		"Everything": func(session.Key) session.Key { return session.Key{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var feed *shared
			r := newRig(t, withFeed(&feed))
			s, v := r.create(t)
			if _, err := r.lookup(v); err != nil {
				t.Fatal(err)
			}
			if err := r.store.Store.Delete(t.Context(), s.Key); err != nil { // another process
				t.Fatal(err)
			}
			feed.watch(told(s.Key))
			_, err := r.lookup(v)
			wantErr(t, err, session.ErrInvalid)
		})
	}
}

func TestStaleGraceServesCopiesWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	var feed *shared
	r := newRig(t, func(o *session.Options) { withFeed(&feed)(o); o.StaleGrace = 10 * time.Second })
	s, v := r.create(t)
	_, unseen := r.create(t)
	if _, err := r.lookup(v); err != nil {
		t.Fatal(err)
	}
	r.store.failWith(session.ErrUnavailable)
	feed.fresh.Store(0)
	r.clock.Advance(10 * time.Second)
	got, err := r.lookup(v)
	wantLive(t, got, err, s)
	_, err = r.lookup(unseen)
	wantErr(t, err, session.ErrUnavailable)
	r.clock.Advance(time.Second) // 1 s of freshness and 10 s of grace are over
	_, err = r.lookup(v)
	wantErr(t, err, session.ErrUnavailable)
}

func TestStaleGraceDoesNotOutvoteTheStore(t *testing.T) {
	t.Parallel()
	var feed *shared
	r := newRig(t, func(o *session.Options) { withFeed(&feed)(o); o.StaleGrace = time.Hour })
	s, v := r.create(t)
	if _, err := r.lookup(v); err != nil {
		t.Fatal(err)
	}
	feed.fresh.Store(0)
	if err := r.store.Store.Delete(t.Context(), s.Key); err != nil {
		t.Fatal(err)
	}
	_, err := r.lookup(v)
	wantErr(t, err, session.ErrInvalid)
}

func TestAFillThatRacesARevocationLoses(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	read, goOn := make(chan struct{}), make(chan struct{})
	var held atomic.Bool // the first read only
	r.store.onGet = func(*session.Session) {
		if held.CompareAndSwap(false, true) {
			close(read)
			<-goOn
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = r.lookup(v) }) // began before the revocation: may see it or not
	<-read
	if err := r.Revoke(t.Context(), s.Key); err != nil {
		t.Fatal(err)
	}
	// One that begins after it neither joins the read that is under way …
	_, err := r.lookup(v)
	wantErr(t, err, session.ErrInvalid)
	close(goOn)
	wg.Wait()
	// … nor finds what that read has brought.
	_, err = r.lookup(v)
	wantErr(t, err, session.ErrInvalid)
}

func TestMissesOfOneSessionShareARead(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	goOn := make(chan struct{})
	r.store.onGet = func(*session.Session) { <-goOn }
	first, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := r.ByCookies(first, []string{v}, base)
		gone <- err
	}()
	cancel() // the first goes away; the others must not suffer
	wantErr(t, <-gone, session.ErrUnavailable)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := r.lookup(v)
			wantLive(t, got, err, s)
		})
	}
	close(goOn)
	wg.Wait()
	if n := r.store.gets.Load(); n > 2 {
		t.Errorf("%d reads of the store, want one or two", n)
	}
}

func TestStoreTroubleFailsClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	for _, err := range []error{session.ErrUnavailable, errors.New("odd")} {
		r.store.failWith(err)
		_, got := r.lookup(v)
		wantErr(t, got, session.ErrUnavailable)
	}
	// With one credential that cannot be told, none can be chosen.
	r.store.failWith(nil)
	_, other := r.create(t)
	if _, err := r.lookup(v); err != nil {
		t.Fatal(err)
	}
	r.store.failWith(session.ErrUnavailable)
	_, err := r.lookup(v, other)
	wantErr(t, err, session.ErrUnavailable)
	// A revocation that failed says so, and its copy is not served on.
	wantErr(t, r.Revoke(t.Context(), s.Key), session.ErrUnavailable)
	_, err = r.lookup(v)
	wantErr(t, err, session.ErrUnavailable)
}

func TestAPanicOfTheStoreCostsOneRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *session.Options) { o.Logger = slog.New(slog.DiscardHandler) })
	s, v := r.create(t)
	r.store.onGet = func(*session.Session) { panic("broken driver") }
	_, err := r.lookup(v)
	wantErr(t, err, session.ErrUnavailable)
	r.store.onGet = nil
	got, err := r.lookup(v)
	wantLive(t, got, err, s)
}
