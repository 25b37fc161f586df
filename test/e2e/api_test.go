package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// apiUser is a person as apps know one.
type apiUser struct {
	ID           string `json:"id"`
	Email        string `json:"email"`
	Name         string `json:"name"`
	Organization string `json:"organization"`
	Role         string `json:"role"`
	MFA          bool   `json:"mfa_enabled"`
}

type apiTokens struct {
	Access  string  `json:"access_token"`
	Type    string  `json:"token_type"`
	Expires int     `json:"expires_in"`
	Refresh string  `json:"refresh_token"`
	User    apiUser `json:"user"`
}

// send is a request of a program to a host of the demo, with a token or "".
func send(t *testing.T, p *kit.Person, method, target, token, body string) *kit.Reply {
	t.Helper()
	headers := []string{"Accept", "application/json"}
	if body != "" {
		headers = append(headers, "Content-Type", "application/json")
	}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return p.Do(t, method, target, strings.NewReader(body), headers...)
}

func into[T any](t *testing.T, reply *kit.Reply, status int) (out T) {
	t.Helper()
	if reply.StatusCode != status {
		t.Fatalf("%s %s: %s, want %d\n%s", reply.Request.Method, reply.Request.URL.Path, reply.Status, status, reply.Text)
	}
	if reply.Text != "" {
		if err := json.Unmarshal([]byte(reply.Text), &out); err != nil {
			t.Fatalf("%v\n%s", err, reply.Text)
		}
	}
	return out
}

func TestProgramsSignPeopleInByTheAPI(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised"})
	for _, host := range []string{"api.portal", "gate"} {
		p, api := d.Stranger(t), d.Origin(host)+"/api"
		email := "neosc@" + kit.Domain
		login := `{"email": "` + email + `", "password": "` + d.Passwords[email] + `"}`
		got := into[apiTokens](t, send(t, p, "POST", api+"/auth/login", "", login), http.StatusOK)
		if got.Type != "bearer" || got.Expires < 1700 || got.Expires > 1800 || got.User.Email != email || got.User.Role != "neosc" || got.User.Organization != "Kappa4" {
			t.Fatalf("%+v", got)
		}
		if me := into[apiUser](t, send(t, p, "GET", api+"/auth/me", got.Access, ""), http.StatusOK); me != got.User {
			t.Errorf("me is %+v, and signed in as %+v", me, got.User)
		}
		if reply := send(t, p, "POST", api+"/auth/logout", got.Access, ""); reply.StatusCode != http.StatusNoContent {
			t.Errorf("logout: %s %s", reply.Status, reply.Text)
		}
		if reply := send(t, p, "GET", api+"/auth/me", got.Access, ""); reply.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s after the logout", reply.Status)
		}
		if reply := send(t, p, "POST", api+"/auth/login", "", `{"email": "`+email+`", "password": "not the password"}`); reply.StatusCode != http.StatusUnauthorized || !strings.Contains(reply.Text, "credentials") {
			t.Errorf("a wrong password: %s %s", reply.Status, reply.Text)
		}
	}
	peopleRegister(t, d)
}
