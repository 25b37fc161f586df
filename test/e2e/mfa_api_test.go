package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// challenge is the problem that asks a program for a second factor.
type challenge struct {
	Reason  string   `json:"reason"`
	Type    string   `json:"type"`
	Token   string   `json:"mfa_token"`
	Methods []string `json:"mfa_methods"`
}

// byTheAPI signs a program in with a password and the code of an app, through the edge.
func byTheAPI(t *testing.T, d *kit.Demo) {
	w := d.SignedIn(t, "user")
	key, codes := w.EnrolApp(t, -1)
	h := startAPIHouse(t, d, "api.portal")
	email := "user@" + kit.Domain
	asked := func() challenge {
		t.Helper()
		c := said[challenge](t, h, "POST", "/api/auth/login", "", `{"email": "`+email+`", "password": "`+d.Passwords[email]+`"}`, http.StatusUnauthorized)
		if c.Type != "urn:neosc:problem:mfa_required" || c.Token == "" || len(c.Methods) != 2 {
			t.Fatalf("the password alone is told %+v", c)
		}
		return c
	}
	body := func(c challenge, code string) string {
		return `{"mfa_token": "` + c.Token + `", "code": "` + code + `"}`
	}
	const finish = "/api/auth/login/second-factor"
	first := asked()
	code := kit.TOTP(t, key, time.Now(), 0)
	tokens := said[apiTokens](t, h, "POST", finish, "", body(first, code), http.StatusOK)
	if me := said[apiUser](t, h, "GET", "/api/auth/me", tokens.Access, "", http.StatusOK); me.Email != email || !me.MFA {
		t.Errorf("the tokens are those of %+v", me)
	}
	// The whole edge takes them for a session with two factors.
	if r := send(t, h.person, "GET", d.Origin("api.portal")+"/api/whoami", tokens.Access, ""); r.StatusCode != http.StatusOK {
		t.Errorf("the API behind the edge answers %s\n%s", r.Status, r.Text)
	}
	// Neither the challenge nor the code is good for another sign-in (RFC 6238, 5.2).
	said[challenge](t, h, "POST", finish, "", body(first, codes[0]), http.StatusUnauthorized)
	if r := h.send(t, "POST", finish, "", body(asked(), code)); r.StatusCode/100 != 4 {
		t.Errorf("a code that was used is answered %s\n%s", r.Status, r.Text)
	}
	said[apiTokens](t, h, "POST", finish, "", body(asked(), codes[0]), http.StatusOK)
	if r := h.send(t, "POST", finish, "", body(asked(), codes[0])); r.StatusCode/100 != 4 {
		t.Errorf("a recovery code that was used is answered %s\n%s", r.Status, r.Text)
	}
}
