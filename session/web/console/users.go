package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const usersPath = "/admin/users"

// knownRoles are offered; others can be typed.
func knownRoles() []string { return []string{adminRole, "neosc", "user"} }

func userPath(id string) string { return usersPath + "/" + url.PathEscape(id) }

// maxOrganizations is how many are offered in a list.
const maxOrganizations = 1000

func (c *Console) users(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Administrator(w, r)
	if s == nil {
		return
	}
	q := session.UserQuery{Search: search(r, "q"), Organization: search(r, "organization"), After: search(r, "after"), Limit: pageSize}
	v := pages.UsersView{Viewer: c.viewer(w, r, s), Search: q.Search, Organization: q.Organization, First: q.After == ""}
	page, err := c.o.Members.PageUsers(r.Context(), q)
	if err != nil && q.After != "" && errors.Is(err, session.ErrBadUser) {
		q.After, v.First = "", true // a cursor that somebody made up
		page, err = c.o.Members.PageUsers(r.Context(), q)
	}
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing accounts", err)
		return
	}
	orgs, err := c.o.Organizations.PageOrganizations(r.Context(), session.OrganizationQuery{Limit: maxOrganizations})
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing organizations", err)
		return
	}
	v.Organizations, v.Users = orgs.Organizations, page.Users
	if page.Next != "" {
		next := url.Values{"after": {page.Next}}
		if q.Search != "" {
			next.Set("q", q.Search)
		}
		if q.Organization != "" {
			next.Set("organization", q.Organization)
		}
		v.Next = usersPath + "?" + next.Encode()
	}
	c.o.Frame.Show(w, c.o.Pages.Users(v))
}

func (c *Console) user(w http.ResponseWriter, r *http.Request) {
	if s := c.o.Frame.Administrator(w, r); s != nil {
		c.showUser(w, r, s, 0, nil)
	}
}

// showUser shows the account that the path names.
func (c *Console) showUser(w http.ResponseWriter, r *http.Request, s *session.Session, status int, n *pages.Notice) {
	u, err := c.o.Members.UserByID(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, session.ErrNoUser):
		c.o.Frame.Refuse(w, r, http.StatusNotFound, "unknown_route", s)
		return
	case err != nil:
		c.o.Frame.Trouble(w, r, "looking up an account", err)
		return
	}
	v := pages.UserView{Viewer: c.viewer(w, r, s), User: u, Own: u.ID == s.Identity.UserID, KnownRoles: knownRoles()}
	if n != nil {
		v.Notice, v.Status = n, status
	}
	orgs, err := c.o.Organizations.PageOrganizations(r.Context(), session.OrganizationQuery{Limit: maxOrganizations})
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing organizations", err)
		return
	}
	v.Organizations = orgs.Organizations
	found, err := c.o.Sessions.List(r.Context(), session.Query{UserID: u.ID, Now: c.o.Clock(), Limit: maxOwn})
	if err != nil {
		c.o.Frame.Trouble(w, r, "listing sessions", err)
		return
	}
	v.Sessions = c.views(r.Context(), found, u.ID, s.Key)
	c.o.Frame.Show(w, c.o.Pages.User(v))
}

// changeUser does what the form's button says.
func (c *Console) changeUser(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	id := r.PathValue("id")
	if form.Get("do") == "sessions" {
		c.endUser(w, r, s, id, userPath(id))
		return
	}
	change, d, ok := changeOf(form)
	switch {
	case !ok:
		c.showUser(w, r, s, http.StatusUnprocessableEntity, bad("The form asks for nothing that can be done here. Nothing has changed."))
		return
	case d == doneDisabled && id == s.Identity.UserID:
		c.showUser(w, r, s, http.StatusConflict, bad("This is your own account. Another administrator can disable it. Nothing has changed."))
		return
	}
	changed, err := c.o.Members.ChangeUser(as(r, s), id, change)
	if err != nil {
		c.userFailed(w, r, s, "changing an account", err)
		return
	}
	n := changed.SessionsChanged
	if d == doneDisabled {
		n = changed.SessionsEnded
	}
	c.done(w, r, s, userPath(id), d, n)
}

// changeOf reads what a form wants; ok is false for nothing that is known.
func changeOf(form url.Values) (change session.UserChange, d deed, ok bool) {
	yes, no := true, false
	switch form.Get("do") {
	case "roles":
		roles := []string{}
		for _, role := range knownRoles() {
			if form.Get("role:"+role) == "yes" {
				roles = append(roles, role)
			}
		}
		for _, role := range strings.Split(form.Get("others"), ",") {
			if role = strings.TrimSpace(role); role != "" && !slices.Contains(roles, role) {
				roles = append(roles, role)
			}
		}
		return session.UserChange{Roles: &roles}, doneUserChanged, true
	case "move":
		organization := form.Get("organization")
		return session.UserChange{Organization: &organization}, doneUserChanged, true
	case "disable":
		return session.UserChange{Disabled: &yes}, doneDisabled, true
	case "enable":
		return session.UserChange{Disabled: &no}, doneEnabled, true
	case "mfa-on":
		return session.UserChange{MFA: &yes}, doneUserChanged, true
	case "mfa-off":
		return session.UserChange{MFA: &no}, doneUserChanged, true
	default:
		return change, "", false
	}
}

func (c *Console) userFailed(w http.ResponseWriter, r *http.Request, s *session.Session, doing string, err error) {
	status, text, ok := c.explain(w, err)
	switch {
	case errors.Is(err, session.ErrNoUser):
		c.o.Frame.Refuse(w, r, http.StatusNotFound, "unknown_route", s)
	case !ok:
		c.o.Frame.Trouble(w, r, doing, err)
	default:
		c.showUser(w, r, s, status, bad("Nothing has changed. "+text))
	}
}

func (c *Console) askDelete(w http.ResponseWriter, r *http.Request) {
	s := c.o.Frame.Administrator(w, r)
	if s == nil {
		return
	}
	u, err := c.o.Members.UserByID(r.Context(), r.PathValue("id"))
	if err != nil {
		c.userFailed(w, r, s, "looking up an account", err)
		return
	}
	c.o.Frame.Show(w, c.o.Pages.Confirm(pages.ConfirmView{
		Viewer: c.viewer(w, r, s), Section: "users", Heading: "Delete the account of " + pages.Shown(u.Email) + "?",
		Lead:   "Its sessions end at once, and its second factors go with it. This cannot be taken back. The audit trail keeps what was done under it. To keep it closed for a while, disable it instead.",
		Button: "Delete the account", Instead: "Keep it", Action: userPath(u.ID) + "/delete", Back: userPath(u.ID),
	}))
}

func (c *Console) deleteUser(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	id := r.PathValue("id")
	switch {
	case form.Get("sure") != "yes":
		c.o.Frame.SeeOther(w, userPath(id)+"/delete")
		return
	case id == s.Identity.UserID:
		c.showUser(w, r, s, http.StatusConflict, bad("This is your own account. Another administrator can delete it. Nothing has changed."))
		return
	}
	gone, err := c.o.Members.DeleteUser(as(r, s), id)
	if err != nil {
		c.userFailed(w, r, s, "deleting an account", err)
		return
	}
	c.done(w, r, s, usersPath, doneDeleted, gone.SessionsEnded)
}
