package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/neosc/gate/session"
)

// userState is what an operator turns on or off, or where an account is moved.
type userState struct {
	Disabled *bool `json:"disabled,omitempty"`
	// Organization is an id or a name.
	Organization *string `json:"organization,omitempty"`
}

// organizationChange is a new organization, or what is to be changed of one.
type organizationChange struct {
	Name     *string          `json:"name,omitempty"`
	Domain   *string          `json:"domain,omitempty"`
	Settings *json.RawMessage `json:"settings,omitempty"`
}

// newInvitation invites into the organization of the address.
type newInvitation struct {
	Email string   `json:"email"`
	Roles []string `json:"roles,omitempty"`
}

type organizationList struct {
	Organizations []session.Organization `json:"organizations"`
}

// handleAccounts adds what Members and Organizations do.
func (a *API) handleAccounts() {
	a.handle("PATCH /v1/users/{email}", a.changeUser)
	if a.o.Organizations != nil {
		a.handle("GET /v1/organizations", a.listOrganizations)
		a.handle("POST /v1/organizations", a.addOrganization)
		a.handle("PATCH /v1/organizations/{organization}", a.changeOrganization)
		a.handle("POST /v1/organizations/{organization}/invitations", a.invite)
	}
}

// userID returns the id of the account of an email.
func (a *API) userID(r *http.Request) (string, error) {
	u, err := a.account(r.Context(), r.PathValue("email"))
	return u.ID, err
}

// organizationID returns the id of an organization that is named by it or by its
// name, of which no two are alike.
func (a *API) organizationID(ctx context.Context, name string) (string, error) {
	if a.o.Organizations == nil {
		return name, nil
	}
	for q := (session.OrganizationQuery{Limit: 1000}); ; {
		page, err := a.o.Organizations.PageOrganizations(ctx, q)
		if err != nil {
			return "", err
		}
		for _, o := range page.Organizations {
			if o.ID == name || strings.EqualFold(o.Name, name) {
				return o.ID, nil
			}
		}
		if q.After = page.Next; page.Next == "" {
			return "", NotFound("there is no organization %q", name)
		}
	}
}

func (a *API) changeUser(r *http.Request) (any, error) {
	var c userState
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	change := session.UserChange{Disabled: c.Disabled}
	if c.Organization != nil {
		id, err := a.organizationID(r.Context(), *c.Organization)
		if err != nil {
			return nil, err
		}
		change.Organization = &id
	}
	id, err := a.userID(r)
	if err != nil {
		return nil, err
	}
	u, err := a.o.Members.ChangeUser(r.Context(), id, change)
	if err != nil {
		return nil, err
	}
	return ChangedUser{User: u.User, SessionsEnded: u.SessionsEnded, SessionsChanged: u.SessionsChanged}, nil
}

func (a *API) listOrganizations(r *http.Request) (any, error) {
	if _, err := parameters(r); err != nil {
		return nil, err
	}
	var all []session.Organization
	for q := (session.OrganizationQuery{Limit: 1000}); ; {
		page, err := a.o.Organizations.PageOrganizations(r.Context(), q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Organizations...)
		if q.After = page.Next; page.Next == "" {
			return organizationList{nonNil(all)}, nil
		}
	}
}

func (a *API) addOrganization(r *http.Request) (any, error) {
	var c organizationChange
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	if c.Name == nil {
		return nil, problem(http.StatusUnprocessableEntity, "name is missing")
	}
	domain := ""
	if c.Domain != nil {
		domain = *c.Domain
	}
	return a.o.Organizations.CreateOrganization(r.Context(), *c.Name, domain)
}

func (a *API) changeOrganization(r *http.Request) (any, error) {
	var c organizationChange
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	id, err := a.organizationID(r.Context(), r.PathValue("organization"))
	if err != nil {
		return nil, err
	}
	return a.o.Organizations.ChangeOrganization(r.Context(), id, session.OrganizationChange{Name: c.Name, Domain: c.Domain, Settings: c.Settings})
}

func (a *API) invite(r *http.Request) (any, error) {
	var n newInvitation
	if err := decode(r, &n); err != nil {
		return nil, err
	}
	id, err := a.organizationID(r.Context(), r.PathValue("organization"))
	if err != nil {
		return nil, err
	}
	return a.o.Organizations.Invite(r.Context(), session.NewInvitation{Organization: id, Email: n.Email, Roles: n.Roles})
}

// SetDisabled keeps an account from signing in and ends its sessions, or lets
// it sign in again.
func (c *Client) SetDisabled(ctx context.Context, email string, disabled bool) (out ChangedUser, err error) {
	err = c.do(ctx, "PATCH", "/v1/users/"+url.PathEscape(email), nil, userState{Disabled: &disabled}, &out)
	return out, err
}

// MoveUser moves an account to an organization, by its id or name.
func (c *Client) MoveUser(ctx context.Context, email, organization string) (out ChangedUser, err error) {
	err = c.do(ctx, "PATCH", "/v1/users/"+url.PathEscape(email), nil, userState{Organization: &organization}, &out)
	return out, err
}

// Invite invites an email into an organization.
func (c *Client) Invite(ctx context.Context, organization, email string, roles []string) (out session.Invitation, err error) {
	err = c.do(ctx, "POST", "/v1/organizations/"+url.PathEscape(organization)+"/invitations", nil, newInvitation{email, roles}, &out)
	return out, err
}

// Organizations lists all organizations.
func (c *Client) Organizations(ctx context.Context) ([]session.Organization, error) {
	var out organizationList
	err := c.do(ctx, "GET", "/v1/organizations", nil, nil, &out)
	return out.Organizations, err
}

// AddOrganization makes an organization.
func (c *Client) AddOrganization(ctx context.Context, name, domain string) (out session.Organization, err error) {
	err = c.do(ctx, "POST", "/v1/organizations", nil, organizationChange{Name: &name, Domain: &domain}, &out)
	return out, err
}

// ChangeOrganization gives an organization another name, domain or settings; nil
// leaves what it has.
func (c *Client) ChangeOrganization(ctx context.Context, organization string, o session.OrganizationChange) (out session.Organization, err error) {
	err = c.do(ctx, "PATCH", "/v1/organizations/"+url.PathEscape(organization), nil, organizationChange{o.Name, o.Domain, o.Settings}, &out)
	return out, err
}
