package console

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const organizationsPath = "/admin/organizations"

func organizationPath(id string) string { return organizationsPath + "/" + url.PathEscape(id) }

func (c *Console) organizations(w http.ResponseWriter, r *http.Request) {
	if s := c.o.Frame.Administrator(w, r); s != nil {
		c.showOrganizations(w, r, s, pages.OrganizationsView{})
	}
}

func (c *Console) showOrganizations(w http.ResponseWriter, r *http.Request, s *session.Session, v pages.OrganizationsView) {
	wrong, status := v.Notice, v.Status
	v.Viewer = c.viewer(w, r, s)
	if wrong != nil {
		v.Notice, v.Status = wrong, status
	}
	q := session.OrganizationQuery{After: search(r, "after"), Limit: pageSize}
	page, err := c.o.Organizations.PageOrganizations(r.Context(), q)
	if err != nil && q.After != "" && errors.Is(err, session.ErrBadUser) {
		q.After = "" // a cursor that somebody made up
		page, err = c.o.Organizations.PageOrganizations(r.Context(), q)
	}
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing organizations", err)
		return
	}
	v.Organizations, v.First = page.Organizations, q.After == ""
	if page.Next != "" {
		v.Next = organizationsPath + "?after=" + url.QueryEscape(page.Next)
	}
	c.o.Frame.Show(w, c.o.Pages.Organizations(v))
}

func (c *Console) createOrganization(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	o, err := c.o.Organizations.CreateOrganization(as(r, s), form.Get("name"), form.Get("domain"))
	if err == nil {
		c.done(w, r, s, organizationPath(o.ID), doneOrganization, 0)
		return
	}
	status, text, ok := c.explain(w, err)
	if !ok {
		c.o.Frame.Trouble(w, r, "creating an organization", err)
		return
	}
	v := pages.OrganizationsView{Name: form.Get("name"), Domain: form.Get("domain")}
	v.Status, v.Notice = status, bad("Nothing was created. "+text)
	c.showOrganizations(w, r, s, v)
}

func (c *Console) organization(w http.ResponseWriter, r *http.Request) {
	if s := c.o.Frame.Administrator(w, r); s != nil {
		c.showOrganization(w, r, s, pages.OrganizationView{})
	}
}

// showOrganization shows the one that the path names.
func (c *Console) showOrganization(w http.ResponseWriter, r *http.Request, s *session.Session, v pages.OrganizationView) {
	wrong, status := v.Notice, v.Status
	v.Viewer = c.viewer(w, r, s)
	if wrong != nil {
		v.Notice, v.Status = wrong, status
	}
	var err error
	if v.Organization, err = c.o.Organizations.Organization(r.Context(), r.PathValue("id")); err == nil {
		v.Invitations, err = c.o.Organizations.Invitations(r.Context(), v.Organization.ID)
	}
	switch {
	case errors.Is(err, session.ErrNoOrganization):
		c.o.Frame.Refuse(w, r, http.StatusNotFound, "unknown_route", s)
		return
	case err != nil:
		c.o.Frame.Trouble(w, r, "looking up an organization", err)
		return
	}
	v.KnownRoles = knownRoles()
	c.o.Frame.Show(w, c.o.Pages.Organization(v))
}

func (c *Console) changeOrganization(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	name, domain := form.Get("name"), form.Get("domain")
	o, err := c.o.Organizations.ChangeOrganization(as(r, s), r.PathValue("id"), session.OrganizationChange{Name: &name, Domain: &domain})
	if err != nil {
		c.organizationFailed(w, r, s, "changing an organization", err, "")
		return
	}
	c.done(w, r, s, organizationPath(o.ID), doneOrganizationChanged, 0)
}

func (c *Console) organizationFailed(w http.ResponseWriter, r *http.Request, s *session.Session, doing string, err error, typed string) {
	status, text, ok := c.explain(w, err)
	switch {
	case errors.Is(err, session.ErrNoOrganization):
		c.o.Frame.Refuse(w, r, http.StatusNotFound, "unknown_route", s)
	case !ok:
		c.o.Frame.Trouble(w, r, doing, err)
	default:
		v := pages.OrganizationView{Email: typed}
		v.Status, v.Notice = status, bad("Nothing has changed. "+text)
		c.showOrganization(w, r, s, v)
	}
}

// invite sends an invitation; where no mail is sent it shows the link, once.
func (c *Console) invite(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	roles := []string{}
	for _, role := range knownRoles() {
		if form.Get("role:"+role) == "yes" {
			roles = append(roles, role)
		}
	}
	i, err := c.o.Organizations.Invite(as(r, s), session.NewInvitation{Organization: r.PathValue("id"), Email: form.Get("email"), Roles: roles})
	switch {
	case err != nil:
		c.organizationFailed(w, r, s, "inviting somebody", err, form.Get("email"))
	case i.Link != "":
		c.showOrganization(w, r, s, pages.OrganizationView{Link: i.Link, LinkFor: i.Email})
	default:
		c.done(w, r, s, organizationPath(i.Organization), doneInvited, 0)
	}
}

func (c *Console) revokeInvitation(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	if err := c.o.Organizations.RevokeInvitation(as(r, s), form.Get("invitation")); err != nil {
		c.organizationFailed(w, r, s, "taking an invitation back", err, "")
		return
	}
	c.done(w, r, s, organizationPath(r.PathValue("id")), doneUninvited, 0)
}
