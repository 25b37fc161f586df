package pages

import (
	"net/url"
	"slices"

	"github.com/neosc/gate/session"
)

// SessionsView is the console's list of live sessions.
type SessionsView struct {
	Viewer
	// Live is how many there are; below zero if they could not be counted.
	Live int
	// Search is what was asked for: an email, or a user id.
	Search   string
	Sessions []SessionView
	// Whose is the id of the one person whose sessions were searched for, "" if
	// they are several people's.
	Whose string
	// Next leads to older ones, "" if there are none; First says that these are
	// the newest.
	Next  string
	First bool
}

// Sessions renders the page.
func (r *Renderer) Sessions(v SessionsView) Page {
	d := struct {
		frame
		Live, AsOf, AsOfStamp, Search, Next, NewestURL, Whose string
		First                                                 bool
		Sessions                                              []sessionRow
	}{
		frame: r.frame(v.Viewer, "sessions", "Live sessions"), AsOf: v.Now.UTC().Format("15:04:05"), AsOfStamp: utc(v.Now).Stamp,
		Search: shown(v.Search, 254), Next: v.Next, First: v.First, NewestURL: "/admin/sessions", Whose: v.Whose,
	}
	if v.Live >= 0 {
		d.Live = Counted(v.Live, "session is live.", "sessions are live.")
	}
	if v.Search != "" {
		d.NewestURL += "?q=" + url.QueryEscape(v.Search)
	}
	for _, s := range v.Sessions {
		d.Sessions = append(d.Sessions, r.sessionRow(s, utc))
	}
	return r.render("sessions", r.ownCSP(), orStatus(v.Status), d)
}

// UsersView is the console's list of accounts.
type UsersView struct {
	Viewer
	// Search and Organization are what was asked for.
	Search, Organization string
	Organizations        []session.Organization
	Users                []session.User
	// Next leads on, "" on the last page; First says that this is the first.
	Next  string
	First bool
}

type userRow struct {
	session.User
	Shown, ShownEmail, State, Tone, Icon string
	Badges                               []badge
	Made                                 Instant
}

func rowOfUser(u session.User) userRow {
	row := userRow{User: u, Shown: shown(or(u.Name, u.Email), 60), ShownEmail: shown(u.Email, maxEmailShown), State: "Active", Tone: "good", Icon: "yes", Made: utc(u.CreatedAt)}
	row.Organization = shown(u.Organization, 60)
	switch {
	case u.Disabled:
		row.State, row.Tone, row.Icon = "Disabled", "bad", "no"
	case !u.EmailVerified:
		row.State, row.Tone, row.Icon = "Email not verified", "warn", "alert"
	}
	for _, role := range u.Roles {
		b := badge{Text: shown(role, maxRoleShown)}
		if role == "admin" {
			b.Tone = "info"
		}
		row.Badges = append(row.Badges, b)
	}
	return row
}

// choice is an option of a list.
type option struct {
	ID, Name string
	Chosen   bool
}

func optionsOf(all []session.Organization, chosen string) []option {
	var out []option
	for _, o := range all {
		out = append(out, option{o.ID, shown(o.Name, 60), o.ID == chosen})
	}
	return out
}

// Users renders the page.
func (r *Renderer) Users(v UsersView) Page {
	d := struct {
		frame
		Search, Next    string
		First, Searched bool
		Organizations   []option
		Users           []userRow
	}{
		frame: r.frame(v.Viewer, "users", "Users"), Search: shown(v.Search, 254), Next: v.Next, First: v.First,
		Searched: v.Search != "" || v.Organization != "", Organizations: optionsOf(v.Organizations, v.Organization),
	}
	for _, u := range v.Users {
		d.Users = append(d.Users, rowOfUser(u))
	}
	return r.render("users", r.ownCSP(), orStatus(v.Status), d)
}

// UserView is the console's page of one account.
type UserView struct {
	Viewer
	User session.User
	// Own says that it is the viewer's own account.
	Own bool
	// KnownRoles are offered to be given.
	KnownRoles    []string
	Organizations []session.Organization
	Sessions      []SessionView
}

// User renders the page.
func (r *Renderer) User(v UserView) Page {
	d := struct {
		frame
		User                userRow
		Own                 bool
		KnownRoles          []option
		OtherRoles, Removal string
		Organizations       []option
		Sessions            []sessionRow
	}{frame: r.frame(v.Viewer, "users", or(v.User.Name, v.User.Email)), User: rowOfUser(v.User), Own: v.Own, Organizations: optionsOf(v.Organizations, v.User.OrganizationID)}
	d.Title = shown(d.Title, 60)
	for _, role := range v.KnownRoles {
		d.KnownRoles = append(d.KnownRoles, option{role, roleMeans(role), slices.Contains(v.User.Roles, role)})
	}
	for _, role := range v.User.Roles {
		if !slices.Contains(v.KnownRoles, role) {
			if d.OtherRoles != "" {
				d.OtherRoles += ", "
			}
			d.OtherRoles += role
		}
	}
	for _, s := range v.Sessions {
		d.Sessions = append(d.Sessions, r.sessionRow(s, utc))
	}
	return r.render("user", r.ownCSP(), orStatus(v.Status), d)
}

// roleMeans says in a few words what the policy that is shipped opens to a role.
func roleMeans(role string) string {
	switch role {
	case "admin":
		return "everything, this console included"
	case "neosc":
		return "portal, API, workspaces"
	case "user":
		return "portal, API to read"
	default:
		return ""
	}
}
