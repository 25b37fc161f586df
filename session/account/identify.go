package account

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/neosc/gate/session"
)

// Identify implements session.Identifier.
func (st *Store) Identify(ctx context.Context, userID string) (session.Identity, time.Time, error) {
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var email string
	err := st.db.QueryRowContext(within, st.o.Dialect.Bind(`SELECT email FROM users WHERE id = ?`), userID).Scan(&email)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return session.Identity{}, time.Time{}, session.ErrCredentials
	case err != nil:
		return session.Identity{}, time.Time{}, st.unavailable(err)
	}
	u, err := st.Get(ctx, email)
	switch {
	case errors.Is(err, session.ErrNoUser):
		return session.Identity{}, time.Time{}, session.ErrCredentials
	case err != nil:
		return session.Identity{}, time.Time{}, err
	case u.Disabled || u.ID != userID: // by now the email may be another's
		return session.Identity{}, time.Time{}, session.ErrCredentials
	}
	id := u.identity(st.o.Clock())
	id.AMR = nil
	return id, u.UpdatedAt, nil
}

// ChargeGuess takes a guess at something other than the password from the
// budgets that its guesses are charged to, in the same order. Without an email
// only the address is charged.
func (st *Store) ChargeGuess(ctx context.Context, email, clientAddr string) error {
	now := st.o.Clock()
	if err := st.charge(ctx, now, "guess_address", session.AddressKey(clientAddr), st.o.PerAddress); err != nil || email == "" {
		return err
	}
	e, err := NormalizeEmail(email)
	if err != nil {
		return session.ErrCredentials
	}
	return st.charge(ctx, now, "guess_account", e, st.o.PerAccount)
}
