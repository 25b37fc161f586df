package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/neosc/gate/test/apidoc"
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

// apiHouse is a demo whose API is asked at one of its hosts, with the document
// that it serves: every reply is held against that.
type apiHouse struct {
	*kit.Demo
	origin string
	doc    *apidoc.Doc
	person *kit.Person
}

func startAPIHouse(t *testing.T, d *kit.Demo, host string) *apiHouse {
	t.Helper()
	h := &apiHouse{Demo: d, origin: d.Origin(host), person: d.Stranger(t)}
	reply := h.person.Do(t, "GET", h.origin+"/api/openapi.yaml", nil)
	doc, err := apidoc.Read([]byte(reply.Text))
	if err != nil {
		t.Fatalf("%s: %v\n%.300s", reply.Status, err, reply.Text)
	}
	h.doc = doc
	return h
}

// send is a request of a program to the API.
func (h *apiHouse) send(t *testing.T, method, path, token, body string) *kit.Reply {
	t.Helper()
	reply := send(t, h.person, method, h.origin+path, token, body)
	path, _, _ = strings.Cut(path, "?")
	if err := h.doc.Check(method, path, reply.StatusCode, reply.Header, []byte(reply.Text)); err != nil {
		t.Error(err)
	}
	return reply
}

// send is a request of a program to any host of the demo, with a token or "".
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

// into reads a reply, which must have a status.
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

// said sends a request and reads the reply, which must have a status.
func said[T any](t *testing.T, h *apiHouse, method, path, token, body string, status int) T {
	t.Helper()
	return into[T](t, h.send(t, method, path, token, body), status)
}

// nothing is the body of a 204.
type nothing = struct{}

// login signs a person of the demo in.
func (h *apiHouse) login(t *testing.T, name string) apiTokens {
	t.Helper()
	email := name + "@" + kit.Domain
	return said[apiTokens](t, h, "POST", "/api/auth/login", "", `{"email": "`+email+`", "password": "`+h.Passwords[email]+`"}`, http.StatusOK)
}

func TestProgramsUseTheAPI(t *testing.T) {
	t.Parallel()
	// All come from one address, whose budget is not what is tried here.
	d := kit.StartDemo(t, kit.DemoOptions{Policy: "raised", Env: []string{"GATE_ACCOUNTS_GUESS_BURST=300"}})
	for _, host := range []string{"api.portal", "gate"} {
		h := startAPIHouse(t, d, host)
		t.Run(host+"/SignIn", h.testSignIn)
		t.Run(host+"/Users", h.testUsers)
		t.Run(host+"/Sessions", h.testSessions)
	}
	h := startAPIHouse(t, d, "api.portal")
	t.Run("Registering", func(t *testing.T) { peopleRegister(t, d) })
	t.Run("Register", h.testRegister)
	t.Run("Organizations", h.testOrganizations)
	t.Run("Addresses", h.testAddresses)
	t.Run("Schemathesis", h.testSchemathesis)
}

func (h *apiHouse) testSignIn(t *testing.T) {
	got := h.login(t, "neosc")
	if got.Type != "bearer" || got.Expires < 1700 || got.Expires > 1800 || got.User.Email != "neosc@"+kit.Domain || got.User.Role != "neosc" || got.User.Organization != "Kappa4" {
		t.Fatalf("%+v", got)
	}
	if me := said[apiUser](t, h, "GET", "/api/auth/me", got.Access, "", 200); me != got.User {
		t.Errorf("me is %+v, and signed in as %+v", me, got.User)
	}
	if in := h.person.Do(t, "GET", h.Origin("api.portal")+"/api/whoami", nil, "Authorization", "Bearer "+got.Access); in.StatusCode != 200 || !strings.Contains(in.Text, got.User.Email) {
		t.Errorf("the token at an application: %s %s", in.Status, in.Text)
	}
	next := said[apiTokens](t, h, "POST", "/api/auth/refresh", "", `{"refresh_token": "`+got.Refresh+`"}`, 200)
	said[nothing](t, h, "POST", "/api/auth/logout", next.Access, "", 204)
	for _, token := range []string{got.Access, next.Access} {
		said[nothing](t, h, "GET", "/api/auth/me", token, "", 401)
	}
	said[nothing](t, h, "POST", "/api/auth/refresh", "", `{"refresh_token": "`+next.Refresh+`"}`, 401)
	said[nothing](t, h, "POST", "/api/auth/login", "", `{"email": "neosc@`+kit.Domain+`", "password": "not the password"}`, 401)

	// A refresh token that comes twice ends the session.
	got = h.login(t, "neosc")
	next = said[apiTokens](t, h, "POST", "/api/auth/refresh", "", `{"refresh_token": "`+got.Refresh+`"}`, 200)
	said[nothing](t, h, "POST", "/api/auth/refresh", "", `{"refresh_token": "`+got.Refresh+`"}`, 401)
	said[nothing](t, h, "GET", "/api/auth/me", next.Access, "", 401)
}

// testRegister is the example of the specification: register, verify, login, me,
// logout, and what of it is in the trail.
func (h *apiHouse) testRegister(t *testing.T) {
	const body = `{"email": "john@example.com", "password": "SecurePassword123", "name": "John Doe", "organization": "Acme Corporation"}`
	got := said[apiTokens](t, h, "POST", "/api/auth/register", "", body, 201)
	want := apiUser{ID: got.User.ID, Email: "john@example.com", Name: "John Doe", Organization: "Default Organization", Role: "user", MFA: true}
	if got.Type != "bearer" || got.Access == "" || got.User != want {
		t.Fatalf("%+v", got)
	}
	// Neither the role nor the password counts before the email is verified.
	portal := func(token string) int {
		return h.person.Do(t, "GET", h.Origin("portal")+"/", nil, "Authorization", "Bearer "+token).StatusCode
	}
	if got := portal(got.Access); got != 403 {
		t.Errorf("an unverified session opens the portal: %d", got)
	}
	said[apiUser](t, h, "GET", "/api/auth/me", got.Access, "", 200)
	const login = `{"email": "john@example.com", "password": "SecurePassword123"}`
	said[nothing](t, h, "POST", "/api/auth/login", "", login, 401)

	// Who registers an address that has an account gets the same reply.
	taken := said[apiTokens](t, h, "POST", "/api/auth/register", "", strings.Replace(body, "john@example.com", "user@"+kit.Domain, 1), 201)
	if taken.User.ID == "" || taken.User.ID == got.User.ID || taken.User.Role != "user" || taken.User.Organization != "Default Organization" || portal(taken.Access) != 403 {
		t.Errorf("a taken address: %+v", taken)
	}

	token := mailed(t, h.Demo, "john@example.com", "/account/verify", 1)
	said[nothing](t, h, "POST", "/api/auth/verify-email", "", `{"token": "`+token+`", "password": "another password"}`, 401)
	verified := said[apiTokens](t, h, "POST", "/api/auth/verify-email", "", `{"token": "`+token+`", "password": "SecurePassword123"}`, 200)
	if verified.User.Email != "john@example.com" || verified.User.Role != "user" {
		t.Errorf("%+v", verified)
	}
	said[nothing](t, h, "POST", "/api/auth/verify-email", "", `{"token": "`+token+`", "password": "SecurePassword123"}`, 422)
	if got := portal(verified.Access); got != 200 {
		t.Errorf("a verified session at the portal: %d", got)
	}
	in := said[apiTokens](t, h, "POST", "/api/auth/login", "", login, 200)
	if me := said[apiUser](t, h, "GET", "/api/auth/me", in.Access, "", 200); me != in.User || me.Name != "John Doe" || me.Organization != "Default Organization" || !me.MFA {
		t.Errorf("%+v", me)
	}
	said[nothing](t, h, "POST", "/api/auth/logout", in.Access, "", 204)
	h.testTrailOf(t, verified, "register", "email_verified", "login", "logout")
	h.testReset(t)
}

// testTrailOf: people see their own entries, and no others.
func (h *apiHouse) testTrailOf(t *testing.T, who apiTokens, actions ...string) {
	t.Helper()
	type entry struct {
		Action string
		UserID string `json:"user_id"`
	}
	seen := map[string]bool{}
	for _, e := range said[[]entry](t, h, "GET", "/api/audit-logs", who.Access, "", 200) {
		seen[e.Action] = true
		if e.UserID != who.User.ID {
			t.Errorf("an entry of another: %+v", e)
		}
	}
	for _, a := range actions {
		if !seen[a] {
			t.Errorf("the trail of %s lacks %s: %v", who.User.Email, a, seen)
		}
	}
}

func (h *apiHouse) testReset(t *testing.T) {
	before := said[apiTokens](t, h, "POST", "/api/auth/login", "", `{"email": "john@example.com", "password": "SecurePassword123"}`, 200)
	for _, email := range []string{"john@example.com", "nobody@example.com"} {
		said[nothing](t, h, "POST", "/api/auth/password-reset", "", `{"email": "`+email+`"}`, 202)
	}
	token := mailed(t, h.Demo, "john@example.com", "/account/reset", 1)
	said[nothing](t, h, "POST", "/api/auth/password-reset/confirm", "", `{"token": "`+token+`", "password": "password"}`, 422)
	said[nothing](t, h, "POST", "/api/auth/password-reset/confirm", "", `{"token": "`+token+`", "password": "a new long one 7"}`, 204)
	said[nothing](t, h, "GET", "/api/auth/me", before.Access, "", 401)
	in := said[apiTokens](t, h, "POST", "/api/auth/login", "", `{"email": "john@example.com", "password": "a new long one 7"}`, 200)
	said[nothing](t, h, "POST", "/api/users/me/password", in.Access, `{"current_password": "wrong one", "new_password": "SecurePassword123"}`, 422)
	said[nothing](t, h, "POST", "/api/users/me/password", in.Access, `{"current_password": "a new long one 7", "new_password": "yet another one 8"}`, 204)
	said[apiUser](t, h, "GET", "/api/auth/me", in.Access, "", 200)
}
