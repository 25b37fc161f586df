package account

import "context"

// follows is what is to be done about demo grants once a change is committed.
type follows func(context.Context) error

func nothing(context.Context) error { return nil }

// leave ends the demo grants of an account that is disabled now, or belongs to
// another organization: with what its workspaces hold of the old one, and with a
// place that counts for it.
func (s *Service) leave(ctx context.Context, tx txn, before, after *User) (follows, error) {
	switch {
	case after.Disabled && !before.Disabled:
		return s.endGrants(ctx, tx, after.ID, "", "the account was disabled")
	case after.OrganizationID != before.OrganizationID:
		return s.endGrants(ctx, tx, after.ID, after.OrganizationID, "the account moved to another organization")
	}
	return nothing, nil
}

func (s *Service) endGrants(ctx context.Context, tx txn, userID, keep, reason string) (follows, error) {
	if s.o.Grants == nil {
		return nothing, nil
	}
	return s.o.Grants.EndGrants(ctx, tx, userID, keep, reason)
}

// remove takes an account out, with its links and demo grants.
func (s *Service) remove(ctx context.Context, tx txn, u *User) (follows, error) {
	for _, query := range []string{`DELETE FROM users WHERE id = ?`, `DELETE FROM links WHERE subject = ?`} {
		if _, err := s.st.execOn(ctx, tx, query, u.ID); err != nil {
			return nil, err
		}
	}
	return s.endGrants(ctx, tx, u.ID, "", "the account was removed")
}
