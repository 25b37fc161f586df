package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
)

type accountOptions = account.ServiceOptions

// TestTheConsoleIsForAdministrators asks as everybody else, for every address.
func TestTheConsoleIsForAdministrators(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	id := x.add("nora@kappa4.com", "neosc")
	b := x.as("nora@kappa4.com")
	c := Console{}
	for path, methods := range c.Routes() {
		if !strings.HasPrefix(path, "/admin") {
			continue
		}
		path = strings.ReplaceAll(strings.TrimSuffix(path, "{$}"), "{id}", id)
		for method := range methods {
			var got answer
			if method == "POST" {
				got = b.send("/account", path, "sure", "yes", "do", "enable", "session", b.key.String())
			} else {
				got = b.get(path)
			}
			if got.StatusCode != 403 {
				t.Errorf("%s %s answered %s", method, path, got.Status)
			}
		}
	}
	if !x.live(b.key) {
		t.Error("something was done")
	}
}

func TestAdministratorsSeeAndEndLiveSessions(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	x.add("nora@kappa4.com", "neosc")
	b, nora := x.as("admin@kappa4.com"), x.as("nora@kappa4.com")
	b.get("/admin/sessions").wants(t, 200, "2 sessions are live.", "nora@kappa4.com", "203.0.113.48", "Firefox on Linux", "This one")
	if page := b.get("/admin/sessions?q=nora%40kappa4.com"); strings.Contains(page.text, "This one") || !strings.Contains(page.text, nora.key.String()) {
		t.Error("the search finds another")
	}
	b.get("/admin/sessions?q=nobody").wants(t, 200, "Nobody of that email or id")
	b.follow(b.send("/account", "/admin/sessions/end", "session", nora.key.String()), "1 session ended")
	if x.live(nora.key) {
		t.Error("it goes on")
	}
	if e := x.trail.last(t, session.ActionSessionRevoked); e.Actor.Email != "admin@kappa4.com" || e.User.Email != "nora@kappa4.com" {
		t.Errorf("the trail has %+v", e.Event)
	}
	b.send("/account", "/admin/sessions/end", "session", nora.key.String()).wants(t, 404, "over already")
	b.follow(b.send("/account", "/admin/sessions/everybody"), "End everybody’s sessions?")
	if got := b.send("/admin/sessions/everybody", "/admin/sessions/everybody", "sure", "yes"); got.Header.Get("Location") != origin+"/oauth2/sign_in" || x.live(b.key) {
		t.Errorf("answered %s; own session lives: %v", got.Status, x.live(b.key))
	}
}

func TestAllSessionsOfOneOfAProvidersPeopleEnd(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	b := x.as("admin@kappa4.com")
	jonas := session.Identity{Provider: "cloud", UserID: "cloud:7/8", Email: "jonas@orion.example"}
	first, second := x.with(jonas), x.with(jonas)
	page := b.get("/admin/sessions")
	page.wants(t, 200, `href="/admin/sessions?q=cloud%3a7%2f8"`)
	if strings.Contains(page.text, "End all of this person") {
		t.Error("it is not one person's page")
	}
	path := "/admin/sessions?q=cloud%3A7%2F8"
	b.get(path).wants(t, 200, "End all of this person", `name="user" value="cloud:7/8"`)
	b.send(path, "/admin/sessions/end", "session", "all").wants(t, 422, "names nobody")
	b.follow(b.send(path, "/admin/sessions/end", "session", "all", "user", "cloud:7/8"), "2 sessions ended")
	if x.live(first.key) || x.live(second.key) || !x.live(b.key) {
		t.Error("what is left is not the administrator's alone")
	}
}

func TestSessionsArePagedThroughWithoutLosingOne(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	want := map[string]bool{}
	for i := range 2*pageSize + 3 {
		x.now.Add(int64(time.Millisecond))
		want[x.with(session.Identity{Provider: "cloud", UserID: fmt.Sprint("p", i), Email: fmt.Sprintf("p%d@orion.example", i)}).key.String()] = true
	}
	x.now.Add(int64(time.Second))
	b := x.as("admin@kappa4.com")
	next := "/admin/sessions"
	for n := 0; next != ""; n++ {
		if n > 5 {
			t.Fatal("there is no last page")
		}
		page := b.get(next)
		page.wants(t, 200)
		for key := range want {
			if strings.Contains(page.text, key) {
				delete(want, key)
			}
		}
		_, rest, found := strings.Cut(page.text, `href="/admin/sessions?before=`)
		if next = ""; found {
			next = "/admin/sessions?before=" + rest[:strings.IndexByte(rest, '"')]
		}
	}
	if len(want) > 0 {
		t.Errorf("%d sessions were never shown", len(want))
	}
}

func TestAdministratorsManageAccounts(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	id := x.add("nora@kappa4.com", "neosc", "night-shift")
	b, nora := x.as("admin@kappa4.com"), x.as("nora@kappa4.com")
	path := "/admin/users/" + id
	b.get("/admin/users").wants(t, 200, "nora@kappa4.com", "admin@kappa4.com", "Active", path)
	if page := b.get("/admin/users?q=NORA"); strings.Contains(page.text, "admin@kappa4.com</span>") || !strings.Contains(page.text, path) {
		t.Error("the search finds another")
	}
	b.get("/admin/users?q=zzz").wants(t, 200, "No account has that")
	b.get("/admin/users?after=made-up").wants(t, 200, path)
	b.get(path).wants(t, 200, `name="role:neosc" value="yes" checked`, `value="night-shift"`, "Firefox on Linux", "Disable account")

	b.follow(b.send(path, path, "do", "roles", "role:user", "yes", "others", "night-shift, auditor"), "The account is changed, and 1 session of it")
	if s, err := x.sessions.Find(t.Context(), nora.key); err != nil || fmt.Sprint(s.Identity.Roles) != "[auditor night-shift user]" {
		t.Errorf("the live session has %v, %v", s.Identity.Roles, err)
	}
	b.send(path, path, "do", "roles", "others", "a\x01b").wants(t, 422, "Nothing has changed")
	b.follow(b.send(path, path, "do", "mfa-on"), "The account is changed", "Ask for no second factor")
	b.send(path, path, "do", "move", "organization", "org_none").wants(t, 422, "no such organization")
	b.send(path, path, "do", "nonsense").wants(t, 422, "Nothing has changed")
	b.follow(b.send(path, path, "do", "disable"), "The account is disabled, and 1 session of it ended", "Enable account")
	if x.live(nora.key) {
		t.Error("the session of a disabled account goes on")
	}
	if e := x.trail.last(t, session.ActionUserDisabled); e.Actor.Email != "admin@kappa4.com" || e.User.ID != id {
		t.Errorf("the trail has %+v", e.Event)
	}
	b.follow(b.send(path, path, "do", "enable"), "The account is enabled", "Disable account")
	x.as("nora@kappa4.com")
	b.follow(b.send(path, path, "do", "sessions"), "1 session ended")
	b.follow(b.send(path, path+"/delete"), "Delete the account of nora@kappa4.com?")
	b.follow(b.send(path+"/delete", path+"/delete", "sure", "yes"), "The account is deleted")
	b.get(path).wants(t, 404)
	b.send("/account", path, "do", "enable").wants(t, 404)
}

func TestNoAdministratorLocksEverybodyOut(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	id := x.add("admin@kappa4.com", "admin")
	b := x.as("admin@kappa4.com")
	path := "/admin/users/" + id
	page := b.get(path)
	if strings.Contains(page.text, "Disable account") || strings.Contains(page.text, "Delete account") {
		t.Error("the page offers to lock its viewer out")
	}
	b.send(path, path, "do", "disable").wants(t, 409, "your own account")
	b.send(path, path+"/delete", "sure", "yes").wants(t, 409, "your own account")
	b.send(path, path, "do", "roles", "role:user", "yes").wants(t, 409, "the last account with the role admin")
}
