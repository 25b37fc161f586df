package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// Add stores a new account with a password. ID, PasswordHash and the times are
// set here, and the organization is made if there is none of that name. session.ErrUserExists if the email is taken; an error that wraps
// session.ErrBadUser says what no account can have.
func (st *Store) Add(ctx context.Context, u User, password string) (*User, error) {
	if err := u.clean(); err != nil {
		return nil, err
	}
	hash, err := st.hash(ctx, password, u.Email, u.Name)
	if err != nil {
		return nil, err
	}
	return st.addHashed(ctx, u, hash)
}

func (st *Store) addHashed(ctx context.Context, u User, hash string) (*User, error) {
	added, err := st.ready(ctx, u, hash)
	if err != nil {
		return nil, err
	}
	n, err := insertUser(ctx, st.db, st.o.Dialect, added)
	if err != nil {
		return nil, st.unavailable(err)
	}
	if n == 0 {
		return nil, taken(added.Email)
	}
	return added, nil
}

func taken(email string) error { return fmt.Errorf("%w: %s", session.ErrUserExists, email) }

// ready returns an account as it is to be stored. Its organization is made if
// there is none of that name.
func (st *Store) ready(ctx context.Context, u User, hash string) (*User, error) {
	if err := u.clean(); err != nil {
		return nil, err
	}
	var err error
	if u.OrganizationID == "" {
		if u.OrganizationID, u.Organization, err = st.organizationFor(ctx, u.Organization); err != nil {
			return nil, err
		}
	}
	u.ID, u.PasswordHash = newUserID(), hash
	u.CreatedAt = st.now()
	u.UpdatedAt = u.CreatedAt
	return &u, nil
}

func isNoUser(err error) bool { return errors.Is(err, session.ErrNoUser) }

// firstHash returns the hash of a new account's password. Of some only an unsalted
// SHA-256 is known, which can be guessed by the billion a second, so it is not kept:
// it is itself hashed as passwords are, and the first sign-in, which knows the
// password, puts a hash of that in its place.
func (st *Store) firstHash(ctx context.Context, u *User, n session.NewUser) (string, error) {
	if err := u.clean(); err != nil {
		return "", err
	}
	if n.PasswordSHA256 == "" {
		return st.hash(ctx, n.Password, u.Email, u.Name)
	}
	sum := strings.ToLower(n.PasswordSHA256)
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size || n.Password != "" {
		return "", badUser("the old password hash needs to be SHA-256 in 64 hex digits, and stands instead of a password")
	}
	leave, err := st.hasher.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return st.hasher.hash([]byte(sum), true), nil
}

// hash checks and hashes a new password, in turn with the sign-ins. whose are
// the account's own words, which make a bad password.
func (st *Store) hash(ctx context.Context, password string, whose ...string) (string, error) {
	password, err := st.o.Rules.check(password, whose...)
	if err != nil {
		return "", err
	}
	leave, err := st.hasher.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return st.hasher.create(password), nil
}

func (st *Store) now() time.Time { return st.o.Clock().UTC().Truncate(time.Millisecond) }

// Get returns the account of an email: session.ErrNoUser if there is none.
func (st *Store) Get(ctx context.Context, email string) (*User, error) {
	e, err := NormalizeEmail(email)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	u, err := scanUser(st.db.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT `+selected+` FROM users WHERE email = ?`), e).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("%w: %s", session.ErrNoUser, e)
	case err != nil:
		return nil, st.unavailable(err)
	}
	return u, nil
}
