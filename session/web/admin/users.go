package admin

import (
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/neosc/gate/session"
)

func (a *API) listUsers(r *http.Request) (any, error) {
	q, err := parameters(r, "search", "limit")
	if err != nil {
		return nil, err
	}
	limit := maxList
	if err := limited(q, &limit); err != nil {
		return nil, err
	}
	users, err := a.listed(r.Context(), q.Get("search"), limit)
	if err != nil {
		return nil, err
	}
	return userList{Users: users}, nil
}

func (a *API) addUser(r *http.Request) (any, error) {
	var n NewUser
	if err := decode(r, &n); err != nil {
		return nil, err
	}
	password, generated := n.Password, ""
	if n.PasswordSHA256 == "" {
		password, generated = orGenerated(n.Password)
	}
	u, err := a.o.Users.AddUser(r.Context(), session.NewUser{
		Email: n.Email, Name: n.Name, Organization: n.Organization, Password: password, Roles: n.Roles, Demo: n.Demo, PasswordSHA256: n.PasswordSHA256,
	})
	if err != nil {
		return nil, err
	}
	a.o.Logger.Info("register", "user", u.ID, "roles", u.Roles, "by", "operator")
	return ChangedUser{User: u, Password: generated}, nil
}

// setPassword ends the account's sessions: whoever knew the old password may
// have one.
func (a *API) setPassword(r *http.Request) (any, error) {
	var c passwordChange
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	password, generated := orGenerated(c.Password)
	u, err := a.o.Users.SetPassword(r.Context(), r.PathValue("email"), password)
	if err != nil {
		return nil, err
	}
	n, err := a.o.Sessions.RevokeUser(r.Context(), u.ID)
	if err != nil {
		return nil, fmt.Errorf("the password is changed, but sessions of before may go on; try again: %w", err)
	}
	a.o.Logger.Info("password_changed", "user", u.ID, "sessions", n, "by", "operator")
	return ChangedUser{User: u, Password: generated, SessionsEnded: n}, nil
}

// setRoles changes the account and, at once, its live sessions.
func (a *API) setRoles(r *http.Request) (any, error) {
	var c roleChange
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	if c.Roles == nil {
		return nil, problem(http.StatusUnprocessableEntity, "roles is missing; an empty list takes all away")
	}
	id, err := a.userID(r)
	if err != nil {
		return nil, err
	}
	u, err := a.o.Members.ChangeUser(r.Context(), id, session.UserChange{Roles: c.Roles})
	if err != nil {
		return nil, err
	}
	a.o.Logger.Info("role_assigned", "user", id, "roles", u.User.Roles, "sessions", u.SessionsChanged, "by", "operator")
	return ChangedUser{User: u.User, SessionsChanged: u.SessionsChanged}, nil
}

func (a *API) removeUser(r *http.Request) (any, error) {
	id, err := a.userID(r)
	if err != nil {
		return nil, err
	}
	u, err := a.o.Members.DeleteUser(r.Context(), id)
	if err != nil {
		return nil, err
	}
	a.o.Logger.Info("user_removed", "user", id, "sessions", u.SessionsEnded, "by", "operator")
	return ChangedUser{User: u.User, SessionsEnded: u.SessionsEnded}, nil
}

// orGenerated returns the password, or a random one of 130 bits twice: to use
// and to show.
func orGenerated(password string) (use, show string) {
	if password != "" {
		return password, ""
	}
	p := rand.Text()
	return p, p
}
