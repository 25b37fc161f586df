package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// mailed returns the token of the last link to a page that was mailed to
// somebody: the demo prints its mails.
func mailed(t *testing.T, d *kit.Demo, to, path string, links int) string {
	t.Helper()
	link := regexp.MustCompile(`Mail to ` + regexp.QuoteMeta(to) + `: [^\n]*\n(?:  [^\n]*\n)*?\s*` + regexp.QuoteMeta(d.Origin("gate")+path) + `\?token=([A-Za-z0-9_-]{43})\n`)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if found := link.FindAllStringSubmatch(d.Output(), -1); len(found) >= links {
			return found[len(found)-1][1]
		}
	}
	t.Fatalf("no mail to %s with a link to %s:\n%s", to, path, d.Output())
	return ""
}

// peopleRegister has somebody register at the demo as the second source text
// shows, prove the email, forget the password, and be disabled.
func peopleRegister(t *testing.T, d *kit.Demo) {
	p, api := d.Stranger(t), d.Origin("api.portal")+"/api"
	const email = "user@example.com"
	register := `{"email": "user@example.com", "password": "SecurePassword123", "name": "John Doe", "organization": "Kappa4"}`
	got := into[apiTokens](t, send(t, p, "POST", api+"/auth/register", "", register), http.StatusCreated)
	if got.Type != "bearer" || got.User.Email != email || got.User.Name != "John Doe" || got.User.Organization != "Default Organization" || !got.User.MFA {
		t.Errorf("registered as %+v", got.User)
	}
	portal := d.Origin("portal") + "/"
	if reply := send(t, p, "GET", portal, got.Access, ""); reply.StatusCode != http.StatusForbidden {
		t.Errorf("the portal before the email is verified: %s", reply.Status)
	}
	login := `{"email": "user@example.com", "password": "SecurePassword123"}`
	if reply := send(t, p, "POST", api+"/auth/login", "", login); reply.StatusCode != http.StatusUnauthorized {
		t.Errorf("a sign-in before the email is verified: %s", reply.Status)
	}
	verify := `{"token": "` + mailed(t, d, email, "/account/verify", 1) + `", "password": "SecurePassword123"}`
	into[apiTokens](t, send(t, p, "POST", api+"/auth/verify-email", "", verify), http.StatusOK)
	if reply := send(t, p, "GET", portal, got.Access, ""); reply.StatusCode != http.StatusOK {
		t.Errorf("the portal with the token of the registration, verified: %s", reply.Status)
	}
	if me := into[apiUser](t, send(t, p, "GET", api+"/auth/me", got.Access, ""), http.StatusOK); me.Role != "user" || me.ID != got.User.ID {
		t.Errorf("me is %+v", me)
	}
	if reply := send(t, p, "POST", api+"/auth/verify-email", "", verify); reply.StatusCode < 400 {
		t.Errorf("the link again: %s", reply.Status)
	}
	signedIn := into[apiTokens](t, send(t, p, "POST", api+"/auth/login", "", login), http.StatusOK)

	// Who registers the address again learns nothing, and its owner does.
	again := into[apiTokens](t, send(t, p, "POST", api+"/auth/register", "", strings.Replace(register, "123", "456", 1)), http.StatusCreated)
	if reply := send(t, p, "GET", portal, again.Access, ""); reply.StatusCode != http.StatusForbidden || again.User.ID == got.User.ID {
		t.Errorf("registered again: the portal says %s to %+v", reply.Status, again.User)
	}

	if reply := send(t, p, "POST", api+"/auth/password-reset", "", `{"email": "user@example.com"}`); reply.StatusCode != http.StatusAccepted {
		t.Fatalf("%s %s", reply.Status, reply.Text)
	}
	reset := `{"token": "` + mailed(t, d, email, "/account/reset", 1) + `", "password": "EvenMoreSecure123"}`
	if reply := send(t, p, "POST", api+"/auth/password-reset/confirm", "", reset); reply.StatusCode != http.StatusNoContent {
		t.Fatalf("%s %s", reply.Status, reply.Text)
	}
	for _, token := range []string{got.Access, signedIn.Access} {
		if reply := send(t, p, "GET", portal, token, ""); reply.StatusCode != http.StatusUnauthorized {
			t.Errorf("a token of before the reset: %s", reply.Status)
		}
	}
	login = `{"email": "user@example.com", "password": "EvenMoreSecure123"}`
	signedIn = into[apiTokens](t, send(t, p, "POST", api+"/auth/login", "", login), http.StatusOK)

	// What an operator changes holds in the live session at once.
	d.Run(t, "user", "move", email, "Kappa4")
	if me := into[apiUser](t, send(t, p, "GET", api+"/auth/me", signedIn.Access, ""), http.StatusOK); me.Organization != "Kappa4" {
		t.Errorf("moved, me is %+v", me)
	}
	d.Run(t, "user", "disable", email)
	if reply := send(t, p, "GET", portal, signedIn.Access, ""); reply.StatusCode != http.StatusUnauthorized {
		t.Errorf("disabled: %s", reply.Status)
	}
}
