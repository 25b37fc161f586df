package pages

import (
	"strconv"
	"time"
)

// Viewer is who looks at a page, as its frame shows them.
type Viewer struct {
	Email, Name string
	Roles       []string
	// Admin says that the console is open to them, Security that they have
	// second factors to see to.
	Admin, Security bool
	// CSRF is the token of the page's forms, and Notice what is said above them;
	// its tone may be "good" too.
	CSRF   string
	Notice *Notice
	// Theme is the menu of colours.
	Theme Theme
	// Status is the answer's status; 0 means 200.
	Status int
	// Now is the instant of the page.
	Now time.Time
}

// frame is what the frames of pages for somebody signed in need.
type frame struct {
	shell
	Name, Initials, RoleText, CSRF string
	Admin, Security, Demos         bool
	// Section is the part of the console, or of the account, that the page is.
	Section string
	Notice  *Notice
	Theme   Theme
}

func (r *Renderer) frame(v Viewer, section, title string) frame {
	f := frame{shell: r.own, Name: shown(or(v.Name, v.Email), 60), RoleText: shownRoles(v.Roles), CSRF: v.CSRF, Admin: v.Admin, Security: v.Security, Demos: r.demos, Section: section, Notice: v.Notice, Theme: v.Theme}
	f.Title = title
	f.Initials = initials(f.Name)
	return f
}

// Instant is a time as a page shows it, and as programs read it.
type Instant struct{ Text, Stamp string }

// utc shows a time in UTC, as the console does.
func utc(t time.Time) Instant {
	if t.IsZero() {
		return Instant{}
	}
	return Instant{t.UTC().Format("2 Jan 2006, 15:04:05"), t.UTC().Format(time.RFC3339)}
}

// local shows a time at the people's place.
func (r *Renderer) local(t time.Time) Instant {
	if t.IsZero() {
		return Instant{}
	}
	return Instant{t.In(r.location).Format("2 January 2006, 15:04"), t.UTC().Format(time.RFC3339)}
}

// Counted is a number with its noun: "1 session", "2 sessions".
func Counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped writes a number with commas between its thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ConfirmView asks before something that cannot be taken back.
type ConfirmView struct {
	Viewer
	// Section is the part of the console that it belongs to.
	Section                        string
	Heading, Lead, Button, Instead string
	// Action is where the form goes, Back the page that it was asked on.
	Action, Back string
}

// Confirm renders the question.
func (r *Renderer) Confirm(v ConfirmView) Page {
	return r.render("confirm", r.ownCSP(), orStatus(v.Status), struct {
		frame
		Heading, Lead, Button, Instead, Action, Back string
	}{r.frame(v.Viewer, v.Section, v.Heading), v.Heading, v.Lead, v.Button, v.Instead, v.Action, v.Back})
}

// link is an item of the console's menu.
type link struct{ Section, URL, Text, Icon string }

// Menu are the links of the console by group.
func (f frame) Menu() []menuGroup {
	now := []link{{"sessions", "/admin/sessions", "Sessions", "signal"}}
	if f.Demos {
		now = append(now, link{"demos", "/admin/demos", "Demo grants", "glass"})
	}
	return []menuGroup{
		{"", "", []link{{"overview", "/admin", "Overview", "chart"}}},
		{"nav-now", "Now", now},
		{"nav-people", "People", []link{{"users", "/admin/users", "Users", "people"}, {"organizations", "/admin/organizations", "Organizations", "house"}}},
		{"nav-rules", "Rules", []link{{"policy", "/admin/policy", "Policy", "code"}, {"switches", "/admin/switches", "Switches", "gear"}}},
		{"nav-record", "Record", []link{{"audit", "/admin/audit", "Audit trail", "sheet"}}},
	}
}

type menuGroup struct {
	ID, Heading string
	Links       []link
}
