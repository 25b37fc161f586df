package bearer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
	"github.com/neosc/gate/session/claims"
	"github.com/neosc/gate/session/memstore"
)

// hall is a store that several gates share, with the feed of one of them.
type hall struct {
	*memstore.Store
	fresh atomic.Int64 // unix ns
	away  atomic.Bool
	reads atomic.Int64

	mu    sync.Mutex
	watch func(session.Key)
}

func (h *hall) Watch(f func(session.Key)) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watch = f
	return func() {}
}

func (h *hall) FreshUntil() time.Time { return time.Unix(0, h.fresh.Load()) }

func (h *hall) tell(k session.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watch(k)
}

func (h *hall) GetMarks(ctx context.Context, keys ...session.Key) ([]time.Time, error) {
	h.reads.Add(1)
	if h.away.Load() {
		return nil, fmt.Errorf("%w: a test", session.ErrUnavailable)
	}
	return h.Store.GetMarks(ctx, keys...)
}

// marked is a rig whose marks other gates may set.
func marked(t testing.TB, grace time.Duration) (*rig, *hall) {
	t.Helper()
	h := &hall{Store: memstore.New()}
	h.fresh.Store(base.Add(time.Second).UnixNano())
	r := newRig(t, func(o *bearer.Options) {
		m, err := session.NewMarkCopies(session.MarkOptions{Marks: h, Clock: o.Clock, StaleGrace: grace})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		o.Marks = m
	})
	return r, h
}

func TestMarksOfOtherGatesEndTokens(t *testing.T) {
	for name, key := range map[string]func(*rig, string) session.Key{
		"OfTheUser":  func(r *rig, _ string) session.Key { return session.UserMark(claims.UserID(r.idp.URL, "7")) },
		"OfTheToken": func(_ *rig, token string) session.Key { return session.TokenMark(bearer.Key(token)) },
		"OfEveryone": func(*rig, string) session.Key { return session.EveryoneMark() },
	} {
		t.Run(name, func(t *testing.T) {
			r, h := marked(t, 0)
			token := r.token(t, nil)
			r.accept(t, token)
			later := r.token(t, map[string]any{"iat": base.Unix(), "jti": "t2"})
			if err := h.SetMark(t.Context(), key(r, token), base, base.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			h.tell(key(r, token))
			r.refuse(t, token, "denied")
			r.accept(t, later) // it was issued after the mark
			fresh, _ := marked(t, 0)
			fresh.accept(t, fresh.token(t, nil)) // another store's marks
		})
	}
}

// TestAProviderWhoseClockIsAheadSavesNoToken: what was here before the mark was
// issued before it, whatever it says.
func TestAProviderWhoseClockIsAheadSavesNoToken(t *testing.T) {
	r, h := marked(t, 0)
	ahead := map[string]any{"iat": base.Add(20 * time.Second).Unix(), "nbf": base.Unix()}
	token := r.token(t, ahead)
	r.accept(t, token)
	r.clock.Advance(500 * time.Millisecond)
	key := session.EveryoneMark()
	if err := h.SetMark(t.Context(), key, r.clock.Now(), base.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.tell(key)
	r.refuse(t, token, "denied")
	ahead["jti"] = "t2"
	r.accept(t, r.token(t, ahead)) // it came after the mark
}

func TestAMarkOutlivesTheGate(t *testing.T) {
	r, h := marked(t, 0)
	if err := h.SetMark(t.Context(), session.UserMark(claims.UserID(r.idp.URL, "7")), base, base.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.refuse(t, r.token(t, nil), "denied") // nobody has told of it
}

func TestKnownTokensCostNoReadWhileTheFeedIsFresh(t *testing.T) {
	r, h := marked(t, 0)
	token := r.token(t, nil)
	r.accept(t, token)
	before := h.reads.Load()
	if n := testing.AllocsPerRun(100, func() { _, _ = r.ask(token) }); n != 0 {
		t.Errorf("%v allocations for a known token, want none", n)
	}
	if n := h.reads.Load() - before; n != 0 {
		t.Errorf("%d reads of the store, want none", n)
	}
	h.tell(session.UserMark("somebody else"))
	r.accept(t, token)
	if n := h.reads.Load() - before; n != 0 {
		t.Errorf("%d reads after another's mark, want none", n)
	}
}

func TestTokensFailClosedWhenMarksCannotBeTold(t *testing.T) {
	r, h := marked(t, 0)
	token := r.token(t, nil)
	r.accept(t, token)
	h.away.Store(true)
	r.accept(t, token) // fresh still: whatever was set would have been told
	r.clock.Advance(time.Second)
	r.unavailable(t, token)
	r.unavailable(t, r.token(t, map[string]any{"jti": "t2"}))
	h.away.Store(false)
	r.accept(t, token)
}

func TestStaleGraceHoldsForTokensToo(t *testing.T) {
	r, h := marked(t, 10*time.Second)
	token := r.token(t, nil)
	r.accept(t, token)
	h.away.Store(true)
	r.clock.Advance(10 * time.Second)
	r.accept(t, token)
	r.clock.Advance(time.Second)
	r.unavailable(t, token)
}

// TestAMarkIsNeverMissed has marks set while tokens are asked about: from when
// one was told no request may pass.
func TestAMarkIsNeverMissed(t *testing.T) {
	r, h := marked(t, 0)
	for i := range 50 {
		token := r.token(t, map[string]any{"jti": fmt.Sprint(i), "sub": fmt.Sprint(i)})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 20 {
					_, _ = r.ask(token)
				}
			})
		}
		key := session.UserMark(claims.UserID(r.idp.URL, fmt.Sprint(i)))
		if err := h.SetMark(t.Context(), key, base, base.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		h.tell(key)
		r.refuse(t, token, "denied")
		all.Wait()
		r.refuse(t, token, "denied")
	}
}
