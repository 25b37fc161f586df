package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

type apiAccount struct {
	apiUser
	Roles        []string
	Organization string `json:"organization_id"`
	Disabled     bool
}

func (h *apiHouse) testUsers(t *testing.T) {
	admin, user := h.login(t, "admin"), h.login(t, "user")
	// Somebody else than an administrator sees nobody but themselves.
	for _, r := range []string{"GET /api/users", "GET /api/users/" + user.User.ID, "DELETE /api/users/" + user.User.ID, "GET /api/sessions?all=true", "GET /api/policy/switches"} {
		method, path, _ := strings.Cut(r, " ")
		said[nothing](t, h, method, path, user.Access, "", http.StatusForbidden)
	}
	said[nothing](t, h, "PATCH", "/api/users/"+user.User.ID, user.Access, `{"role": "admin"}`, 403)
	if me := said[apiAccount](t, h, "PATCH", "/api/users/me", user.Access, `{"name": "Ursula User"}`, 200); me.Name != "Ursula User" {
		t.Errorf("%+v", me)
	}
	said[nothing](t, h, "PATCH", "/api/users/me", user.Access, `{"name": "Uma User", "role": "admin"}`, 400)

	all := map[string]bool{}
	for path := "/api/users?limit=2"; path != ""; {
		reply := h.send(t, "GET", path, admin.Access, "")
		for _, u := range said[[]apiAccount](t, h, "GET", path, admin.Access, "", 200) {
			if all[u.Email] {
				t.Errorf("%s is there twice", u.Email)
			}
			all[u.Email] = true
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(reply.Header.Get("Link"), "<"), ">")
	}
	for _, name := range []string{"admin", "neosc", "neosc2", "user", "demo"} {
		if !all[name+"@"+kit.Domain] {
			t.Errorf("%s is not listed: %v", name, all)
		}
	}

	// A role changes in live sessions at once, and goes again.
	if u := said[apiAccount](t, h, "PATCH", "/api/users/"+user.User.ID, admin.Access, `{"role": "admin"}`, 200); u.Role != "admin" || len(u.Roles) != 1 {
		t.Errorf("%+v", u)
	}
	said[[]apiAccount](t, h, "GET", "/api/users", user.Access, "", 200)
	said[apiAccount](t, h, "PATCH", "/api/users/"+user.User.ID, admin.Access, `{"role": "user"}`, 200)
	said[nothing](t, h, "GET", "/api/users", user.Access, "", 403)

	// Disabling ends sessions; the last administrator stays one.
	said[apiAccount](t, h, "PATCH", "/api/users/"+user.User.ID, admin.Access, `{"disabled": true}`, 200)
	said[nothing](t, h, "GET", "/api/auth/me", user.Access, "", 401)
	said[apiAccount](t, h, "PATCH", "/api/users/"+user.User.ID, admin.Access, `{"disabled": false}`, 200)
	said[nothing](t, h, "PATCH", "/api/users/"+admin.User.ID, admin.Access, `{"role": "user"}`, 409)
	said[nothing](t, h, "DELETE", "/api/users/"+admin.User.ID, admin.Access, "", 409)
}

type apiSession struct {
	ID      string
	UserID  string `json:"user_id"`
	Kind    string
	Current bool
}

func (h *apiHouse) testSessions(t *testing.T) {
	admin, mine, other := h.login(t, "admin"), h.login(t, "neosc2"), h.login(t, "neosc2")
	list := said[[]apiSession](t, h, "GET", "/api/sessions", mine.Access, "", 200)
	var otherID, adminID string
	for _, s := range list {
		if s.UserID != mine.User.ID || s.Kind != "bearer" {
			t.Errorf("%+v", s)
		}
		if !s.Current {
			otherID = s.ID
		}
	}
	for _, s := range said[[]apiSession](t, h, "GET", "/api/sessions", admin.Access, "", 200) {
		if s.Current {
			adminID = s.ID
		}
	}
	said[nothing](t, h, "DELETE", "/api/sessions/"+adminID, mine.Access, "", 404)
	said[nothing](t, h, "DELETE", "/api/sessions/"+otherID, mine.Access, "", 204)
	said[nothing](t, h, "GET", "/api/auth/me", other.Access, "", 401)
	other = h.login(t, "neosc2")
	if ended := said[map[string]int](t, h, "DELETE", "/api/sessions?others=true", mine.Access, "", 200); ended["sessions_ended"] < 1 {
		t.Errorf("%v", ended)
	}
	said[nothing](t, h, "GET", "/api/auth/me", other.Access, "", 401)
	said[apiUser](t, h, "GET", "/api/auth/me", mine.Access, "", 200)
	if n := len(said[[]apiSession](t, h, "GET", "/api/sessions?user="+mine.User.ID, admin.Access, "", 200)); n != 1 {
		t.Errorf("%d sessions", n)
	}
	said[map[string]int](t, h, "DELETE", "/api/sessions?user="+mine.User.ID, admin.Access, "", 200)
	said[nothing](t, h, "GET", "/api/auth/me", mine.Access, "", 401)
}

type apiOrganization struct {
	ID, Name, Domain string
	Users            int `json:"users_count"`
	Settings         map[string]any
}

func (h *apiHouse) testOrganizations(t *testing.T) {
	admin := h.login(t, "admin")
	acme := said[apiOrganization](t, h, "POST", "/api/organizations", admin.Access, `{"name": "Acme Corporation", "domain": "acme.example"}`, 201)
	if acme.ID == "" || acme.Name != "Acme Corporation" || acme.Users != 0 {
		t.Errorf("%+v", acme)
	}
	said[nothing](t, h, "POST", "/api/organizations", admin.Access, `{"name": "Acme Corporation"}`, 409)
	at := "/api/organizations/" + acme.ID
	if o := said[apiOrganization](t, h, "PATCH", at, admin.Access, `{"name": "Acme", "settings": {"theme": {"dark": true}}}`, 200); o.Name != "Acme" || o.Settings["theme"] == nil {
		t.Errorf("%+v", o)
	}

	// An invitation makes an account there, with a verified email.
	waiting := said[map[string]any](t, h, "POST", at+"/invitations", admin.Access, `{"email": "jane@acme.example"}`, 201)
	revoked := said[map[string]any](t, h, "POST", at+"/invitations", admin.Access, `{"email": "joe@acme.example"}`, 201)
	said[nothing](t, h, "DELETE", at+"/invitations/"+revoked["id"].(string), admin.Access, "", 204)
	if list := said[[]map[string]any](t, h, "GET", at+"/invitations", admin.Access, "", 200); len(list) != 1 || list[0]["id"] != waiting["id"] {
		t.Errorf("%v", list)
	}
	token := mailed(t, h.Demo, "jane@acme.example", "/account/invitation", 1)
	register := `{"email": "jane@acme.example", "password": "SecurePassword123", "name": "Jane", "invitation": "` + token + `"}`
	said[nothing](t, h, "POST", "/api/auth/register", "", strings.Replace(register, "jane@", "eve@", 1), 422)
	jane := said[apiTokens](t, h, "POST", "/api/auth/register", "", register, 201)
	if jane.User.Organization != "Acme" || jane.User.Role != "user" {
		t.Errorf("%+v", jane.User)
	}
	if own := said[[]apiOrganization](t, h, "GET", "/api/organizations", jane.Access, "", 200); len(own) != 1 || own[0].ID != acme.ID || own[0].Users != 1 || own[0].Settings != nil {
		t.Errorf("%+v", own)
	}
	said[nothing](t, h, "GET", at, jane.Access, "", 403)

	// An account that is there already moves.
	user := h.login(t, "user")
	said[map[string]any](t, h, "POST", at+"/invitations", admin.Access, `{"email": "user@`+kit.Domain+`"}`, 201)
	token = mailed(t, h.Demo, "user@"+kit.Domain, "/account/invitation", 1)
	said[nothing](t, h, "POST", "/api/invitations/accept", jane.Access, `{"token": "`+token+`"}`, 422)
	said[apiAccount](t, h, "POST", "/api/invitations/accept", user.Access, `{"token": "`+token+`"}`, 200)
	if me := said[apiUser](t, h, "GET", "/api/auth/me", user.Access, "", 200); me.Organization != "Acme" {
		t.Errorf("%+v", me)
	}
	for _, o := range said[[]apiOrganization](t, h, "GET", "/api/organizations", admin.Access, "", 200) {
		if o.ID == acme.ID && o.Users != 2 {
			t.Errorf("%+v", o)
		}
	}
}

// testAddresses: what the document names is there, and behind the edge nobody
// gets at what is not public.
func (h *apiHouse) testAddresses(t *testing.T) {
	admin := h.login(t, "admin")
	for _, o := range h.doc.Operations() {
		method, template, _ := strings.Cut(o, " ")
		path := strings.NewReplacer("{user}", "usr_none", "{session}", strings.Repeat("0", 64), "{organization}", "org_none", "{invitation}", "inv_none", "{name}", "none").Replace(template)
		anonymous := h.send(t, method, path, "", "")
		if public := anonymous.StatusCode != 401; public != h.doc.Public(o) {
			t.Errorf("%s without a session: %s", o, anonymous.Status)
		}
		if o == "POST /api/auth/logout" {
			continue
		}
		reply := h.send(t, method, path, admin.Access, "")
		// In this demo no provider has redirect URIs of apps.
		if strings.Contains(reply.Text, "unknown_route") && o != "POST /api/auth/token-exchange" {
			t.Errorf("%s is not there: %s", o, reply.Text)
		}
	}
}
