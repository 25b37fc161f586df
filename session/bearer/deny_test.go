package bearer_test

import (
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
