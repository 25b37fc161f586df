package session_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// trail keeps events in memory.
type trail struct {
	mu     sync.Mutex
	events []session.Event
	down   bool
	most   int           // of events in one Append
	told   chan struct{} // if not nil, told of each Append
}

func (t *trail) Append(_ context.Context, events ...session.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return fmt.Errorf("%w: the disk is full", session.ErrUnavailable)
	}
	t.events, t.most = append(t.events, events...), max(t.most, len(events))
	if t.told != nil {
		t.told <- struct{}{}
	}
	return nil
}

// say lists the actions, with whom they concern and by whom, and the roles.
func (t *trail) say() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, e := range t.events {
		out = append(out, strings.TrimSpace(fmt.Sprint(e.Action, " ", e.User.ID, " by ", e.Actor.ID, " ", e.Details["roles"])))
	}
	return out
}

func audited(t *trail) func(*session.Options) {
	return func(o *session.Options) { o.Audit, o.Logger = t, slog.New(slog.DiscardHandler) }
}

func TestWhatHappensToSessionsIsInTheTrail(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	r := newRig(t, audited(kept))
	ctx := session.WithOrigin(t.Context(), session.Origin{ClientIP: "203.0.113.9", Actor: session.Operator()})
	one, _ := r.create(t)
	service, _, err := r.Create(ctx, ana(), session.Service, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	changed := ana()
	changed.Roles = []string{"admin", "neosc"}
	if _, err := r.Renew(ctx, one.Key, session.Renewal{Fence: 1, Identity: &changed}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it has ended already
		if err := r.Revoke(ctx, service.Key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.RevokeUser(ctx, "ana"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"session_created ana by ana", "token_issued ana by operator", "role_assigned ana by operator admin,neosc", "role_revoked ana by operator user",
		"token_revoked ana by operator", "session_revoked ana by operator",
	}
	if got := kept.say(); !slices.Equal(got, want) {
		t.Errorf("the trail says %q, want %q", got, want)
	}
	if e := kept.events[4]; e.Session != service.Key.String() || e.ClientIP != "203.0.113.9" || e.User.Email != "ana@example.com" {
		t.Errorf("the end of the token is kept as %+v", e)
	}
}

// TestASignInIsKeptTogetherWithTheSessionThatItBegins by one call, and without
// either there is no session.
func TestASignInIsKeptTogetherWithTheSessionThatItBegins(t *testing.T) {
	t.Parallel()
	kept := &trail{told: make(chan struct{}, 4)}
	r := newRig(t, audited(kept))
	d := session.Draft{Identity: ana(), Kind: session.Browser, SignIn: session.ActionSSOLogin}
	ctx := session.WithOrigin(t.Context(), session.Origin{ClientIP: "203.0.113.9"})
	s, _, _, err := r.Begin(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"session_created ana by ana", "sso_login ana by ana user"}; !slices.Equal(kept.say(), want) || len(kept.told) != 1 {
		t.Errorf("the trail says %q by %d calls, want %q by one", kept.say(), len(kept.told), want)
	}
	if e := kept.events[1]; e.Session != s.Key.String() || e.ClientIP != "203.0.113.9" || e.Outcome != session.OutcomeSuccess || e.Details["provider"] != "local" || e.Details["amr"] != "pwd" {
		t.Errorf("the sign-in is kept as %+v", e)
	}
	kept.down = true
	_, _, _, err = r.Begin(ctx, d)
	wantErr(t, err, session.ErrUnavailable)
	if n, err := r.store.Store.CountLive(ctx, base); n != 1 || err != nil {
		t.Errorf("%d sessions, %v, want the first alone", n, err)
	}
}

// TestTheEndOfAllThatAUserHasIsInTheTrail: of each session by its kind, and of
// access tokens, with the email where a session told it.
func TestTheEndOfAllThatAUserHasIsInTheTrail(t *testing.T) {
	t.Parallel()
	var marks *session.MarkCopies
	kept := &trail{}
	r := newRig(t, func(o *session.Options) { withMarks(t, &marks)(o); audited(kept)(o) })
	ctx := session.WithOrigin(t.Context(), session.Origin{Actor: session.Operator()})
	r.create(t)
	if _, _, err := r.Create(ctx, ana(), session.Service, time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ana", "nobody"} {
		if _, err := r.RevokeUser(ctx, user); err != nil {
			t.Fatal(err)
		}
	}
	got := kept.say()[2:]
	slices.Sort(got)
	want := []string{"session_revoked ana by operator", "token_revoked ana by operator", "token_revoked ana by operator", "token_revoked nobody by operator"}
	if !slices.Equal(got, want) {
		t.Errorf("the trail says %q, want %q", got, want)
	}
	all := 0
	for _, e := range kept.events[2:] {
		if wants := map[string]string{"ana": "ana@example.com"}[e.User.ID]; e.User.Email != wants {
			t.Errorf("%s of %s is kept with the email %q, want %q", e.Action, e.User.ID, e.User.Email, wants)
		}
		if e.Details["tokens"] == "all" && e.Session == "" {
			all++
		}
	}
	if all != 2 {
		t.Errorf("%d events tell of all access tokens, want 2", all)
	}
}

// Who else signs in does not wait for thousands of entries.
func TestTheEndOfManySessionsIsKeptInParts(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	r := newRig(t, audited(kept))
	const many = 600
	for range many {
		r.create(t)
	}
	if n, err := r.RevokeUser(t.Context(), ana().UserID); err != nil || n != many {
		t.Fatalf("%d ended, error %v", n, err)
	}
	ended := 0
	for _, e := range kept.events {
		if e.Action == session.ActionSessionRevoked && e.User.ID == ana().UserID && e.Session != "" {
			ended++
		}
	}
	if ended != many || kept.most > 256 {
		t.Errorf("%d of %d ends are in the trail, up to %d at once", ended, many, kept.most)
	}
}

func TestASessionThatCannotBeKeptInTheTrailDoesNotBegin(t *testing.T) {
	t.Parallel()
	kept := &trail{down: true}
	r := newRig(t, audited(kept))
	_, _, err := r.Create(t.Context(), ana(), session.Browser, 0)
	wantErr(t, err, session.ErrUnavailable)
	if n, err := r.store.Store.CountLive(t.Context(), base); n != 0 || err != nil {
		t.Errorf("%d sessions are left, error %v", n, err)
	}
}

func TestSessionsEndThoughTheTrailIsAway(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	r := newRig(t, audited(kept))
	s, v := r.create(t)
	_, other := r.create(t)
	kept.down = true
	if err := r.Revoke(t.Context(), s.Key); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if n, err := r.RevokeUser(t.Context(), "ana"); n != 1 || err != nil {
		t.Errorf("revoke user: %d, %v", n, err)
	}
	for _, v := range []string{v, other} {
		if _, err := r.lookup(v); !errors.Is(err, session.ErrInvalid) {
			t.Errorf("after its end: %v", err)
		}
	}
}

func TestSweptSessionsAreInTheTrailAsExpired(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	r := newRig(t, func(o *session.Options) { audited(kept)(o); o.Housekeeping = time.Millisecond })
	s, _ := r.create(t)
	kept.told = make(chan struct{}, 1)
	r.clock.Advance(2 * time.Hour)
	r.run(t)
	<-kept.told
	want := []string{"session_created ana by ana", "session_expired ana by"}
	if got := kept.say(); !slices.Equal(got, want) || kept.events[1].Session != s.Key.String() {
		t.Errorf("the trail says %q, want %q", got, want)
	}
}
