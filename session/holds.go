package session

import (
	"context"
	"errors"
	"fmt"
)

// AccountChecker knows the accounts whose identities sessions begin with. Safe
// for concurrent use.
type AccountChecker interface {
	// StillHolds reports whether an identity that was read a moment ago may begin
	// a session now: ErrConflict if its account has gone, was disabled, or was
	// changed since. It looks at nothing but its own accounts' identities.
	StillHolds(ctx context.Context, id Identity) error
}

// stillHolds takes a session back whose account was changed while it began.
// Whoever changes an account changes or ends the sessions of it that there are:
// it is looked at after the session is stored, so that one of the two sees the
// other. Else a role that was taken away, or a password that was changed, would
// live on for hours in a session that began in that very moment.
func (m *Manager) stillHolds(ctx context.Context, s *Session) error {
	if m.o.Accounts == nil {
		return nil
	}
	err := m.o.Accounts.StillHolds(ctx, s.Identity)
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrConflict) {
		err = fmt.Errorf("the account was changed meanwhile: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unwindTime)
	defer cancel()
	return errors.Join(err, m.o.Store.Delete(ctx, s.Key))
}
