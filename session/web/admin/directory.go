package admin

import (
	"cmp"
	"context"
	"slices"

	"github.com/neosc/gate/session"
)

// listed are the local accounts and whom providers have signed in, by email, whose
// email or name has search in it; at most limit.
func (a *API) listed(ctx context.Context, search string, limit int) ([]session.User, error) {
	page, err := a.o.Members.PageUsers(ctx, session.UserQuery{Search: search, Limit: limit})
	if err != nil || a.o.People == nil {
		return nonNil(page.Users), err
	}
	people, err := a.o.People.ListPeople(ctx, session.PeopleQuery{Search: search, Limit: limit})
	if err != nil {
		return nil, err
	}
	all := append(nonNil(page.Users), people...)
	slices.SortStableFunc(all, func(x, y session.User) int {
		return cmp.Or(cmp.Compare(x.Email, y.Email), cmp.Compare(x.Provider, y.Provider), cmp.Compare(x.ID, y.ID))
	})
	return all[:min(len(all), limit)], nil
}
