package session_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
)

func newTokenRig(t *testing.T) (*rig, *trail) {
	t.Helper()
	kept := &trail{}
	r := newRig(t, func(o *session.Options) {
		keys := ring(t)
		o.Audit = kept
		for purpose, to := range map[string]*session.Sealer{"session": &o.Sealer, "refresh token": &o.Refreshes} {
			s, err := cookie.New(keys, "_pomerium", purpose)
			if err != nil {
				t.Fatal(err)
			}
			*to = s
		}
	})
	return r, kept
}

func (r *rig) begin(t *testing.T) session.Tokens {
	t.Helper()
	tokens, err := r.BeginTokens(t.Context(), session.Draft{Identity: ana(), SignIn: session.ActionLogin})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func (r *rig) opens(t *testing.T, token string) bool {
	t.Helper()
	_, err := r.ByBearer(t.Context(), token, r.clock.Now())
	if err != nil && !errors.Is(err, session.ErrInvalid) {
		t.Fatal(err)
	}
	return err == nil
}

func TestAnAccessTokenHoldsForHalfAnHour(t *testing.T) {
	t.Parallel()
	r, _ := newTokenRig(t)
	first := r.begin(t)
	if !r.opens(t, first.Access) || !first.AccessUntil.Equal(base.Add(30*time.Minute)) || first.Session.Kind != session.Bearer {
		t.Fatalf("%+v", first)
	}
	if _, err := r.lookup(first.Access); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("as a cookie: %v", err)
	}
	for what, token := range map[string]string{"the refresh token": first.Refresh, "junk": "junk"} {
		if r.opens(t, token) {
			t.Errorf("%s is an access token", what)
		}
	}
	r.clock.Advance(30*time.Minute - time.Second)
	if !r.opens(t, first.Access) {
		t.Error("it ended before its time")
	}
	r.clock.Advance(time.Second)
	if r.opens(t, first.Access) {
		t.Error("it holds for longer")
	}
	next, err := r.RefreshTokens(t.Context(), first.Refresh)
	if err != nil || !r.opens(t, next.Access) || r.opens(t, first.Access) || next.Session.Key != first.Session.Key {
		t.Fatalf("%+v %v", next, err)
	}
}

func TestARefreshTokenThatComesTwiceEndsTheSession(t *testing.T) {
	t.Parallel()
	r, kept := newTokenRig(t)
	first := r.begin(t)
	second, err := r.RefreshTokens(t.Context(), first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.RefreshTokens(t.Context(), first.Refresh); !errors.Is(err, session.ErrInvalid) || !errors.Is(err, session.ErrReused) {
		t.Fatal(err)
	}
	if r.opens(t, first.Access) || r.opens(t, second.Access) {
		t.Error("the session goes on")
	}
	if _, err := r.RefreshTokens(t.Context(), second.Refresh); !errors.Is(err, session.ErrInvalid) || errors.Is(err, session.ErrReused) {
		t.Errorf("the thief's or the owner's token: %v", err)
	}
	last := kept.events[len(kept.events)-1]
	if last.Action != session.ActionTokenRevoked || last.Details["reason"] != "refresh_token_reused" || last.User.ID != "ana" {
		t.Errorf("the trail ends with %+v", last)
	}
}

func TestOfManyWhoRefreshAtOnceOneIsTheFirst(t *testing.T) {
	t.Parallel()
	r, _ := newTokenRig(t)
	first := r.begin(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 8 {
		wg.Go(func() {
			_, err := r.RefreshTokens(t.Context(), first.Refresh)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !errors.Is(err, session.ErrInvalid):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won > 1 {
		t.Errorf("%d got tokens", won)
	}
	if r.opens(t, first.Access) {
		t.Error("the session goes on")
	}
}

func TestRefreshTokensThatAreWorthNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *rig, session.Tokens) string{
		"Junk":          func(*testing.T, *rig, session.Tokens) string { return "v1.0000.junk" },
		"Access":        func(_ *testing.T, _ *rig, x session.Tokens) string { return x.Access },
		"BitFlip":       func(_ *testing.T, _ *rig, x session.Tokens) string { return "w" + x.Refresh[1:] },
		"Long":          func(_ *testing.T, _ *rig, x session.Tokens) string { return x.Refresh + string(make([]byte, 300)) },
		"SessionOver":   func(_ *testing.T, r *rig, x session.Tokens) string { r.clock.Advance(8 * time.Hour); return x.Refresh },
		"NotUsedAnHour": func(_ *testing.T, r *rig, x session.Tokens) string { r.clock.Advance(time.Hour); return x.Refresh },
		"Revoked": func(t *testing.T, r *rig, x session.Tokens) string {
			if err := r.Revoke(t.Context(), x.Session.Key); err != nil {
				t.Fatal(err)
			}
			return x.Refresh
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := newTokenRig(t)
			token := spoil(t, r, r.begin(t))
			if got, err := r.RefreshTokens(t.Context(), token); !errors.Is(err, session.ErrInvalid) || got.Access != "" {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
}

func TestTokensThatTheTrailCannotKeepAreNotGiven(t *testing.T) {
	t.Parallel()
	r, kept := newTokenRig(t)
	first := r.begin(t)
	kept.down = true
	if got, err := r.RefreshTokens(t.Context(), first.Refresh); !errors.Is(err, session.ErrUnavailable) || got.Access != "" {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := r.BeginTokens(t.Context(), session.Draft{Identity: ana()}); !errors.Is(err, session.ErrUnavailable) || got.Access != "" {
		t.Errorf("%+v %v", got, err)
	}
	without := newRig(t, nil)
	if _, err := without.BeginTokens(t.Context(), session.Draft{Identity: ana()}); err == nil {
		t.Error("tokens that nothing seals")
	}
	if _, err := without.RefreshTokens(t.Context(), first.Refresh); !errors.Is(err, session.ErrInvalid) {
		t.Error(err)
	}
}

// TestTheSecretOfASignInGoesAlong: what was sealed under it when the session
// began, as a provider's tokens are, the access tokens of later open too.
func TestTheSecretOfASignInGoesAlong(t *testing.T) {
	t.Parallel()
	r, _ := newTokenRig(t)
	s, access, secret, err := r.Begin(t.Context(), session.Draft{Identity: ana(), Kind: session.Bearer, Refreshed: true})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := r.TokensOf(s, access)
	if err != nil || tokens.Access != access || !tokens.AccessUntil.Equal(base.Add(30*time.Minute)) {
		t.Fatalf("%+v %v", tokens, err)
	}
	for range 3 {
		if tokens, err = r.RefreshTokens(t.Context(), tokens.Refresh); err != nil {
			t.Fatal(err)
		}
	}
	if k, got, err := r.OpenSecret(tokens.Access); err != nil || k != s.Key || got != secret {
		t.Errorf("another secret, or %v", err)
	}
	other := r.begin(t)
	if _, err := r.TokensOf(s, other.Access); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("another session's access token: %v", err)
	}
}

func TestSessionsWithoutRefreshTokensLastAsBefore(t *testing.T) {
	t.Parallel()
	r, _ := newTokenRig(t)
	for _, d := range []session.Draft{{Kind: session.Service, Refreshed: true}, {Kind: session.Browser, Refreshed: true}, {Kind: session.Bearer}} {
		d.Identity = ana()
		s, value, _, err := r.Begin(t.Context(), d)
		if err != nil || s.Rotation != 0 {
			t.Fatal(s, err)
		}
		tokens, err := r.TokensOf(s, value)
		if err != nil || tokens.Refresh != "" || !tokens.AccessUntil.Equal(s.ExpiresAt) {
			t.Errorf("%s: %+v %v", d.Kind, tokens, err)
		}
	}
}
