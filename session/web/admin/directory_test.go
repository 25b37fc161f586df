package admin

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// directory knows two people.
type directory struct {
	session.Directory
	down error
}

func (d directory) ListPeople(context.Context, int) ([]session.User, error) {
	return []session.User{
		{ID: "idp-1", Email: "nora@kappa4.com", Provider: "zitadel_onprem", Issuer: "https://id.kappa4.com", Subject: "7", LastSeen: noon},
		{ID: "idp-2", Email: "nora@kappa4.com", Provider: "zitadel_cloud", Issuer: "https://cloud.example", Subject: "7", LastSeen: noon.Add(time.Hour)},
	}, d.down
}

func TestPeopleOfProvidersAreListedBesideAccounts(t *testing.T) {
	t.Parallel()
	x := newRig(t)
	if _, err := x.AddUser(t.Context(), NewUser{Email: "nora@kappa4.com", Password: "a long enough one"}); err != nil {
		t.Fatal(err)
	}
	api := x.handler.(*API)
	api.o.People = directory{}
	users, err := x.Users(t.Context())
	if err != nil || len(users) != 3 || users[0].Provider != "" || users[1].ID != "idp-2" || users[2].ID != "idp-1" || users[2].Subject != "7" || !users[1].LastSeen.Equal(noon.Add(time.Hour)) {
		t.Fatalf("%+v %v", users, err)
	}
	// An account command never means one of them.
	if _, err := x.RemoveUser(t.Context(), "nora@kappa4.com"); err != nil {
		t.Fatal(err)
	}
	_, err = x.RemoveUser(t.Context(), "nora@kappa4.com")
	status(t, err, 404)
	api.o.People = directory{down: errors.Join(session.ErrUnavailable)}
	_, err = x.Users(t.Context())
	status(t, err, 503)
}
