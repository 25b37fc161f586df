package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/neosc/gate/session"
)

// Organization is one as apps know it; settings are for administrators.
type Organization struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Domain     string          `json:"domain"`
	Users      int             `json:"users_count"`
	Workspaces int             `json:"workspaces_count"`
	CreatedAt  time.Time       `json:"created_at"`
	Settings   json.RawMessage `json:"settings,omitempty"`
}

func (c *call) organization(o *session.Organization) Organization {
	out := Organization{ID: o.ID, Name: o.Name, Domain: o.Domain, Users: o.UsersCount, Workspaces: o.WorkspacesCount, CreatedAt: o.CreatedAt}
	if c.isAdmin() {
		out.Settings = o.Settings
	}
	return out
}

// listOrganizations shows administrators all, and everybody else their own.
func (a *API) listOrganizations(c *call) (reply, error) {
	q, limit, err := page(c, "after")
	if err != nil {
		return reply{}, err
	}
	query := session.OrganizationQuery{Member: c.s.Identity.UserID, After: q.Get("after"), Limit: limit}
	if c.isAdmin() {
		query.Member = ""
	}
	found, err := a.o.Organizations.PageOrganizations(c.Context(), query)
	if err != nil {
		return reply{}, err
	}
	out := make([]Organization, 0, len(found.Organizations))
	for i := range found.Organizations {
		out = append(out, c.organization(&found.Organizations[i]))
	}
	return reply{body: out, next: nextPage(c, q, found.Next)}, nil
}

type newOrganization struct {
	Name   string `json:"name"`
	Domain string `json:"domain"`
}

func (a *API) createOrganization(c *call) (reply, error) {
	var q newOrganization
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	o, err := a.o.Organizations.CreateOrganization(c.Context(), q.Name, q.Domain)
	return reply{status: http.StatusCreated, body: c.organization(&o)}, err
}

// ofOrganization is the handler of an address with an organization's id in it.
func (a *API) ofOrganization(h func(c *call, id string) (reply, error)) handler {
	return func(c *call) (reply, error) {
		if _, err := parameters(c.Request); err != nil {
			return reply{}, err
		}
		id, err := pathID(c, "organization")
		if err != nil {
			return reply{}, err
		}
		return h(c, id)
	}
}

func (a *API) getOrganization(c *call, id string) (reply, error) {
	o, err := a.o.Organizations.Organization(c.Context(), id)
	return reply{body: c.organization(&o)}, err
}

type organizationPatch struct {
	Name     *string          `json:"name"`
	Domain   *string          `json:"domain"`
	Settings *json.RawMessage `json:"settings"`
}

func (a *API) changeOrganization(c *call, id string) (reply, error) {
	var q organizationPatch
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	if q == (organizationPatch{}) {
		return reply{}, invalid("There is nothing to change in it.")
	}
	o, err := a.o.Organizations.ChangeOrganization(c.Context(), id, session.OrganizationChange{Name: q.Name, Domain: q.Domain, Settings: q.Settings})
	return reply{body: c.organization(&o)}, err
}

type newInvitation struct {
	Email string   `json:"email"`
	Roles []string `json:"roles"`
}

func (a *API) invite(c *call, id string) (reply, error) {
	var q newInvitation
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	i, err := a.o.Organizations.Invite(c.Context(), session.NewInvitation{Organization: id, Email: q.Email, Roles: q.Roles})
	return reply{status: http.StatusCreated, body: i}, err
}

func (a *API) listInvitations(c *call, id string) (reply, error) {
	waiting, err := a.o.Organizations.Invitations(c.Context(), id)
	if waiting == nil {
		waiting = []session.Invitation{}
	}
	return reply{body: waiting}, err
}

func (a *API) revokeInvitation(c *call, id string) (reply, error) {
	which, err := pathID(c, "invitation")
	if err != nil {
		return reply{}, err
	}
	waiting, err := a.o.Organizations.Invitations(c.Context(), id)
	if err != nil {
		return reply{}, err
	}
	if !slices.ContainsFunc(waiting, func(i session.Invitation) bool { return i.ID == which }) {
		return reply{}, noSuch("invitation")
	}
	return reply{status: http.StatusNoContent}, a.o.Organizations.RevokeInvitation(c.Context(), which)
}

type acceptRequest struct {
	Token string `json:"token"`
}

// accept moves who asks into the organization that their own email was invited to.
func (a *API) accept(c *call) (reply, error) {
	var q acceptRequest
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	moved, err := a.o.Organizations.AcceptInvitation(c.Context(), c.s.Identity.UserID, q.Token)
	if err != nil {
		return reply{}, noAccount(err)
	}
	return reply{body: accountOf(&moved.User)}, nil
}
