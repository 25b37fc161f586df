package account

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/claims"
)

var seen = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// nora is the person that an issuer knows by a subject.
func nora(issuer, subject string) session.Identity {
	return session.Identity{
		Provider: "zitadel_onprem", Issuer: issuer, Subject: subject, UserID: claims.UserID(issuer, subject),
		Email: "nora@example.com", EmailVerified: true, Name: "Nora", Organization: "o1", Roles: []string{"neosc"},
	}
}

// people is all that happens to whom providers sign in.
func people(t *testing.T, r *rig) {
	sign := func(id session.Identity, at time.Time, wantFirst bool) {
		t.Helper()
		first, err := r.SignedIn(t.Context(), id, at)
		if err != nil || first != wantFirst {
			t.Fatalf("first %v, error %v; want first %v", first, err, wantFirst)
		}
	}
	list := func(want int) []session.User {
		t.Helper()
		all, err := r.ListPeople(t.Context(), session.PeopleQuery{})
		if err != nil || len(all) != want {
			t.Fatalf("%+v, %v; want %d", all, err, want)
		}
		return all
	}
	one := nora("https://one.example", "7")
	sign(one, seen, true)
	sign(one, seen.Add(time.Second), false)
	got := list(1)[0]
	if got.ID != one.UserID || got.Issuer != one.Issuer || got.Subject != "7" || got.Provider != "zitadel_onprem" || got.Email != one.Email || got.Name != "Nora" ||
		got.Organization != "o1" || !slices.Equal(got.Roles, []string{"neosc"}) || !got.CreatedAt.Equal(seen) || !got.LastSeen.Equal(seen) {
		t.Errorf("kept %+v", got)
	}
	// The same email, and the same subject, at another issuer: another person. So
	// is another subject at the same.
	sign(nora("https://two.example", "7"), seen, true)
	sign(nora("https://one.example", "8"), seen, true)
	list(3)
	// An account of the same email is none of them.
	r.add(t, "nora@example.com")
	list(3)
	// What the provider says anew is kept; the id stays.
	one.Email, one.Roles, one.EmailVerified = "nora.v@example.com", nil, false
	sign(one, seen.Add(2*time.Second), false)
	i := slices.IndexFunc(list(3), func(u session.User) bool { return u.ID == one.UserID })
	if got = list(3)[i]; got.Email != "nora.v@example.com" || len(got.Roles) != 0 || !got.LastSeen.Equal(seen.Add(2*time.Second)) || !got.CreatedAt.Equal(seen) {
		t.Errorf("kept %+v", got)
	}
	sign(one, seen.Add(3*time.Minute), false)
	if got = list(3)[i]; !got.LastSeen.Equal(seen.Add(3 * time.Minute)) {
		t.Errorf("last seen %s", got.LastSeen)
	}
	// A gate whose word comes late takes nothing back.
	late := one
	late.Email = "old@example.com"
	sign(late, seen.Add(time.Minute), false)
	if got = list(3)[i]; got.Email != "nora.v@example.com" {
		t.Errorf("kept %+v", got)
	}
	for q, want := range map[session.PeopleQuery]int{
		{Email: "NORA@example.com"}: 2, {Email: "ora@example.com"}: 0, {Search: "A.V@"}: 1, {Search: "nORA"}: 3, {Search: "n%a"}: 0, {Search: "n_ra"}: 0,
		{Email: "nora@example.com", Search: "v@"}: 0, {Search: "nora", Limit: 1}: 1,
	} {
		if all, err := r.ListPeople(t.Context(), q); err != nil || len(all) != want {
			t.Errorf("%+v: %+v, %v; want %d", q, all, err, want)
		}
	}
	angel := nora("https://one.example", "9")
	angel.Email, angel.Name = "Ángel@example.com", "Ángel Íñiguez"
	sign(angel, seen, true)
	for _, q := range []session.PeopleQuery{{Email: angel.Email}, {Search: "Ángel"}, {Search: "Ángel@"}, {Search: "Íñ"}, {Search: "NGEL@"}} {
		if all, err := r.ListPeople(t.Context(), q); err != nil || len(all) != 1 || all[0].Email != angel.Email {
			t.Errorf("%+v: %+v, %v", q, all, err)
		}
	}
	for _, q := range []session.PeopleQuery{{Email: "a\nb"}, {Search: "\xff"}, {Limit: 1001}} {
		_, err := r.ListPeople(t.Context(), q)
		wantErr(t, err, session.ErrBadUser)
	}
}

// manyFirstSignIns of two people are two.
func manyFirstSignIns(t *testing.T, r *rig) {
	var firsts atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			first, err := r.SignedIn(t.Context(), nora("https://many.example", fmt.Sprint(i%2)), seen)
			if err != nil {
				t.Error(err)
			}
			if first {
				firsts.Add(1)
			}
		})
	}
	all.Wait()
	if firsts.Load() != 2 {
		t.Errorf("%d first sign-ins of two people", firsts.Load())
	}
}

func TestNobodyInParticularIsNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, spoil := range []func(*session.Identity){
		func(id *session.Identity) { id.UserID = "" }, func(id *session.Identity) { id.Issuer = "" }, func(id *session.Identity) { id.Subject = "" },
		func(id *session.Identity) { id.UserID = nora("https://one.example", "7").UserID },
	} {
		if _, err := r.SignedIn(t.Context(), nora("https://one.example", "7"), seen); err != nil {
			t.Fatal(err)
		}
		id := nora("https://two.example", "7")
		spoil(&id)
		if _, err := r.SignedIn(t.Context(), id, seen); err == nil || errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%+v: error %v", id, err)
		}
	}
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := r.SignedIn(t.Context(), nora("https://one.example", "9"), seen)
	wantErr(t, err, session.ErrUnavailable)
	_, err = r.ListPeople(t.Context(), session.PeopleQuery{})
	wantErr(t, err, session.ErrUnavailable)
}
