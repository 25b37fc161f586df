package console

import (
	"net/url"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

const fresh = "a brand new pass sentence"

func tokenOf(t testing.TB, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("token")
}

func TestSomebodyRegistersAndProvesTheirEmail(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	b := x.stranger()
	b.get("/register").wants(t, 200, "Create your account", "At least 8 characters")
	b.send("/register", "/register", "email", "lucia@orion.example", "password", "short", "name", "Lucía <F>").wants(t, 422, "There is no account yet.", `value="Lucía &lt;F&gt;"`)
	b.follow(b.send("/register", "/register", "email", "lucia@orion.example", "password", fresh, "name", "Lucía", "organization", "Orion"), "Look into your mail.")
	link := x.mails.link(t)
	if !strings.HasPrefix(link, session.VerifyPath) {
		t.Fatalf("the mail leads to %s", link)
	}
	for range 2 { // looking spends nothing
		b.get(link).wants(t, 200, "Is this your email?")
	}
	b.send(link, session.VerifyPath, "token", tokenOf(t, link), "password", "another password").wants(t, 422, "The password is wrong.")
	b.follow(b.send(link, session.VerifyPath, "token", tokenOf(t, link), "password", fresh), "Your account is ready.")
	b.send(link, session.VerifyPath, "token", tokenOf(t, link), "password", fresh).wants(t, 403, "opens nothing any more")
	if _, err := x.store.SignIn(t.Context(), "lucia@orion.example", fresh, "203.0.113.9"); err != nil {
		t.Error(err)
	}
	// An address that has an account gets the same answer.
	b.follow(b.send("/register", "/register", "email", "lucia@orion.example", "password", fresh, "name", "Eve"), "Look into your mail.")
}

func TestAForgottenPasswordIsChosenAnew(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("nora@kappa4.com", "neosc")
	nora, b := x.as("nora@kappa4.com"), x.stranger()
	b.follow(b.send("/account/forgot", "/account/forgot", "email", "nobody@kappa4.com"), "Look into your mail.")
	b.follow(b.send("/account/forgot", "/account/forgot", "email", "nora@kappa4.com"), "Look into your mail.")
	link := x.mails.link(t)
	b.get(link).wants(t, 200, "Choose a new password")
	b.send(link, session.ResetPath, "token", tokenOf(t, link), "password", "short").wants(t, 422, tokenOf(t, link))
	b.follow(b.send(link, session.ResetPath, "token", tokenOf(t, link), "password", fresh), "Your password is changed.")
	if x.live(nora.key) {
		t.Error("a session of the old password goes on")
	}
	b.send(link, session.ResetPath, "token", tokenOf(t, link), "password", fresh).wants(t, 403, "opens nothing any more")
	for _, path := range []string{session.ResetPath, session.VerifyPath, session.InvitationPath} {
		b.get(path).wants(t, 403, "opens nothing any more")
		b.get(path+"?token="+strings.Repeat("x", 200)).wants(t, 403, "opens nothing any more")
	}
}

func TestInvitedPeopleRegisterOrJoin(t *testing.T) {
	t.Parallel()
	x := newHouse(t, func(_ *Options, so *accountOptions) { so.Open = false })
	x.add("nora@kappa4.com", "neosc")
	o, err := x.service.CreateOrganization(t.Context(), "Orion", "")
	if err != nil {
		t.Fatal(err)
	}
	invite := func(email string) string {
		if _, err := x.service.Invite(t.Context(), session.NewInvitation{Organization: o.ID, Email: email}); err != nil {
			t.Fatal(err)
		}
		return x.mails.link(t)
	}
	b, link := x.stranger(), invite("eva@kappa4.com")
	b.get("/register").wants(t, 404)
	b.send(link, "/register", "email", "eva@kappa4.com", "password", fresh, "name", "Eva").wants(t, 403, "Only who is invited")
	b.get(link).wants(t, 200, "You are invited.")
	b.send(link, session.InvitationPath, "token", tokenOf(t, link), "email", "eve@kappa4.com", "password", fresh, "name", "Eve").wants(t, 403, "for another email")
	b.follow(b.send(link, session.InvitationPath, "token", tokenOf(t, link), "email", "eva@kappa4.com", "password", fresh, "name", "Eva"), "Your account is ready.")
	if id, err := x.store.SignIn(t.Context(), "eva@kappa4.com", fresh, "203.0.113.9"); err != nil || id.Organization != "Orion" {
		t.Errorf("%+v, %v", id, err)
	}
	nora := x.as("nora@kappa4.com")
	link = invite("nora@kappa4.com")
	nora.get(link).wants(t, 200, "Join the organization?", "nora@kappa4.com")
	nora.follow(nora.send(link, session.InvitationPath, "token", tokenOf(t, link)), "You are in.")
	if s, err := x.sessions.Find(t.Context(), nora.key); err != nil || s.Identity.Organization != "Orion" {
		t.Errorf("%+v, %v", s, err)
	}
	nora.send(link, session.InvitationPath, "token", tokenOf(t, link)).wants(t, 403, "opens nothing any more")
}

func TestWithoutPasswordsNobodyRegisters(t *testing.T) {
	t.Parallel()
	x := newHouse(t, func(o *Options, _ *accountOptions) { o.Passwords = false })
	for _, path := range []string{"/register", "/account/forgot", session.VerifyPath + "?token=x", session.ResetPath + "?token=x", session.InvitationPath + "?token=x"} {
		x.stranger().get(path).wants(t, 404)
	}
}
