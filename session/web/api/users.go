package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
)

const (
	// maxList is the most rows of a page, as the queries of session have it.
	maxList = 1000
	// maxParameter bounds a parameter: an id, a cursor, a part of a name.
	maxParameter = 512
)

// Account is a person as administrators, and they themselves, see one.
type Account struct {
	User
	Roles          []string  `json:"roles"`
	OrganizationID string    `json:"organization_id,omitempty"`
	EmailVerified  bool      `json:"email_verified"`
	Disabled       bool      `json:"disabled"`
	Provider       string    `json:"provider"`
	CreatedAt      time.Time `json:"created_at,omitzero"`
}

func accountOf(u *session.User) Account {
	out := Account{
		User:  User{ID: u.ID, Email: u.Email, Name: u.Name, Organization: u.Organization, Role: roleOf(u.Roles), MFA: u.MFA},
		Roles: u.Roles, OrganizationID: u.OrganizationID, EmailVerified: u.EmailVerified, Disabled: u.Disabled, Provider: u.Provider, CreatedAt: u.CreatedAt,
	}
	if out.Roles == nil {
		out.Roles = []string{}
	}
	if out.Provider == "" {
		out.Provider = local
	}
	return out
}

// page reads the parameters of a listing: limit, and text of at most
// maxParameter bytes.
func page(c *call, known ...string) (q url.Values, limit int, err error) {
	q, err = parameters(c.Request, append(known, "limit")...)
	if err != nil {
		return nil, 0, err
	}
	for name, v := range q {
		if len(v[0]) > maxParameter {
			return nil, 0, problem(http.StatusBadRequest, "request_invalid", "The parameter %s has more than %d bytes.", name, maxParameter)
		}
	}
	limit = 100
	if q.Has("limit") {
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > maxList {
			return nil, 0, problem(http.StatusBadRequest, "request_invalid", "The parameter limit is a number from 1 to %d.", maxList)
		}
	}
	return q, limit, nil
}

// nextPage is where a listing goes on, "" for nowhere.
func nextPage(c *call, q url.Values, cursor string) string {
	if cursor == "" {
		return ""
	}
	next := url.Values{}
	for name, v := range q {
		next[name] = v
	}
	next.Set("after", cursor)
	return c.URL.Path + "?" + next.Encode()
}

func (a *API) listUsers(c *call) (reply, error) {
	q, limit, err := page(c, "organization", "search", "after")
	if err != nil {
		return reply{}, err
	}
	found, err := a.o.Members.PageUsers(c.Context(), session.UserQuery{Organization: q.Get("organization"), Search: q.Get("search"), After: q.Get("after"), Limit: limit})
	if err != nil {
		return reply{}, err
	}
	out := make([]Account, 0, len(found.Users))
	for i := range found.Users {
		out = append(out, accountOf(&found.Users[i]))
	}
	return reply{body: out, next: nextPage(c, q, found.Next)}, nil
}

// pathID is an identifier in the path. What none of ours looks like is nobody's.
func pathID(c *call, name string) (string, error) {
	id := c.PathValue(name)
	if id == "" || len(id) > 128 {
		return "", noSuch(name)
	}
	for _, x := range []byte(id) {
		if !(x >= 'a' && x <= 'z' || x >= 'A' && x <= 'Z' || x >= '0' && x <= '9' || x == '_' || x == '-' || x == '.' || x == '~' || x == ':') {
			return "", noSuch(name)
		}
	}
	return id, nil
}

func noSuch(what string) *Problem {
	return problem(http.StatusNotFound, "not_found", "There is no such %s.", what)
}

// user is the handler of an address with the id of a user in it.
func (a *API) user(h func(c *call, id string) (reply, error)) handler {
	return func(c *call) (reply, error) {
		if _, err := parameters(c.Request); err != nil {
			return reply{}, err
		}
		id, err := pathID(c, "user")
		if err != nil {
			return reply{}, err
		}
		return h(c, id)
	}
}

func (a *API) getUser(c *call, id string) (reply, error) {
	u, err := a.o.Members.UserByID(c.Context(), id)
	return reply{body: accountOf(&u)}, err
}

// userPatch is what administrators may change. Role is the only one then,
// Roles are all of them; both at once are one too many.
type userPatch struct {
	Name         *string   `json:"name"`
	Role         *string   `json:"role"`
	Roles        *[]string `json:"roles"`
	Disabled     *bool     `json:"disabled"`
	MFA          *bool     `json:"mfa_enabled"`
	Organization *string   `json:"organization_id"`
}

func (a *API) changeUser(c *call, id string) (reply, error) {
	var q userPatch
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	if q.Role != nil {
		if q.Roles != nil {
			return reply{}, invalid("Send role or roles, not both.")
		}
		q.Roles = &[]string{*q.Role}
	}
	return a.change(c, id, session.UserChange{Name: q.Name, Roles: q.Roles, Disabled: q.Disabled, MFA: q.MFA, Organization: q.Organization})
}

func (a *API) change(c *call, id string, x session.UserChange) (reply, error) {
	if x == (session.UserChange{}) {
		return reply{}, invalid("There is nothing to change in it.")
	}
	changed, err := a.o.Members.ChangeUser(c.Context(), id, x)
	if err != nil {
		return reply{}, err
	}
	a.o.Logger.Info("user changed", "user", id, "by", c.s.Identity.UserID, "sessions_changed", changed.SessionsChanged, "sessions_ended", changed.SessionsEnded, "request_id", requestID(c.Request))
	return reply{body: accountOf(&changed.User)}, nil
}

func (a *API) deleteUser(c *call, id string) (reply, error) {
	gone, err := a.o.Members.DeleteUser(c.Context(), id)
	if err != nil {
		return reply{}, err
	}
	a.o.Logger.Info("user removed", "user", id, "by", c.s.Identity.UserID, "sessions_ended", gone.SessionsEnded, "request_id", requestID(c.Request))
	return reply{status: http.StatusNoContent}, nil
}

// profile is one's own account. Who comes from a provider, or has registered
// only, has none; what is known of them is in their session.
func (a *API) profile(c *call) (reply, error) {
	if _, err := parameters(c.Request); err != nil {
		return reply{}, err
	}
	id := &c.s.Identity
	if id.Provider == local {
		u, err := a.o.Members.UserByID(c.Context(), id.UserID)
		if !errors.Is(err, session.ErrNoUser) {
			return reply{body: accountOf(&u)}, err
		}
	}
	out := accountOf(&session.User{
		ID: id.UserID, Email: id.Email, Name: id.Name, Organization: id.Organization, Roles: id.Roles, EmailVerified: id.EmailVerified, Provider: id.Provider, MFA: twoFactors(id),
	})
	if id.Provider == local {
		registered(&out.User)
	}
	return reply{body: out}, nil
}

type profilePatch struct {
	Name *string `json:"name"`
}

func (a *API) changeProfile(c *call) (reply, error) {
	var q profilePatch
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	out, err := a.change(c, c.s.Identity.UserID, session.UserChange{Name: q.Name})
	return out, noAccount(err)
}

type passwordRequest struct {
	Current string `json:"current_password"`
	New     string `json:"new_password"`
}

// changePassword ends all sessions but the one that asks.
func (a *API) changePassword(c *call) (reply, error) {
	var q passwordRequest
	if err := a.forPasswords(c, &q); err != nil {
		return reply{}, err
	}
	err := a.o.Registrar.ChangePassword(c.Context(), c.s.Identity.UserID, q.Current, q.New, web.ClientAddr(c.Request), c.s.Key)
	if errors.Is(err, session.ErrCredentials) {
		// Not 401: the session is as good as before.
		err = problem(http.StatusUnprocessableEntity, "credentials", "The current password is wrong.")
	}
	return reply{status: http.StatusNoContent}, noAccount(err)
}

// noAccount says what it means for one's own account that there is none.
func noAccount(err error) error {
	if errors.Is(err, session.ErrNoUser) {
		return problem(http.StatusConflict, "no_account", "You have no account of the gate's own, or have not verified its email yet.")
	}
	return err
}
