package session_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func promote(id *session.Identity) error {
	id.Roles = append(id.Roles, "admin")
	return nil
}

func TestChangedRolesHoldFromTheNextRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	before, err := r.lookup(v)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := r.Update(t.Context(), s.Key, promote)
	if err != nil || changed.Version != 2 {
		t.Fatalf("%+v, %v", changed, err)
	}
	after, err := r.lookup(v)
	if err != nil || !slices.Equal(after.Identity.Roles, []string{"admin", "user"}) {
		t.Errorf("%+v, %v", after, err)
	}
	if !slices.Equal(before.Identity.Roles, []string{"user"}) {
		t.Error("a session that was handed out changed under its reader")
	}
}

func TestUpdateRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, _ := r.create(t)
	odd := errors.New("odd")
	_, err := r.Update(t.Context(), s.Key, func(*session.Identity) error { return odd })
	wantErr(t, err, odd)
	if _, err = r.Update(t.Context(), s.Key, func(id *session.Identity) error { id.Roles = []string{"a,b"}; return nil }); err == nil {
		t.Error("a role with a comma was taken")
	}
	_, err = r.Update(t.Context(), session.Key{}, promote)
	wantErr(t, err, session.ErrNotFound)
	// Gone between reading and writing.
	_, err = r.Update(t.Context(), s.Key, func(*session.Identity) error { return r.Revoke(t.Context(), s.Key) })
	wantErr(t, err, session.ErrNotFound)
	dead, _ := r.create(t)
	r.clock.Advance(time.Hour)
	_, err = r.Update(t.Context(), dead.Key, promote)
	wantErr(t, err, session.ErrNotFound)
}

func TestNoConcurrentUpdateIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			_, err := r.Update(t.Context(), s.Key, func(id *session.Identity) error {
				id.Roles = append(id.Roles, fmt.Sprintf("role%d", i))
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := r.lookup(v)
	if err != nil || len(got.Identity.Roles) != 5 || got.Version != 5 {
		t.Errorf("%+v, %v; want 5 roles in version 5", got, err)
	}
}

func TestUpdateUserReachesEveryLiveSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const n = 1005 // more than one page of the store
	for i := range n {
		r.create(t)
		if i%2 == 0 { // some of them begun at the same instant
			r.clock.Advance(time.Millisecond)
		}
	}
	got, err := r.UpdateUser(t.Context(), "ana", promote)
	if got != n || err != nil {
		t.Fatalf("%d changed, error %v; want %d", got, err, n)
	}
	q := session.Query{UserID: "ana", Limit: 1000}
	page, err := r.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range page {
		if s.Version != 2 || !slices.Contains(s.Identity.Roles, "admin") {
			t.Fatalf("%s: version %d, roles %v", s.Key.Short(), s.Version, s.Identity.Roles)
		}
	}
	if _, err := r.UpdateUser(t.Context(), "", promote); err == nil {
		t.Error("no user id was taken")
	}
}
