package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/neosc/gate/session"
)

// Add stores a new account with a password. ID, PasswordHash and the times are
// set here. session.ErrUserExists if the email is taken; an error that wraps
// session.ErrBadUser says what no account can have.
func (st *Store) Add(ctx context.Context, u User, password string) (*User, error) {
	if err := u.clean(); err != nil {
		return nil, err
	}
	hash, err := st.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	u.ID, u.PasswordHash = newUserID(), hash
	u.CreatedAt = st.now()
	u.UpdatedAt = u.CreatedAt
	roles, err := json.Marshal(u.Roles)
	if err != nil {
		return nil, fmt.Errorf("roles: %w", err)
	}
	var workspace sql.NullString
	seconds := 0
	if u.Demo != nil {
		workspace, seconds = sql.NullString{String: u.Demo.WorkspaceType, Valid: true}, u.Demo.Seconds
	}
	n, err := st.exec(ctx, `INSERT INTO users (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (email) DO NOTHING`,
		u.ID, u.Email, u.Name, u.Organization, string(roles), u.PasswordHash, u.Disabled, u.EmailVerified,
		workspace, seconds, u.CreatedAt.UnixMicro(), u.UpdatedAt.UnixMicro())
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("%w: %s", session.ErrUserExists, u.Email)
	}
	return &u, nil
}

// hash checks and hashes a new password, in turn with the sign-ins.
func (st *Store) hash(ctx context.Context, password string) (string, error) {
	if err := checkPassword(password); err != nil {
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

// exec runs one statement that changes rows and returns how many it changed.
func (st *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := st.db.ExecContext(ctx, st.o.Dialect.Bind(query), args...)
	if err != nil {
		return 0, st.unavailable(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, st.unavailable(err)
	}
	return n, nil
}

const columns = `id, email, name, organization, roles, password_hash, disabled, email_verified,
	demo_workspace, demo_seconds, created_at, updated_at`

func scanUser(scan func(...any) error) (*User, error) {
	var (
		u                User
		roles            string
		workspace        sql.NullString
		seconds          int
		created, updated int64
	)
	err := scan(&u.ID, &u.Email, &u.Name, &u.Organization, &roles, &u.PasswordHash, &u.Disabled,
		&u.EmailVerified, &workspace, &seconds, &created, &updated)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(roles), &u.Roles); err != nil {
		return nil, fmt.Errorf("roles of %s: %w", u.ID, err)
	}
	if workspace.Valid {
		u.Demo = &DemoGrant{WorkspaceType: workspace.String, Seconds: seconds}
	}
	u.CreatedAt, u.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	return &u, nil
}

// Get returns the account of an email: session.ErrNoUser if there is none.
func (st *Store) Get(ctx context.Context, email string) (*User, error) {
	e, err := NormalizeEmail(email)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	u, err := scanUser(st.db.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT `+columns+` FROM users WHERE email = ?`), e).Scan)
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
	u, err := scanUser(st.db.QueryRowContext(ctx, st.o.Dialect.Bind(`UPDATE users SET `+set+`, updated_at = ? WHERE email = ? RETURNING `+columns),
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
	u := User{Email: n.Email, Name: n.Name, Organization: n.Organization, Roles: n.Roles, EmailVerified: true}
	if n.Demo {
		grant := st.o.DemoGrant
		u.Demo = &grant
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
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := st.db.QueryContext(ctx, st.o.Dialect.Bind(`SELECT `+columns+` FROM users ORDER BY email LIMIT ?`), limit)
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var out []session.User
	for rows.Next() {
		u, err := scanUser(rows.Scan)
		if err != nil {
			return nil, st.unavailable(err)
		}
		out = append(out, u.public())
	}
	if err := rows.Err(); err != nil {
		return nil, st.unavailable(err)
	}
	return out, nil
}

// SetPassword implements session.Users.
func (st *Store) SetPassword(ctx context.Context, email, password string) (session.User, error) {
	if _, err := st.Get(ctx, email); err != nil {
		return session.User{}, err
	}
	hash, err := st.hash(ctx, password)
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
	if err != nil {
		return session.User{}, err
	}
	if n == 0 {
		return session.User{}, fmt.Errorf("%w: %s", session.ErrNoUser, u.Email)
	}
	return u.public(), nil
}
