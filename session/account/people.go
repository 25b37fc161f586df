package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// seenEvery is how far apart two instants are, at the least, of which the later
// one is written down for nothing else having changed.
const seenEvery = time.Minute

const peopleColumns = `id, issuer, subject, provider, email, email_verified, name, organization, roles, first_seen, last_seen`

const (
	personByID   = `SELECT ` + peopleColumns + ` FROM people WHERE id = ?`
	insertPerson = `INSERT INTO people (` + peopleColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
)

// SignedIn implements session.Directory. Most sign-ins of somebody who was here
// a moment ago write nothing.
func (st *Store) SignedIn(ctx context.Context, id session.Identity, at time.Time) (bool, error) {
	if id.UserID == "" || id.Issuer == "" || id.Subject == "" {
		return false, errors.New("people: the identity has no user id, issuer or subject")
	}
	at = at.UTC().Truncate(time.Millisecond)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	known, verified, err := scanPerson(st.person.QueryRowContext(ctx, id.UserID).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return st.provision(ctx, id, at)
	case err != nil:
		return false, st.unavailable(err)
	case known.Issuer != id.Issuer || known.Subject != id.Subject:
		// The id is a hash of both, so it would take a collision.
		return false, fmt.Errorf("people: %s is kept as another person", id.UserID)
	}
	same := known.Provider == id.Provider && known.Email == id.Email && verified == id.EmailVerified && known.Name == id.Name &&
		known.Organization == id.Organization && slices.Equal(known.Roles, id.Roles)
	if same && at.Sub(known.LastSeen) < seenEvery {
		return false, nil
	}
	roles, err := json.Marshal(nonNil(id.Roles))
	if err != nil {
		return false, fmt.Errorf("roles: %w", err)
	}
	seen := at.UnixMicro()
	// One of two gates at once is later; its word stands.
	_, err = st.exec(ctx, `UPDATE people SET provider = ?, email = ?, email_verified = ?, name = ?, organization = ?, roles = ?, last_seen = ?
		WHERE id = ? AND last_seen <= ?`,
		id.Provider, id.Email, id.EmailVerified, id.Name, id.Organization, string(roles), seen, id.UserID, seen)
	return false, err
}

func (st *Store) provision(ctx context.Context, id session.Identity, at time.Time) (first bool, err error) {
	roles, err := json.Marshal(nonNil(id.Roles))
	if err != nil {
		return false, fmt.Errorf("roles: %w", err)
	}
	res, err := st.newPerson.ExecContext(ctx,
		id.UserID, id.Issuer, id.Subject, id.Provider, id.Email, id.EmailVerified, id.Name, id.Organization, string(roles), at.UnixMicro(), at.UnixMicro())
	if err != nil {
		return false, st.unavailable(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, st.unavailable(err)
	}
	return n == 1, nil
}

// ListPeople implements session.Directory.
func (st *Store) ListPeople(ctx context.Context, q session.PeopleQuery) ([]session.User, error) {
	limit, err := session.Query{Limit: q.Limit}.Rows()
	if err != nil {
		return nil, badUser("%v", err)
	}
	where, args := "1 = 1", []any{}
	if q.Email != "" {
		if err := checkText("an email", q.Email); err != nil {
			return nil, err
		}
		where, args = where+" AND (lower(email) = ? OR email = ?)", append(args, strings.ToLower(q.Email), q.Email)
	}
	if q.Search != "" {
		if err := checkText("what is searched for", q.Search); err != nil {
			return nil, err
		}
		condition, values := searched("email", "name", q.Search)
		where, args = where+" AND "+condition, append(args, values...)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := st.db.QueryContext(ctx, st.o.Dialect.Bind(`SELECT `+peopleColumns+` FROM people WHERE `+where+` ORDER BY email, id LIMIT ?`), append(args, limit)...)
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var out []session.User
	for rows.Next() {
		u, _, err := scanPerson(rows.Scan)
		if err != nil {
			return nil, st.unavailable(err)
		}
		out = append(out, u)
	}
	if err := rows.Err(); err != nil {
		return nil, st.unavailable(err)
	}
	return out, nil
}

func scanPerson(scan func(...any) error) (u session.User, verified bool, err error) {
	var roles string
	var first, last int64
	err = scan(&u.ID, &u.Issuer, &u.Subject, &u.Provider, &u.Email, &verified, &u.Name, &u.Organization, &roles, &first, &last)
	if err != nil {
		return u, false, err
	}
	if err := json.Unmarshal([]byte(roles), &u.Roles); err != nil {
		return u, false, fmt.Errorf("roles of %s: %w", u.ID, err)
	}
	u.CreatedAt, u.LastSeen = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
	return u, verified, nil
}

func nonNil(roles []string) []string {
	if roles == nil {
		return []string{}
	}
	return roles
}
