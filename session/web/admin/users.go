package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"github.com/neosc/gate/session"
)

// maxUsers is the most accounts, and the most people, of one listing.
const maxUsers = 1000

func (a *API) listUsers(r *http.Request) (any, error) {
	if _, err := parameters(r); err != nil {
		return nil, err
	}
	users, err := a.listed(r.Context())
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
	password, generated, action := n.Password, "", session.ActionUserImported
	if n.PasswordSHA256 == "" {
		password, generated = orGenerated(n.Password)
		action = session.ActionRegister
	}
	u, err := a.o.Users.AddUser(r.Context(), session.NewUser{
		Email: n.Email, Name: n.Name, Organization: n.Organization, Password: password, Roles: n.Roles, Demo: n.Demo, PasswordSHA256: n.PasswordSHA256,
	})
	if err != nil {
		return nil, err
	}
	if err := a.auditRoles(r.Context(), u, nil, action); err != nil {
		_, undo := a.o.Users.RemoveUser(context.WithoutCancel(r.Context()), u.Email)
		return nil, errors.Join(err, undo)
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
	if err == nil {
		err = a.auditAccount(r.Context(), session.ActionPasswordChanged, u)
	}
	if err != nil {
		return nil, fmt.Errorf("the password is changed, but sessions of before may go on, or nobody is told; try again: %w", err)
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
	before, err := a.rolesOf(r)
	if err != nil {
		return nil, err
	}
	u, err := a.o.Users.SetRoles(r.Context(), r.PathValue("email"), *c.Roles)
	if err != nil {
		return nil, err
	}
	if err := a.auditRoles(r.Context(), u, before); err != nil {
		_, undo := a.o.Users.SetRoles(context.WithoutCancel(r.Context()), u.Email, before)
		return nil, errors.Join(err, undo)
	}
	n, err := a.o.Sessions.UpdateUser(r.Context(), u.ID, func(id *session.Identity) error {
		id.Roles = append([]string(nil), u.Roles...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the roles are changed, but live sessions may keep the old ones; try again: %w", err)
	}
	a.o.Logger.Info("role_assigned", "user", u.ID, "roles", u.Roles, "sessions", n, "by", "operator")
	return ChangedUser{User: u, SessionsChanged: n}, nil
}

func (a *API) removeUser(r *http.Request) (any, error) {
	u, err := a.o.Users.RemoveUser(r.Context(), r.PathValue("email"))
	if err != nil {
		return nil, err
	}
	n, err := a.o.Sessions.RevokeUser(r.Context(), u.ID)
	if err == nil {
		err = a.auditAccount(r.Context(), session.ActionUserRemoved, u)
	}
	if a.o.Factors != nil {
		// They open nothing, for ids are never given twice, but are personal data.
		if gone := a.o.Factors.RemoveFactors(r.Context(), u.ID); gone != nil {
			a.o.Logger.Warn("second factors of a removed account are still kept", "user", u.ID, "error", gone)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the account is gone, but its sessions may go on, or nobody is told; end them with `gate session revoke -user %s`: %w", u.ID, err)
	}
	a.o.Logger.Info("user_removed", "user", u.ID, "sessions", n, "by", "operator")
	return ChangedUser{User: u, SessionsEnded: n}, nil
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
