package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

// asks is one request of an administrator, and what it asks of accounts.
type asks struct {
	method, target, body string
	status               int
	asked                string
}

func TestWhatAdministratorsAskForReachesAccounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]asks{
		"List":         {"GET", "/api/users?search=no&organization=org_acme&after=c1&limit=7", "", 200, "users org_acme no c1 7"},
		"Role":         {"PATCH", "/api/users/usr_nora", `{"role": "admin"}`, 200, `change usr_nora {"Name":null,"Roles":["admin"],"Disabled":null,"MFA":null,"Organization":null} by usr_ada`},
		"Roles":        {"PATCH", "/api/users/usr_nora", `{"roles": ["user", "neosc"]}`, 200, `change usr_nora {"Name":null,"Roles":["user","neosc"],"Disabled":null,"MFA":null,"Organization":null} by usr_ada`},
		"Disable":      {"PATCH", "/api/users/usr_nora", `{"disabled": true}`, 200, `change usr_nora {"Name":null,"Roles":null,"Disabled":true,"MFA":null,"Organization":null} by usr_ada`},
		"Move":         {"PATCH", "/api/users/usr_nora", `{"organization_id": "org_1", "mfa_enabled": false, "name": "N"}`, 200, `change usr_nora {"Name":"N","Roles":null,"Disabled":null,"MFA":false,"Organization":"org_1"} by usr_ada`},
		"Delete":       {"DELETE", "/api/users/usr_nora", "", 204, "delete usr_nora by usr_ada"},
		"Create":       {"POST", "/api/organizations", `{"name": "Acme", "domain": "acme.example"}`, 201, "create Acme acme.example"},
		"Rename":       {"PATCH", "/api/organizations/org_acme", `{"name": "A", "settings": {"a": {"b": [1]}}}`, 200, `organization org_acme {"Name":"A","Domain":null,"Settings":{"a":{"b":[1]}}}`},
		"Invite":       {"POST", "/api/organizations/org_acme/invitations", `{"email": "x@acme.example", "roles": ["user"]}`, 201, `invite org_acme x@acme.example ["user"]`},
		"RevokeInvite": {"DELETE", "/api/organizations/org_acme/invitations/inv_1", "", 204, "revoke inv_1"},
		"Everybodys":   {"GET", "/api/organizations?limit=3&after=x", "", 200, `organizations of "" after "x", 3`},
		"Accept":       {"POST", "/api/invitations/accept", `{"token": "t"}`, 200, "accept usr_ada t"},
		"OwnName":      {"PATCH", "/api/users/me", `{"name": "Ada L."}`, 200, `change usr_ada {"Name":"Ada L.","Roles":null,"Disabled":null,"MFA":null,"Organization":null} by usr_ada`},
		"OwnPassword":  {"POST", "/api/users/me/password", `{"current_password": "a", "new_password": "b"}`, 204, "password usr_ada a b true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newHouse(t)
			x.do(c.method, c.target, x.token("ada"), c.body).status(c.status)
			if len(x.accounts.asked) != 1 || x.accounts.asked[0] != c.asked {
				t.Errorf("asked %q, want %q", x.accounts.asked, c.asked)
			}
		})
	}
}

func TestRequestsAboutPeopleThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, target, body string
		fail                 error
		status               int
		reason               string
	}{
		"NothingToChange":  {"PATCH", "/api/users/usr_nora", "{}", nil, 422, "request_invalid"},
		"NothingOfAnOrg":   {"PATCH", "/api/organizations/org_acme", "{}", nil, 422, "request_invalid"},
		"RoleAndRoles":     {"PATCH", "/api/users/usr_nora", `{"role": "user", "roles": []}`, nil, 422, "request_invalid"},
		"RolesAsText":      {"PATCH", "/api/users/usr_nora", `{"roles": "admin"}`, nil, 400, "request_invalid"},
		"IDInTheBody":      {"PATCH", "/api/users/usr_nora", `{"id": "usr_ada"}`, nil, 400, "request_invalid"},
		"RoleOfOnesOwn":    {"PATCH", "/api/users/me", `{"role": "admin"}`, nil, 400, "request_invalid"},
		"UnknownUser":      {"GET", "/api/users/usr_none", "", nil, 404, "not_found"},
		"UnknownOrg":       {"GET", "/api/organizations/org_none", "", nil, 404, "not_found"},
		"UnknownOrgsList":  {"GET", "/api/organizations/org_none/invitations", "", nil, 404, "not_found"},
		"ForeignInvite":    {"DELETE", "/api/organizations/org_acme/invitations/inv_9", "", nil, 404, "not_found"},
		"LastAdmin":        {"DELETE", "/api/users/usr_ada", "", session.ErrLastAdmin, 409, "last_admin"},
		"OrgExists":        {"POST", "/api/organizations", `{"name": "Acme"}`, session.ErrOrganizationExists, 409, "conflict"},
		"BadRole":          {"PATCH", "/api/users/usr_nora", `{"role": "a,b"}`, session.ErrBadUser, 422, "request_invalid"},
		"WrongPassword":    {"POST", "/api/users/me/password", `{"current_password": "a", "new_password": "b"}`, session.ErrCredentials, 422, "credentials"},
		"PasswordOfNobody": {"POST", "/api/users/me/password", `{"current_password": "a", "new_password": "b"}`, session.ErrNoUser, 409, "no_account"},
		"AcceptByNobody":   {"POST", "/api/invitations/accept", `{"token": "t"}`, session.ErrNoUser, 409, "no_account"},
		"AcceptAgain":      {"POST", "/api/invitations/accept", `{"token": "t"}`, session.ErrLink, 422, "link_invalid"},
		"Away":             {"GET", "/api/users", "", errors.Join(session.ErrUnavailable, errors.New("sector 7")), 503, "unavailable"},
		"LimitZero":        {"GET", "/api/users?limit=0", "", nil, 400, "request_invalid"},
		"LimitLarge":       {"GET", "/api/users?limit=1001", "", nil, 400, "request_invalid"},
		"LimitTwice":       {"GET", "/api/users?limit=1&limit=2", "", nil, 400, "request_invalid"},
		"UnknownParameter": {"GET", "/api/users?offset=1", "", nil, 400, "request_invalid"},
		"BadQuery":         {"GET", "/api/users?a=%zz", "", nil, 400, "request_invalid"},
		"NotUTF8":          {"GET", "/api/users?search=%ff", "", nil, 400, "request_invalid"},
		"LongParameter":    {"GET", "/api/users?search=" + strings.Repeat("a", 513), "", nil, 400, "request_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newHouse(t)
			x.accounts.fail = c.fail
			a := x.do(c.method, c.target, x.token("ada"), c.body)
			a.reason(c.status, c.reason)
			if strings.Contains(a.Body.String(), "sector") {
				t.Errorf("%s", a.Body)
			}
		})
	}
}

func TestListingsNameTheirNextPage(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	a := x.do("GET", "/api/users?search=no&limit=1&after=c1", x.token("ada"), "")
	if got := read[[]Account](a, http.StatusOK); len(got) != 1 || got[0].User.ID != "usr_nora" || got[0].OrganizationID != "org_acme" || got[0].Provider != "local" {
		t.Errorf("%+v", got)
	}
	if link := a.Header().Get("Link"); link != `</api/users?after=c2&limit=1&search=no>; rel="next"` {
		t.Errorf("Link %q", link)
	}
}

func TestMembersSeeTheirOwnOrganizationWithoutItsSettings(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	a := x.do("GET", "/api/organizations", x.token("nora"), "")
	if got := read[[]Organization](a, http.StatusOK); len(got) != 1 || got[0].Users != 2 || got[0].Workspaces != 1 || got[0].Settings != nil {
		t.Errorf("%+v", got)
	}
	if asked := x.accounts.asked[0]; asked != `organizations of "usr_nora" after "", 100` {
		t.Errorf("asked %q", asked)
	}
	if got := read[[]Organization](x.do("GET", "/api/organizations", x.token("ada"), ""), http.StatusOK); string(got[0].Settings) != `{"colour":"red"}` {
		t.Errorf("%+v", got)
	}
}

func TestPeopleOfProvidersHaveAProfile(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	tokens, err := x.sessions.BeginTokens(t.Context(), session.Draft{Identity: session.Identity{
		Provider: "zitadel_onprem", UserID: "p1", Email: "pia@kappa4.com", EmailVerified: true, Roles: []string{"user", "auditor"}, AMR: []string{"mfa"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := read[Account](x.do("GET", "/api/users/me", tokens.Access, ""), http.StatusOK)
	if got.Provider != "zitadel_onprem" || got.Role != "user" || !got.MFA || len(got.Roles) != 2 || !got.CreatedAt.IsZero() {
		t.Errorf("%+v", got)
	}
	x.do("PATCH", "/api/users/me", tokens.Access, `{"name": "Pia"}`).reason(409, "no_account")
}
