package console

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func TestTheOverviewCountsByTheHour(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	b := x.as("admin@kappa4.com")
	for i, e := range []session.Event{
		{Time: base.Add(-30 * time.Hour), Action: session.ActionLogin, Outcome: session.OutcomeSuccess}, // too long ago
		{Time: base.Add(-2 * time.Hour), Action: session.ActionLogin, Outcome: session.OutcomeSuccess},
		{Time: base.Add(-2 * time.Hour), Action: session.ActionSSOLogin, Outcome: session.OutcomeSuccess},
		{Time: base.Add(-2 * time.Hour), Action: session.ActionLogin, Outcome: session.OutcomeDenied},
		{Time: base.Add(-time.Hour), Action: session.ActionRequestDenied, Outcome: session.OutcomeDenied},
	} {
		if err := x.trail.Append(t.Context(), e); err != nil {
			t.Fatal(i, err)
		}
	}
	b.get("/admin").wants(t, 200, "Sign-ins by hour: 2 came about, 1 were refused.", "Up to 3 an hour", "Requests that policy refused, by hour: 1.",
		`<rect class="c1" x="211"`, `<rect class="c2" x="211"`, `<rect class="c2" x="221"`, "<th scope=\"row\">10:00</th><td class=\"r\">2</td><td class=\"r\">1</td><td class=\"r\">0</td>", "<dd>1</dd><dd><a href=\"/admin/sessions\">")
	// What is shown is some seconds old at the most.
	if err := x.trail.Append(t.Context(), session.Event{Time: base, Action: session.ActionLogin, Outcome: session.OutcomeSuccess}); err != nil {
		t.Fatal(err)
	}
	b.get("/admin").wants(t, 200, "2 came about")
	x.now.Add(int64(overviewAge))
	b.get("/admin").wants(t, 200, "3 came about")
	x.trail.mu.Lock()
	x.trail.down = errors.Join(errors.New("away"), session.ErrUnavailable)
	x.trail.mu.Unlock()
	for _, path := range []string{"/admin/audit", "/admin"} {
		x.now.Add(int64(overviewAge))
		b.get(path).wants(t, 503)
	}
}

func TestTheTrailIsSearchedAndPagedThrough(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	b := x.as("admin@kappa4.com")
	for i := range 2*auditPage + 5 {
		e := session.Event{Time: base.Add(time.Duration(i-200) * time.Hour), Action: session.ActionLogin, Outcome: session.OutcomeSuccess, User: session.Person{ID: "u7", Email: "nora@kappa4.com"}, Details: map[string]string{"mark": fmt.Sprintf("<%d>", i)}}
		if err := x.trail.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	next, seen := "/admin/audit?user=nora%40kappa4.com&action=login", 0
	for n := 0; next != "" && n < 5; n++ {
		page := b.get(next)
		page.wants(t, 200, `value="nora@kappa4.com"`, "<option selected>login</option>", "/api/audit-logs?action=login&amp;format=csv&amp;limit=all&amp;user=nora%40kappa4.com")
		seen += strings.Count(page.text, "mark &lt;")
		next = ""
		if i := strings.Index(page.text, `>Older</a>`); i > 0 {
			from := strings.LastIndex(page.text[:i], `href="`) + len(`href="`)
			next = strings.ReplaceAll(page.text[from:from+strings.IndexByte(page.text[from:], '"')], "&amp;", "&")
		}
	}
	if seen != 2*auditPage+5 {
		t.Errorf("%d entries were shown", seen)
	}
	b.get("/admin/audit?since=2030-01-01").wants(t, 200, "no such entry")
	day := base.Add(-200 * time.Hour).Format(time.DateOnly)
	if page := b.get("/admin/audit?since=" + day + "&until=" + day); !strings.Contains(page.text, "mark &lt;0&gt;") || strings.Contains(page.text, "mark &lt;30&gt;") {
		t.Error("a day is not that day alone")
	}
	b.get("/admin/audit?since=yesterday").wants(t, 400, "A day is written as")
}

func TestAdministratorsManageOrganizations(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	id := x.add("nora@kappa4.com", "neosc")
	b := x.as("admin@kappa4.com")
	b.get("/admin/organizations").wants(t, 200, "Default Organization", `<td class="r" data-th="Users">2</td>`)
	made := b.send("/admin/organizations", "/admin/organizations", "name", "Orion <Labs>", "domain", "orion.example")
	b.follow(made, "The organization is created", "Orion &lt;Labs&gt;", "Nobody is invited now.")
	path := strings.TrimPrefix(made.Header.Get("Location"), origin)
	path, _, _ = strings.Cut(path, "?")
	if e := x.trail.last(t, session.ActionOrganizationCreated); e.Actor.Email != "admin@kappa4.com" {
		t.Errorf("the trail has %+v", e.Event)
	}
	b.send("/admin/organizations", "/admin/organizations", "name", "orion <labs>").wants(t, 409, "has this name already", `value="orion &lt;labs&gt;"`)
	b.send("/admin/organizations", "/admin/organizations", "name", " ").wants(t, 422, "Nothing was created")
	b.follow(b.send(path, path, "name", "Orion", "domain", ""), "The organization is changed", "<h1>Orion</h1>")
	b.follow(b.send("/admin/users/"+id, "/admin/users/"+id, "do", "move", "organization", strings.TrimPrefix(path, "/admin/organizations/")), "The account is changed")
	b.get(path).wants(t, 200, "Users: 1. Workspaces: 0.")
	b.send(path, path+"/invite", "email", "no email").wants(t, 422, "Nothing has changed")
	b.follow(b.send(path, path+"/invite", "email", "eva@kappa4.com", "role:user", "yes"), "The invitation is on its way", "eva@kappa4.com")
	x.mails.link(t)
	_, rest, _ := strings.Cut(b.get(path).text, `name="invitation" value="`)
	invitation, _, _ := strings.Cut(rest, `"`)
	b.follow(b.send(path, path+"/revoke", "invitation", invitation), "The invitation is taken back", "Nobody is invited now.")
	b.send(path, path+"/revoke", "invitation", invitation).wants(t, 403, "Nothing has changed")
	b.get("/admin/organizations/org_none").wants(t, 404)
	b.get("/admin/organizations?after=made-up").wants(t, 200, "Orion")
}

func TestWithoutMailTheLinkOfAnInvitationIsShownOnce(t *testing.T) {
	t.Parallel()
	x := newHouse(t, func(_ *Options, so *accountOptions) { so.Mailer, so.Open = nil, false })
	x.add("admin@kappa4.com", "admin")
	b := x.as("admin@kappa4.com")
	path := "/admin/organizations/" + session.DefaultOrganizationID
	b.send(path, path+"/invite", "email", "eva@kappa4.com", "role:user", "yes").wants(t, 200, "hand this link to eva@kappa4.com yourself", "/account/invitation?token=")
	if page := b.get(path); strings.Contains(page.text, "token=") || !strings.Contains(page.text, "eva@kappa4.com") {
		t.Error("the link is shown again, or the invitation is not")
	}
	x.stranger().send("/account/forgot", "/account/forgot", "email", "admin@kappa4.com").wants(t, 503, "sends no mail")
	x.stranger().get("/register").wants(t, 404)
}
