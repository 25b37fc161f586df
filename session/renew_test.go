package session_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// due is a manager that notes the values whose refresh is due.
func due(t *testing.T) (*rig, *[]string) {
	t.Helper()
	var asked []string
	r := newRig(t, func(o *session.Options) {
		o.Due = func(_ *session.Session, value string) { asked = append(asked, value) }
	})
	return r, &asked
}

func TestARequestSetsOffTheRefreshOnceInAWhile(t *testing.T) {
	t.Parallel()
	r, asked := due(t)
	id := session.Identity{UserID: "ana", Email: "ana@kappa4.com", Roles: []string{"user"}}
	s, value, _, err := r.Begin(t.Context(), session.Draft{Identity: id, Kind: session.Browser, RefreshAt: base.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	look := func(want int) {
		t.Helper()
		if _, err := r.lookup(value); err != nil {
			t.Fatal(err)
		}
		if len(*asked) != want {
			t.Errorf("set off %d times, want %d", len(*asked), want)
		}
	}
	look(0)
	r.clock.Advance(time.Minute)
	look(1)
	look(1)
	r.clock.Advance(5 * time.Second)
	look(2)
	if !slices.Equal(*asked, []string{value, value}) {
		t.Error("it was not told the value that opens the session")
	}
	if _, err := r.Renew(t.Context(), s.Key, session.Renewal{Fence: 1, RefreshAt: r.clock.Now().Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(10 * time.Second)
	look(2)
	r.clock.Advance(time.Minute)
	look(3)
}

func TestSessionsWithoutARefreshSetNoneOff(t *testing.T) {
	t.Parallel()
	r, asked := due(t)
	_, value := r.create(t)
	r.clock.Advance(10 * time.Minute)
	if _, err := r.lookup(value); err != nil || len(*asked) != 0 {
		t.Errorf("error %v, set off %d times", err, len(*asked))
	}
}

func TestALaterRefreshIsNotOverwritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, value := r.create(t)
	renew := func(fence uint64, role string) error {
		id := s.Identity
		id.Roles = []string{role}
		_, err := r.Renew(t.Context(), s.Key, session.Renewal{Fence: fence, Identity: &id})
		return err
	}
	if err := renew(2, "later"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, renew(1, "earlier"), session.ErrOvertaken)
	wantErr(t, renew(2, "twice"), session.ErrOvertaken)
	got, err := r.lookup(value)
	if err != nil || !slices.Equal(got.Identity.Roles, []string{"later"}) {
		t.Errorf("%+v, error %v", got, err)
	}
	id := s.Identity
	id.UserID = "bob"
	if _, err := r.Renew(t.Context(), s.Key, session.Renewal{Fence: 3, Identity: &id}); err == nil {
		t.Error("another user took the session over")
	}
	wantErr(t, r.Revoke(t.Context(), s.Key), nil)
	wantErr(t, renew(4, "dead"), session.ErrNotFound)
	_, err = r.Current(t.Context(), s.Key)
	wantErr(t, err, session.ErrNotFound)
}

func TestARenewalOnlyShortensTheSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, value := r.create(t)
	if got, err := r.Renew(t.Context(), s.Key, session.Renewal{Fence: 1, EndsBy: s.ExpiresAt.Add(time.Hour)}); err != nil || !got.ExpiresAt.Equal(s.ExpiresAt) {
		t.Errorf("%+v, error %v", got, err)
	}
	if _, err := r.Renew(t.Context(), s.Key, session.Renewal{Fence: 2, EndsBy: base.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute - time.Millisecond)
	if _, err := r.lookup(value); err != nil {
		t.Error(err)
	}
	r.clock.Advance(time.Millisecond)
	_, err := r.lookup(value)
	wantErr(t, err, session.ErrInvalid)
}

func TestASessionCanBeHadToEndSooner(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	for _, by := range []time.Duration{10 * time.Second, time.Hour} { // never later again
		if err := r.EndBy(t.Context(), s.Key, base.Add(by)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.EndBy(t.Context(), session.NewID().Key(), base); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	for after, want := range map[time.Duration]error{9999 * time.Millisecond: nil, 10 * time.Second: session.ErrInvalid} {
		if _, err := r.ByCookies(t.Context(), []string{v}, base.Add(after)); !errors.Is(err, want) {
			t.Errorf("%s on: %v, want %v", after, err, want)
		}
	}
}
