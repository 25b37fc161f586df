package account

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
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
	n, err := insertUser(ctx, st.db, st.o.Dialect, &u)
	if err != nil {
		return nil, st.unavailable(err)
	}
	if n == 0 {
		return nil, fmt.Errorf("%w: %s", session.ErrUserExists, u.Email)
	}
	return &u, nil
}

func isNoUser(err error) bool { return errors.Is(err, session.ErrNoUser) }

// importUser stores an account of which only an unsalted SHA-256 of the password
// is known. That hash can be guessed by the billion a second, so it is not kept:
// it is itself hashed as passwords are, and the first sign-in, which knows the
// password, puts a hash of that in its place.
func (st *Store) importUser(ctx context.Context, u User, n session.NewUser) (session.User, error) {
	sum := strings.ToLower(n.PasswordSHA256)
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size || n.Password != "" {
		return session.User{}, badUser("the old password hash needs to be SHA-256 in 64 hex digits, and stands instead of a password")
	}
	leave, err := st.hasher.enter(ctx)
	if err != nil {
		return session.User{}, err
	}
	hash := st.hasher.hash([]byte(sum), true)
	leave()
	added, err := st.addHashed(ctx, u, hash)
	if err != nil {
		return session.User{}, err
	}
	return added.public(), nil
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

// change runs an UPDATE of one account and returns it as it then is.
func (st *Store) change(ctx context.Context, email, set string, arg any) (session.User, error) {
	e, err := NormalizeEmail(email)
	if err != nil {
		return session.User{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	u, err := scanUser(st.db.QueryRowContext(ctx, st.o.Dialect.Bind(`UPDATE users SET `+set+`, updated_at = ? WHERE email = ? RETURNING `+selected),
		arg, st.now().UnixMicro(), e).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return session.User{}, fmt.Errorf("%w: %s", session.ErrNoUser, e)
	case err != nil:
		return session.User{}, st.unavailable(err)
	}
	return u.public(), nil
}

// AddUser implements session.Users. The operator vouches for the email, so it
// counts as verified.
func (st *Store) AddUser(ctx context.Context, n session.NewUser) (session.User, error) {
	u := User{Email: n.Email, Name: n.Name, Organization: n.Organization, Roles: n.Roles, EmailVerified: true, MFA: true}
	if n.Demo {
		grant := st.o.DemoGrant
		u.Demo = &grant
	}
	if n.PasswordSHA256 != "" {
		return st.importUser(ctx, u, n)
	}
	added, err := st.Add(ctx, u, n.Password)
	if err != nil {
		return session.User{}, err
	}
	return added.public(), nil
}

// ListUsers implements session.Users. limit is 1 to 1000; 0 means 100.
func (st *Store) ListUsers(ctx context.Context, limit int) ([]session.User, error) {
	limit, err := session.Query{Limit: limit}.Rows()
	if err != nil {
		return nil, err
	}
	users, err := st.users(ctx, "1 = 1", limit)
	var out []session.User
	for _, u := range users {
		out = append(out, u.public())
	}
	return out, err
}

// SetPassword implements session.Users.
func (st *Store) SetPassword(ctx context.Context, email, password string) (session.User, error) {
	u, err := st.Get(ctx, email)
	if err != nil {
		return session.User{}, err
	}
	hash, err := st.hash(ctx, password, u.Email, u.Name)
	if err != nil {
		return session.User{}, err
	}
	return st.change(ctx, email, "password_hash = ?", hash)
}

// SetRoles implements session.Users.
func (st *Store) SetRoles(ctx context.Context, email string, roles []string) (session.User, error) {
	roles, err := cleanRoles(roles)
	if err != nil {
		return session.User{}, err
	}
	b, err := json.Marshal(roles)
	if err != nil {
		return session.User{}, fmt.Errorf("roles: %w", err)
	}
	return st.change(ctx, email, "roles = ?", string(b))
}

// SetDisabled keeps an account from signing in, or lets it again. Its sessions
// live on until the caller ends them.
func (st *Store) SetDisabled(ctx context.Context, email string, disabled bool) (session.User, error) {
	return st.change(ctx, email, "disabled = ?", disabled)
}

// RemoveUser implements session.Users.
func (st *Store) RemoveUser(ctx context.Context, email string) (session.User, error) {
	u, err := st.Get(ctx, email)
	if err != nil {
		return session.User{}, err
	}
	n, err := st.exec(ctx, `DELETE FROM users WHERE id = ?`, u.ID)
	if err == nil {
		_, err = st.exec(ctx, `DELETE FROM links WHERE subject = ?`, u.ID)
	}
	if err != nil {
		return session.User{}, err
	}
	if n == 0 {
		return session.User{}, fmt.Errorf("%w: %s", session.ErrNoUser, u.Email)
	}
	return u.public(), nil
}
