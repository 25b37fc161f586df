package bearer_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session/bearer"
	"github.com/neosc/gate/session/claims"
)

func TestDeniedTokens(t *testing.T) {
	for name, deny := range map[string]func(*rig, string) error{
		"ByKey":  func(r *rig, token string) error { return r.Deny(bearer.Key(token), base.Add(time.Hour)) },
		"ByID":   func(r *rig, _ string) error { return r.DenyID(r.idp.URL, "t1", base.Add(time.Hour)) },
		"Always": func(r *rig, token string) error { return r.Deny(bearer.Key(token), time.Time{}) },
		"ByUser": func(r *rig, _ string) error { r.DenyUser(claims.UserID(r.idp.URL, "7"), base); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			for _, known := range []bool{true, false} {
				r := newRig(t, nil)
				token := r.token(t, nil)
				other := r.token(t, map[string]any{"jti": "t2", "sub": "8"})
				if known {
					r.accept(t, token)
				}
				s := r.accept(t, other)
				if err := deny(r, token); err != nil {
					t.Fatal(err)
				}
				r.refuse(t, token, "denied")
				r.refuse(t, token, "denied")
				if r.accept(t, other) != s {
					t.Error("another token was verified anew")
				}
			}
		})
	}
}

func TestATokenIssuedAfterItsUserWasDeniedCounts(t *testing.T) {
	r := newRig(t, nil)
	r.DenyUser(claims.UserID(r.idp.URL, "7"), base)
	r.refuse(t, r.token(t, nil), "denied")
	r.refuse(t, r.token(t, map[string]any{"iat": nil}), "denied")
	r.accept(t, r.token(t, map[string]any{"iat": base.Unix()}))
	r.DenyUser(claims.UserID(r.idp.URL, "7"), base.Add(-time.Hour)) // an older mark takes nothing back
	r.refuse(t, r.token(t, nil), "denied")
}

// marks are not-before marks as a store keeps them.
type marks struct {
	at  atomic.Int64 // unix ns, for everybody
	err atomic.Bool
}

func (m *marks) NotBefore(string) (time.Time, error) {
	if m.err.Load() {
		return time.Time{}, errors.New("the store is away")
	}
	if ns := m.at.Load(); ns != 0 {
		return time.Unix(0, ns), nil
	}
	return time.Time{}, nil
}

func TestNotBeforeIsLookedAtWithEveryRequest(t *testing.T) {
	m := &marks{}
	r := newRig(t, func(o *bearer.Options) { o.NotBefore = m })
	token := r.token(t, nil)
	s := r.accept(t, token)
	m.err.Store(true)
	r.unavailable(t, token)
	r.unavailable(t, r.token(t, map[string]any{"jti": "t2"}))
	m.err.Store(false)
	if r.accept(t, token) != s {
		t.Error("verified anew")
	}
	m.at.Store(base.UnixNano())
	r.refuse(t, token, "denied")
	after := r.token(t, map[string]any{"iat": base.Unix()})
	r.accept(t, after)
	if n := testing.AllocsPerRun(100, func() { _, _ = r.ask(after) }); n != 0 {
		t.Errorf("%v allocations for a known token, want none", n)
	}
}

func TestEveryTokenEndsAtItsTime(t *testing.T) {
	r := newRig(t, nil)
	token := r.token(t, nil)
	r.accept(t, token)
	r.clock.Advance(time.Hour - time.Nanosecond)
	r.accept(t, token)
	r.clock.Advance(time.Nanosecond)
	r.refuse(t, token, "expired")
}

func TestDenyTakesOnlyWhatCanBeNamed(t *testing.T) {
	r := newRig(t, nil)
	if r.DenyID("", "t", time.Time{}) == nil || r.DenyID("i", "", time.Time{}) == nil {
		t.Error("an empty name was taken")
	}
}

// TestADenialIsNeverMissed denies tokens while they are asked about from
// everywhere: from the return of Deny on no request may pass.
func TestADenialIsNeverMissed(t *testing.T) {
	r := newRig(t, nil)
	tokens := make([]string, 40)
	for i := range tokens {
		tokens[i] = r.token(t, map[string]any{"jti": fmt.Sprint(i)})
	}
	var denied [40]atomic.Bool
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; ; i = (i + 1) % len(tokens) {
				select {
				case <-stop:
					return
				default:
				}
				was := denied[i].Load()
				if _, err := r.ask(tokens[i]); err == nil && was {
					t.Errorf("token %d passed after it was denied", i)
					return
				}
			}
		})
	}
	for i, token := range tokens {
		if err := r.Deny(bearer.Key(token), base.Add(time.Hour)); err != nil {
			t.Error(err)
		}
		denied[i].Store(true)
	}
	close(stop)
	wg.Wait()
	for _, token := range tokens {
		r.refuse(t, token, "denied")
	}
}
