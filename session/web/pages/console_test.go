package pages

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// ownPage are the addresses of accounts, organizations and what is done to them.
var ownPage = regexp.MustCompile(`^/admin/(users|organizations)/[A-Za-z0-9_]+(/delete|/invite|/revoke)?$`)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

func amara(n *Notice) Viewer {
	return Viewer{Email: "amara@kappa4.com", Name: "Amara Osei", Roles: []string{"admin"}, Admin: true, Security: true, CSRF: "tok", Now: thursday, Notice: n, Theme: Theme{Chosen: Dark, CSRF: "tok"}}
}

func someSessions() []SessionView {
	return []SessionView{
		{Key: session.Key{1}, Kind: session.Browser, This: true, UserID: "usr_1", Person: "Amara Osei", Email: "amara@kappa4.com", Roles: []string{"admin"}, Provider: "local", Methods: []string{"pwd", "otp"},
			ClientIP: "203.0.113.51", UserAgent: firefox, Created: thursday, Expires: thursday.Add(8 * time.Hour), Used: thursday.Add(time.Minute)},
		{Key: session.Key{2}, Kind: session.Service, UserID: "usr_2", Person: "<b>", Email: "svc@kappa4.com", Created: thursday, Expires: thursday.Add(time.Hour)},
	}
}

func someOrganizations() []session.Organization {
	return []session.Organization{
		{ID: "org_default", Name: "Default Organization", UsersCount: 12, CreatedAt: thursday},
		{ID: "org_7", Name: "Orion <Labs>", Domain: "orion.example", UsersCount: 1, WorkspacesCount: 3, CreatedAt: thursday},
	}
}

// consolePages returns one page of each kind of accounts and of the console.
func consolePages(r *Renderer) map[string]Page {
	good := &Notice{Tone: "good", Text: "1 session ended."}
	u := session.User{ID: "usr_2", Email: "jonas@orion.example", Name: "Jonas Weber", Organization: "Orion Labs", OrganizationID: "org_7", Roles: []string{"user", "night-shift"}, CreatedAt: thursday, EmailVerified: true}
	off := u
	off.ID, off.Disabled, off.Roles = "usr_3", true, nil
	hours := make([]HourView, 24)
	for i := range hours {
		hours[i] = HourView{Start: thursday.Add(time.Duration(i-23) * time.Hour), SignIns: i % 5, Refused: i % 3, Denied: i % 7}
	}
	entries := []session.AuditEntry{
		{Number: 7, Event: session.Event{Time: thursday, Action: session.ActionUserDisabled, Actor: session.Person{ID: "usr_1", Email: "amara@kappa4.com"}, User: session.Person{ID: "usr_2", Email: "jonas@orion.example"},
			Origin: session.Origin{ClientIP: "203.0.113.51", RequestID: "6f1c2a9e"}, Outcome: session.OutcomeSuccess, Details: map[string]string{"b": "2", "a": "<1>", "empty": ""}}},
		{Number: 6, Event: session.Event{Time: thursday, Action: session.ActionLogin, Outcome: session.OutcomeDenied}},
	}
	return map[string]Page{
		"overview":       r.Overview(OverviewView{Viewer: amara(nil), Live: 1284, Ended: 3, Hours: hours, Recent: entries, Cut: true}),
		"overview-empty": r.Overview(OverviewView{Viewer: amara(nil), Live: -1, Ended: -1, Hours: make([]HourView, 24)}),
		"audit":          r.Audit(AuditView{Viewer: amara(nil), User: "jonas@orion.example", Action: "login", Since: "2026-03-05", Actions: []string{"login", "logout"}, Entries: entries, Older: "/admin/audit?before=6", Newest: "/admin/audit", CSV: "/api/audit-logs?format=csv", NDJSON: "/api/audit-logs?format=ndjson"}),
		"audit-none":     r.Audit(AuditView{Viewer: amara(nil), First: true, Wrong: "A day is written as 2026-03-05.", CSV: "/api/audit-logs", NDJSON: "/api/audit-logs"}),
		"organizations":  r.Organizations(OrganizationsView{Viewer: amara(nil), Organizations: someOrganizations(), Next: "/admin/organizations?after=x", Name: "Or", First: true}),
		"organization": r.Organization(OrganizationView{Viewer: amara(good), Organization: someOrganizations()[1], KnownRoles: []string{"user"}, Link: "https://gate.kappa4.com/account/invitation?token=x", LinkFor: "eva@kappa4.com",
			Invitations: []session.Invitation{{ID: "inv_1", Email: "eva@kappa4.com", Roles: []string{"user"}, ExpiresAt: thursday}}}),
		"organization-bare": r.Organization(OrganizationView{Viewer: amara(nil), Organization: someOrganizations()[0]}),
		"register":          r.Register(RegisterView{MinPassword: 8, CSRF: "tok", Notice: &Notice{Tone: "bad", Text: "No."}, Email: "lucia@orion.example"}),
		"invited":           r.Register(RegisterView{MinPassword: 8, CSRF: "tok", Invitation: "t"}),
		"verify":            r.Link(LinkView{Heading: "Is this your email?", Lead: "Yes?", Action: "/account/verify", Button: "Yes", Token: "t", Password: true, CSRF: "tok"}),
		"forgot":            r.Link(LinkView{Heading: "Choose a new password", Lead: "By mail.", Action: "/account/forgot", Button: "Send", CSRF: "tok"}),
		"reset":             r.Link(LinkView{Heading: "Choose a new password", Lead: "Now.", Action: "/account/reset", Button: "Set", Token: "t", NewPassword: true, MinPassword: 8, CSRF: "tok"}),
		"told":              r.Told(ToldView{Tone: "good", Heading: "Look into your mail.", Lead: "A link.", NextText: "Sign in", NextPath: "/oauth2/sign_in"}),
		"account":           r.Account(AccountView{Viewer: amara(good), Organization: "Kappa4", MemberSince: thursday, Local: true, Provider: "local", Lifetime: 8 * time.Hour, Sessions: someSessions(), MinPassword: 8, MaxName: 100}),
		"account-away":      r.Account(AccountView{Viewer: Viewer{Email: "nora@kappa4.com", CSRF: "tok", Status: 422, Notice: &Notice{Tone: "bad", Text: "<i>"}}, Provider: "cloud", Lifetime: 8 * time.Hour, Wrong: "name"}),
		"sessions":          r.Sessions(SessionsView{Viewer: amara(good), Live: 1284, Sessions: someSessions(), First: true, Next: "/admin/sessions?before=x"}),
		"sessions-empty":    r.Sessions(SessionsView{Viewer: amara(nil), First: true}),
		"sessions-of":       r.Sessions(SessionsView{Viewer: amara(nil), Live: -1, Search: "<nobody>", Sessions: someSessions()[1:], Whose: "usr_2"}),
		"users":             r.Users(UsersView{Viewer: amara(nil), Organization: "org_7", Organizations: someOrganizations(), Users: []session.User{u, off}, Next: "/admin/users?after=x"}),
		"users-none":        r.Users(UsersView{Viewer: amara(nil), First: true}),
		"user":              r.User(UserView{Viewer: amara(good), User: u, KnownRoles: []string{"admin", "neosc", "user"}, Organizations: someOrganizations(), Sessions: someSessions()}),
		"user-off":          r.User(UserView{Viewer: amara(nil), User: off, Own: true, KnownRoles: []string{"admin"}}),
		"confirm":           r.Confirm(ConfirmView{Viewer: amara(nil), Section: "users", Heading: "Delete it?", Lead: "All of it.", Button: "Delete", Instead: "Keep", Action: "/admin/users/usr_2/delete", Back: "/admin/users/usr_2"}),
	}
}

func TestDevicesAreNamedByTheirUserAgent(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		firefox: "Firefox on Linux", "": "", "curl/8.5": "curl", "<script>": "",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                   "Chrome on Android",
	} {
		if got := Device(agent); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
}

func TestNumbersHaveCommasBetweenThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1048576: "1,048,576", -1234: "-1,234", -123: "-123"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestConsoleSaysWhereItIs(t *testing.T) {
	t.Parallel()
	for name, section := range map[string]string{"sessions": "/admin/sessions", "users": "/admin/users", "switches": "/admin/switches", "policy": "/admin/policy", "overview": "/admin", "audit": "/admin/audit", "organization": "/admin/organizations"} {
		if body := string(every(renderer(t))[name].Body); strings.Count(body, `aria-current="page"`) != 1 || !strings.Contains(body, `href="`+section+`" aria-current="page"`) {
			t.Errorf("%s does not mark its own place alone", name)
		}
	}
}
