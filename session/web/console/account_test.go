package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

func TestPeopleSeeAndChangeTheirOwnAccount(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("nora@kappa4.com", "neosc")
	b := x.as("nora@kappa4.com")
	b.get("/account").wants(t, 200, "Firefox on Linux", "203.0.113.48", "with password", `value="nora@kappa4.com"`, `<span class="badge info">neosc</span>`, "This one", `href="/account/security"`, "Default Organization")
	b.follow(b.send("/account", "/account/profile", "name", "  Nora Villaseñor "), "Your name is saved. 1 session show", `value="Nora Villaseñor"`)
	if e := x.trail.last(t, session.ActionUserChanged); e.Actor.Email != "nora@kappa4.com" {
		t.Errorf("the trail has %+v", e.Event)
	}
	b.send("/account", "/account/profile", "name", " ").wants(t, 422, "a name is needed", `aria-invalid="true"`)
	b.send("/account", "/account/profile", "name", "a\x01b").wants(t, 422, "Nothing has changed")
}

func TestAChangedPasswordEndsAllOtherSessions(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("nora@kappa4.com", "neosc")
	b, other := x.as("nora@kappa4.com"), x.as("nora@kappa4.com")
	b.send("/account", "/account/password", "current", "not the present one", "password", "a brand new password").wants(t, 422, "The present password is wrong", `id="current"`)
	b.send("/account", "/account/password", "current", password, "password", "short").wants(t, 422, "Nothing has changed")
	if !x.live(other.key) {
		t.Error("a refused change ended a session")
	}
	b.follow(b.send("/account", "/account/password", "current", password, "password", "a brand new pass sentence"), "Your password is changed")
	if x.live(other.key) || !x.live(b.key) {
		t.Error("not all others have ended, or the own has")
	}
	x.trail.last(t, session.ActionPasswordChanged)
}

func TestPeopleEndTheirOwnSessionsOnly(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("nora@kappa4.com", "neosc")
	x.add("dario@kappa4.com", "neosc")
	b, second, third, foreign := x.as("nora@kappa4.com"), x.as("nora@kappa4.com"), x.as("nora@kappa4.com"), x.as("dario@kappa4.com")
	for _, key := range []string{foreign.key.String(), "nonsense", session.Key{1}.String()} {
		b.send("/account", "/account/sessions/end", "session", key).wants(t, 404, "over already, or is not yours")
	}
	if !x.live(foreign.key) {
		t.Fatal("a stranger's session was ended")
	}
	b.follow(b.send("/account", "/account/sessions/end", "session", second.key.String()), "1 session ended")
	if x.live(second.key) || !x.live(third.key) {
		t.Error("another one was ended")
	}
	x.as("nora@kappa4.com")
	b.follow(b.send("/account", "/account/sessions/end", "session", "others"), "2 sessions ended")
	if x.live(third.key) || !x.live(b.key) || !x.live(foreign.key) {
		t.Error("what is left is not the own session and other people's")
	}
	if e := x.trail.last(t, session.ActionSessionRevoked); e.Actor.ID != b.id {
		t.Errorf("the trail has %+v", e.Event)
	}
}

func TestPeopleOfProvidersChangeNothingHere(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	b := x.with(session.Identity{Provider: "cloud", UserID: "p1", Email: "jonas@orion.example", Name: "Jonas", Roles: []string{"user"}})
	page := b.get("/account")
	page.wants(t, 200, "Kept by cloud", "readonly")
	if strings.Contains(page.text, "/account/security") || strings.Contains(page.text, "Change password") {
		t.Error("the page offers what is kept elsewhere")
	}
	x.with(session.Identity{Provider: "cloud", UserID: "p1", Email: "jonas@orion.example", Roles: []string{"user"}})
	b.send("/account", "/account/profile", "name", "Other").wants(t, 403)
	b.follow(b.send("/account", "/account/sessions/end", "session", "others"), "1 session ended")
}

func TestPagesNeedASession(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	for _, path := range []string{"/account", "/admin/sessions", "/admin/users", "/admin/users/u1"} {
		if got := x.stranger().get(path); got.StatusCode != http.StatusSeeOther || !strings.HasPrefix(got.Header.Get("Location"), origin+"/oauth2/sign_in") {
			t.Errorf("%s answers a stranger %s", path, got.Status)
		}
	}
}

// TestFormsCountOnlyFromThePage sends every form in the ways of other sites.
func TestFormsCountOnlyFromThePage(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	id := x.add("nora@kappa4.com", "neosc")
	b, nora := x.as("admin@kappa4.com"), x.as("nora@kappa4.com")
	for action, fields := range map[string]url.Values{
		"/account/profile": {"name": {"Mallory"}}, "/account/password": {"current": {password}, "password": {"a brand new pass sentence"}}, "/account/sessions/end": {"session": {"others"}},
		"/admin/sessions/end": {"session": {nora.key.String()}}, "/admin/sessions/everybody": {"sure": {"yes"}},
		"/admin/users/" + id: {"do": {"disable"}}, "/admin/users/" + id + "/delete": {"sure": {"yes"}},
		organizationsPath: {"name": {"Orion"}}, organizationsPath + "/" + session.DefaultOrganizationID: {"name": {"Orion"}},
		organizationsPath + "/" + session.DefaultOrganizationID + "/invite": {"email": {"eve@orion.example"}, "role": {"admin"}},
	} {
		b.countsOnlyFromThePage(action, fields, b.token("/account"), nora.token("/account"))
	}
	if n := len(x.mails); n > 0 {
		t.Errorf("%d mails went out", n)
	}
	if !x.live(nora.key) || !x.live(b.key) {
		t.Error("something was done")
	}
	if u, err := x.service.UserByID(t.Context(), id); err != nil || u.Disabled {
		t.Errorf("the account is %+v, %v", u, err)
	}
}

// Forms of strangers too: else a site could have its visitors' browsers register
// somebody, or use up a link.
func TestFormsOfStrangersCountOnlyFromThePage(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("nora@kappa4.com", "neosc")
	b, other := x.stranger(), x.stranger()
	b.send("/register", "/register", "email", "lucia@orion.example", "password", fresh, "name", "Lucía")
	token := tokenOf(t, x.mails.link(t))
	for action, fields := range map[string]url.Values{
		registerPath: {"email": {"eve@orion.example"}, "password": {fresh}, "name": {"Eve"}}, session.VerifyPath: {"token": {token}, "password": {fresh}},
		forgotPath: {"email": {"nora@kappa4.com"}}, session.ResetPath: {"token": {token}, "password": {fresh}}, session.InvitationPath: {"token": {token}, "email": {"eve@orion.example"}, "password": {fresh}},
	} {
		b.countsOnlyFromThePage(action, fields, b.token(registerPath), other.token(registerPath))
	}
	if n := len(x.mails); n > 0 {
		t.Errorf("%d mails went out", n)
	}
	if _, err := x.store.SignIn(t.Context(), "lucia@orion.example", fresh, "203.0.113.9"); err == nil {
		t.Error("an email was verified")
	}
}

// countsOnlyFromThePage sends a form in the ways of other sites: with no token,
// with another's, from another origin or none, and as a type that a page can
// send without being asked.
func (b *browser) countsOnlyFromThePage(action string, fields url.Values, own, foreign string) {
	b.t.Helper()
	for name, way := range map[string]struct {
		token string
		edit  func(*http.Request)
	}{
		"NoToken":       {"", func(*http.Request) {}},
		"AnothersToken": {foreign, func(*http.Request) {}},
		"ForeignOrigin": {own, func(r *http.Request) { r.Header.Set("Origin", "https://portal.kappa4.com") }},
		"NoOrigin":      {own, func(r *http.Request) { r.Header.Del("Origin") }},
		"Text":          {own, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
	} {
		fields.Set("csrf", way.token)
		if way.token == "" {
			fields.Del("csrf")
		}
		if got := b.do("POST", action, fields, way.edit); got.StatusCode != http.StatusForbidden && got.StatusCode != http.StatusUnsupportedMediaType {
			b.t.Errorf("%s: %s answered %s", action, name, got.Status)
		}
	}
}

func TestNoLinkHasThePageSayWhatWasNotDone(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("nora@kappa4.com", "neosc")
	b := x.as("nora@kappa4.com")
	told := b.send("/account", "/account/profile", "name", "Nora").Header.Get("Location")
	for _, query := range []string{"?done=password.0.", "?done=profile.1.AAAA", "?done=" + strings.Replace(strings.TrimPrefix(told, origin+"/account?done="), "profile", "password", 1), "?done=x"} {
		if got := b.get("/account" + query); strings.Contains(got.text, `role="status"`) {
			t.Errorf("%s is believed", query)
		}
	}
}

func TestTroubleIsNotToldAsSomethingElse(t *testing.T) {
	t.Parallel()
	x := newHouse(t, func(o *Options, _ *accountOptions) { o.Sessions = down{o.Sessions} })
	x.add("admin@kappa4.com", "admin")
	b := x.as("admin@kappa4.com")
	for _, path := range []string{"/account", "/admin/sessions"} {
		b.get(path).wants(t, 503, "could not check who you are")
	}
}

// down is a store of sessions that lists none.
type down struct{ Sessions }

func (down) List(context.Context, session.Query) ([]*session.Session, error) {
	return nil, errors.Join(errors.New("away"), session.ErrUnavailable)
}
