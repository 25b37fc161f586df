package admin

import (
	"cmp"
	"context"
	"slices"

	"github.com/neosc/gate/session"
)

// listed are the local accounts and whom providers have signed in, by email.
func (a *API) listed(ctx context.Context) ([]session.User, error) {
	users, err := a.o.Users.ListUsers(ctx, maxUsers)
	if err != nil || a.o.People == nil {
		return nonNil(users), err
	}
	people, err := a.o.People.ListPeople(ctx, maxUsers)
	if err != nil {
		return nil, err
	}
	all := append(nonNil(users), people...)
	slices.SortStableFunc(all, func(x, y session.User) int {
		return cmp.Or(cmp.Compare(x.Email, y.Email), cmp.Compare(x.Provider, y.Provider), cmp.Compare(x.ID, y.ID))
	})
	return all, nil
}
