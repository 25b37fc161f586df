package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/neosc/gate/session"
)

// recently is how long ago a change can have been that a session which begins
// now might not know of: longer than any sign-in takes.
const recently = time.Minute

// StillHolds implements session.AccountChecker. Who has only registered has no
// account yet that could have changed.
func (st *Store) StillHolds(ctx context.Context, id session.Identity) error {
	if id.Provider != Provider || !id.EmailVerified {
		return nil
	}
	u, err := st.GetByID(ctx, id.UserID)
	switch {
	case isNoUser(err) || err == nil && u.Disabled:
		return fmt.Errorf("%w: it is gone or disabled", session.ErrConflict)
	case err != nil:
		return err
	case st.now().Sub(u.UpdatedAt) >= recently:
		return nil
	}
	lost := func(r string) bool { return !slices.Contains(u.effectiveRoles(), r) }
	if u.UpdatedAt.After(id.AuthenticatedAt) || slices.ContainsFunc(id.Roles, lost) {
		return session.ErrConflict
	}
	return nil
}
