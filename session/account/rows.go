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

// querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// exec runs one statement that changes rows and returns how many it changed.
func (st *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n, err := st.execOn(ctx, st.db, query, args...)
	if err != nil {
		return 0, st.unavailable(err)
	}
	return n, nil
}

func (st *Store) execOn(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, st.o.Dialect.Bind(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// refusedError ends a transaction without trouble with the database: what it
// wraps is returned as it is.
type refusedError struct{ error }

// Unwrap returns the reason.
func (e refusedError) Unwrap() error { return e.error }

// refuse ends a transaction with an error of this domain.
func refuse(err error) error { return refusedError{err} }

// inTx runs f in a transaction, which is undone if f returns an error. All that
// change the same accounts go one after another: see lockMembers.
func (st *Store) inTx(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tx, err := st.db.BeginTx(ctx, nil)
	if err != nil {
		return st.unavailable(err)
	}
	if err = f(ctx, tx); err == nil {
		err = tx.Commit()
	} else {
		_ = tx.Rollback() // what was begun is undone by the database in any case
	}
	if r, ok := errors.AsType[refusedError](err); ok {
		return r.error
	}
	if err != nil {
		return st.unavailable(err)
	}
	return nil
}

// lockMembers has transactions that change who has which role, and is where, go
// one after another: two administrators who took away each other's role at once
// would leave none. On SQLite it is what makes the transaction a writer at once.
func (st *Store) lockMembers(ctx context.Context, tx *sql.Tx) error {
	_, err := st.execOn(ctx, tx, `UPDATE organizations SET id = id WHERE id = ?`, session.DefaultOrganizationID)
	return err
}

const (
	columns = `id, email, name, organization_id, roles, password_hash, disabled, email_verified, mfa_enabled,
	demo_workspace, demo_seconds, created_at, updated_at`
	// selected are columns and what other tables say of a user. The column
	// organization is for gates of before alone, which write it as well.
	selected = columns + `, (SELECT o.name FROM organizations o WHERE o.id = users.organization_id)`
)

func scanUser(scan func(...any) error) (*User, error) {
	var (
		u                User
		roles            string
		workspace        sql.NullString
		seconds          int
		created, updated int64
	)
	err := scan(&u.ID, &u.Email, &u.Name, &u.OrganizationID, &roles, &u.PasswordHash, &u.Disabled,
		&u.EmailVerified, &u.MFA, &workspace, &seconds, &created, &updated, &u.Organization)
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

// insertUser stores an account, and returns 0 if its email is taken.
func insertUser(ctx context.Context, q querier, d session.SQLDialect, u *User) (int64, error) {
	roles, err := json.Marshal(nonNil(u.Roles))
	if err != nil {
		return 0, fmt.Errorf("roles: %w", err)
	}
	var workspace sql.NullString
	seconds := 0
	if u.Demo != nil {
		workspace, seconds = sql.NullString{String: u.Demo.WorkspaceType, Valid: true}, u.Demo.Seconds
	}
	res, err := q.ExecContext(ctx, d.Bind(`INSERT INTO users (`+columns+`, organization) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (email) DO NOTHING`),
		u.ID, u.Email, u.Name, u.OrganizationID, string(roles), u.PasswordHash, u.Disabled, u.EmailVerified, u.MFA,
		workspace, seconds, u.CreatedAt.UnixMicro(), u.UpdatedAt.UnixMicro(), u.Organization)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// byID returns the account with an id: session.ErrNoUser if there is none.
func (st *Store) byID(ctx context.Context, q querier, id string) (*User, error) {
	u, err := scanUser(q.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT `+selected+` FROM users WHERE id = ?`), id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, refuse(session.ErrNoUser)
	}
	return u, err
}

// GetByID returns the account with an id: session.ErrNoUser if there is none.
func (st *Store) GetByID(ctx context.Context, id string) (*User, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	u, err := st.byID(ctx, st.db, id)
	if r, ok := errors.AsType[refusedError](err); ok {
		return nil, r.error
	}
	if err != nil {
		return nil, st.unavailable(err)
	}
	return u, nil
}
