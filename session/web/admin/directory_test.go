package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// directory knows two people.
type directory struct {
	session.Directory
	down error
}

func (d directory) ListPeople(_ context.Context, q session.PeopleQuery) ([]session.User, error) {
	all := []session.User{
		{ID: "idp-1", Email: "nora@kappa4.com", Provider: "zitadel_onprem", Issuer: "https://id.kappa4.com", Subject: "7", LastSeen: noon},
		{ID: "idp-2", Email: "nora@kappa4.com", Provider: "zitadel_cloud", Issuer: "https://cloud.example", Subject: "7", LastSeen: noon.Add(time.Hour)},
	}
	all = slices.DeleteFunc(all, func(u session.User) bool {
		return !strings.Contains(u.Email, strings.ToLower(q.Search)) || q.Email != "" && !strings.EqualFold(u.Email, q.Email)
	})
	return all[:min(len(all), q.Limit)], d.down
}

func TestPeopleOfProvidersAreListedBesideAccounts(t *testing.T) {
	t.Parallel()
	x := newRig(t)
	if _, err := x.AddUser(t.Context(), NewUser{Email: "nora@kappa4.com", Password: "a long enough one"}); err != nil {
		t.Fatal(err)
	}
	api := x.handler.(*API)
	api.o.People = directory{}
	users, err := x.Users(t.Context(), "", 1000)
	if err != nil || len(users) != 3 || users[0].Provider != "" || users[1].ID != "idp-2" || users[2].ID != "idp-1" || users[2].Subject != "7" || !users[1].LastSeen.Equal(noon.Add(time.Hour)) {
		t.Fatalf("%+v %v", users, err)
	}
	if users, err = x.Users(t.Context(), "NORA", 2); err != nil || len(users) != 2 || users[0].Provider != "" || users[1].ID != "idp-2" {
		t.Errorf("the first two: %+v %v", users, err)
	}
	if users, err = x.Users(t.Context(), "paul", 1000); err != nil || len(users) != 0 {
		t.Errorf("nobody is found by that: %+v %v", users, err)
	}
	_, err = x.Users(t.Context(), "", 1001)
	status(t, err, 400)
	// An account command never means one of them.
	if _, err := x.RemoveUser(t.Context(), "nora@kappa4.com"); err != nil {
		t.Fatal(err)
	}
	_, err = x.RemoveUser(t.Context(), "nora@kappa4.com")
	status(t, err, 404)
	api.o.People = directory{down: errors.Join(session.ErrUnavailable)}
	_, err = x.Users(t.Context(), "", 1000)
	status(t, err, 503)
}

// However many there are before somebody in the order of emails, they are known.
func TestTheLastOfManyAccountsIsKnownByEmail(t *testing.T) {
	t.Parallel()
	x := newRig(t)
	for i := range 1001 {
		if _, err := x.AddUser(t.Context(), NewUser{Email: fmt.Sprintf("u%04d@kappa4.com", i), Password: "a long enough one"}); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := x.Person(t.Context(), "u1000@kappa4.com"); err != nil || p.Session.Identity.UserID != "u-u1000@kappa4.com" {
		t.Errorf("%+v %v", p, err)
	}
	_, err := x.Person(t.Context(), "u1001@kappa4.com")
	status(t, err, 404)
	api := x.handler.(*API)
	for _, email := range []string{"u1000@kappa4.com", "nora@kappa4.com"} {
		api.o.People = directory{}
		if u, err := api.known(t.Context(), email); err != nil || u.Email != email {
			t.Errorf("%s: %+v %v", email, u, err)
		}
		api.o.People = directory{down: session.ErrUnavailable}
		if _, err := api.known(t.Context(), email); (err == nil) != (email == "u1000@kappa4.com") || errors.Is(err, session.ErrNoUser) {
			t.Errorf("%s while providers' people cannot be asked: %v", email, err)
		}
	}
}
