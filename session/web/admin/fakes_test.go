package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/neosc/gate/session"
)

// users keeps accounts in memory.
type users struct {
	mu        sync.Mutex
	by        map[string]session.User
	passwords map[string]string
	down      error
}

func (u *users) AddUser(_ context.Context, n session.NewUser) (session.User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down != nil {
		return session.User{}, u.down
	}
	if !strings.Contains(n.Email, "@") {
		return session.User{}, fmt.Errorf("%w: email %q has no @", session.ErrBadUser, n.Email)
	}
	if _, ok := u.by[n.Email]; ok {
		return session.User{}, session.ErrUserExists
	}
	u.by[n.Email] = session.User{ID: "u-" + n.Email, Email: n.Email, Name: n.Name, Roles: n.Roles, Demo: n.Demo, CreatedAt: noon}
	u.passwords[n.Email] = n.Password
	return u.by[n.Email], nil
}

func (u *users) UserByEmail(_ context.Context, email string) (session.User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	x, ok := u.by[strings.ToLower(email)]
	if u.down == nil && !ok {
		return x, session.ErrNoUser
	}
	return x, u.down
}

func (u *users) all() ([]session.User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.SortedFunc(maps.Values(u.by), func(a, b session.User) int { return strings.Compare(a.Email, b.Email) }), u.down
}

func (u *users) change(email string, f func(*session.User)) (session.User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	x, ok := u.by[email]
	if !ok {
		return session.User{}, session.ErrNoUser
	}
	f(&x)
	u.by[email] = x
	return x, nil
}

func (u *users) SetPassword(_ context.Context, email, password string) (session.User, error) {
	return u.change(email, func(*session.User) { u.passwords[email] = password })
}

// members are the same accounts with their live sessions, as Members has them.
type members struct {
	*users
	sessions *session.Manager
}

func (m members) PageUsers(_ context.Context, q session.UserQuery) (session.UserPage, error) {
	all, err := m.all()
	all = slices.DeleteFunc(all, func(u session.User) bool { return !strings.Contains(u.Email, strings.ToLower(q.Search)) })
	return session.UserPage{Users: all[:min(len(all), q.Limit)]}, err
}

func (m members) UserByID(ctx context.Context, id string) (session.User, error) {
	all, err := m.all()
	for _, u := range all {
		if u.ID == id {
			return u, nil
		}
	}
	return session.User{}, errors.Join(err, session.ErrNoUser)
}

func (m members) ChangeUser(ctx context.Context, id string, c session.UserChange) (session.ChangedUser, error) {
	u, err := m.UserByID(ctx, id)
	if err != nil || c.Roles == nil {
		return session.ChangedUser{}, err
	}
	if u, err = m.change(u.Email, func(x *session.User) { x.Roles = *c.Roles }); err != nil {
		return session.ChangedUser{}, err
	}
	n, err := m.sessions.UpdateUser(ctx, id, func(i *session.Identity) error { i.Roles = *c.Roles; return nil })
	return session.ChangedUser{User: u, SessionsChanged: n}, err
}

func (m members) DeleteUser(ctx context.Context, id string) (session.ChangedUser, error) {
	u, err := m.UserByID(ctx, id)
	if err != nil {
		return session.ChangedUser{}, err
	}
	m.mu.Lock()
	delete(m.by, u.Email)
	m.mu.Unlock()
	n, err := m.sessions.RevokeUser(ctx, id)
	return session.ChangedUser{User: u, SessionsEnded: n}, err
}
