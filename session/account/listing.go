package account

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/neosc/gate/session"
)

// cursor is where a listing went to: opaque, so that nobody builds one.
func cursor(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

func openCursor(c string) (string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(c)
	if err != nil || len(b) > 1024 || !utf8.Valid(b) {
		return "", badUser("the listing has no place %q", clip(c))
	}
	return string(b), nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// likePattern finds a part of a text; what it is looked for means nothing else.
func likePattern(part string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(part) + "%"
}

// searched is the condition that one of two columns has a part, in any case. What
// databases do not know as letters, such as "Á", they do not lower either: so it is
// looked for as it is written too.
func searched(one, other, part string) (where string, args []any) {
	low, as := likePattern(strings.ToLower(part)), likePattern(part)
	where = fmt.Sprintf(`(lower(%[1]s) LIKE ? ESCAPE '\' OR lower(%[2]s) LIKE ? ESCAPE '\' OR %[1]s LIKE ? ESCAPE '\' OR %[2]s LIKE ? ESCAPE '\')`, one, other)
	return where, []any{low, low, as, as}
}

// PageUsers lists accounts by email, as session.Members says.
func (st *Store) PageUsers(ctx context.Context, q session.UserQuery) (session.UserPage, error) {
	limit, err := session.Query{Limit: q.Limit}.Rows()
	if err != nil {
		return session.UserPage{}, badUser("%v", err)
	}
	if err := checkText("what is searched for", q.Search); err != nil {
		return session.UserPage{}, err
	}
	where, args := "1 = 1", []any{}
	add := func(condition string, values ...any) { where, args = where+" AND "+condition, append(args, values...) }
	if q.Organization != "" {
		add("organization_id = ?", q.Organization)
	}
	if q.Search != "" {
		condition, values := searched("email", "name", q.Search)
		add(condition, values...)
	}
	if q.After != "" {
		after, err := openCursor(q.After)
		if err != nil {
			return session.UserPage{}, err
		}
		add("email > ?", after)
	}
	users, err := st.users(ctx, where, append(args, limit+1)...)
	if err != nil {
		return session.UserPage{}, err
	}
	page := session.UserPage{Users: []session.User{}}
	for i, u := range users {
		if i == limit {
			page.Next = cursor(users[i-1].Email)
			break
		}
		page.Users = append(page.Users, u.public())
	}
	return page, nil
}

// users lists accounts; the last argument is the most of them.
func (st *Store) users(ctx context.Context, where string, args ...any) ([]*User, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := st.db.QueryContext(ctx, st.o.Dialect.Bind(`SELECT `+selected+` FROM users WHERE `+where+` ORDER BY email LIMIT ?`), args...)
	if err != nil {
		return nil, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var out []*User
	for rows.Next() {
		u, err := scanUser(rows.Scan)
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

// UserByID returns an account as operators see it: session.ErrNoUser if there is none.
func (st *Store) UserByID(ctx context.Context, id string) (session.User, error) {
	u, err := st.GetByID(ctx, id)
	if err != nil {
		return session.User{}, err
	}
	return u.public(), nil
}
