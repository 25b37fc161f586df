package oidclogin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
)

func mapped(t *testing.T, p Provider, claims string) (session.Identity, error) {
	t.Helper()
	p.ID, p.Issuer, p.ClientID = "one", "https://idp.example", "gate"
	if err := p.complete(); err != nil {
		t.Fatal(err)
	}
	c, err := decodeClaims([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	return (&provider{Provider: p}).identity(c)
}

func TestWhoSomebodyIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, claims, email, who, org string }{
		{"Email", `{"sub":"s","email":"a@b.c","preferred_username":"p","name":"N","given_name":"G","org":"O1","urn:zitadel:iam:org:id":"O2"}`, "a@b.c", "N", "O1"},
		{"PreferredUsername", `{"sub":"s","preferred_username":"p","given_name":"G","urn:zitadel:iam:org:id":"O2","urn:zitadel:iam:user:resourceowner:id":"O3"}`, "p", "G", "O2"},
		{"Subject", `{"sub":"s","email":"","urn:zitadel:iam:user:resourceowner:id":"O3"}`, "s", "", "O3"},
		{"UsernameAsName", `{"sub":"s","preferred_username":"p"}`, "p", "p", ""},
		{"OtherTypes", `{"sub":"s","email":7,"name":["x"],"org":{}}`, "s", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			id, err := mapped(t, Provider{}, c.claims)
			if err != nil || id.Email != c.email || id.Name != c.who || id.Organization != c.org {
				t.Errorf("%q %q %q, error %v", id.Email, id.Name, id.Organization, err)
			}
		})
	}
}

// A13 among them: two domains in one address are none.
func TestWhichEmailsAreVerified(t *testing.T) {
	t.Parallel()
	company := Provider{Domains: []string{"Company.com"}}
	for _, c := range []struct {
		p      Provider
		claims string
		want   bool
	}{
		{Provider{}, `{"sub":"s","email":"a@b.com","email_verified":true}`, true},
		{Provider{}, `{"sub":"s","email":"a@b.com","email_verified":"true"}`, true},
		{Provider{}, `{"sub":"s","email":"a@b.com","email_verified":"yes"}`, false},
		{Provider{}, `{"sub":"s","email":"a@b.com","email_verified":1}`, false},
		{Provider{}, `{"sub":"s","email":"a@b.com"}`, false},
		{Provider{}, `{"sub":"s","preferred_username":"ceo@company.com","email_verified":true}`, false},
		{Provider{}, `{"sub":"ceo@company.com","email_verified":true}`, false},
		{company, `{"sub":"s","email":"a@company.com"}`, true},
		{company, `{"sub":"s","email":"a@COMPANY.COM"}`, true},
		{company, `{"sub":"s","preferred_username":"a@company.com"}`, true},
		{company, `{"sub":"s","email":"a@evil.com@company.com"}`, false},
		{company, `{"sub":"s","email":"a@company.com@evil.com"}`, false},
		{company, `{"sub":"s","email":"a@evil.com@company.com","email_verified":true}`, false},
		{company, `{"sub":"s","email":"a@sub.company.com"}`, false},
		{company, `{"sub":"s","email":"a@evilcompany.com"}`, false},
		{company, `{"sub":"s","email":"a@company.com."}`, false},
		{company, `{"sub":"s","email":"@company.com"}`, false},
		{company, `{"sub":"s","email":"\"x\" <a@company.com>"}`, false},
		{company, `{"sub":"s","email":"a,b@company.com"}`, false},
		{company, `{"sub":"s","email":"a@cömpany.com"}`, false},
	} {
		if id, err := mapped(t, c.p, c.claims); err != nil || id.EmailVerified != c.want {
			t.Errorf("%s with domains %q: verified %v, error %v", c.claims, c.p.Domains, id.EmailVerified, err)
		}
	}
}

func TestRolesInEveryForm(t *testing.T) {
	t.Parallel()
	zitadel := Provider{ProjectID: "P1"}
	for _, c := range []struct {
		name, claims string
		p            Provider
		want, groups []string
	}{
		{"ZitadelProject", `{"sub":"s","urn:zitadel:iam:org:project:P1:roles":{"neosc":{"O1":"a.b"},"admin":{"O1":"a.b"}}}`, zitadel, []string{"admin", "neosc"}, nil},
		{"OtherProject", `{"sub":"s","urn:zitadel:iam:org:project:P2:roles":{"admin":{"O1":"a.b"}}}`, zitadel, nil, nil},
		{"ShortClaim", `{"sub":"s","urn:zitadel:iam:org:project:roles":{"user":{"O1":"a.b"}}}`, zitadel, []string{"user"}, nil},
		{"ArrayOfObjects", `{"sub":"s","urn:zitadel:iam:org:project:roles":[{"user":{"O1":"a.b"}},{"neosc":{"O1":"a.b"}}]}`, Provider{}, []string{"neosc", "user"}, nil},
		{"ArrayOfNames", `{"sub":"s","roles":["user","user","neosc"]}`, Provider{}, []string{"neosc", "user"}, nil},
		{"OneName", `{"sub":"s","roles":"user"}`, Provider{}, []string{"user"}, nil},
		{"OursByIDAndPlainOnes", `{"sub":"s","roles":["a"],"urn:zitadel:iam:org:project:roles":{"b":{}},"urn:zitadel:iam:org:project:P1:roles":{"c":{}}}`, zitadel, []string{"a", "c"}, nil},
		{"OwnProjectBesideAnothersByID", `{"sub":"s","urn:zitadel:iam:org:project:roles":{"admin":{"O1":"a.b"}},"urn:zitadel:iam:org:project:P2:roles":{"admin":{"O1":"a.b"}}}`, zitadel, nil, nil},
		{"OwnProjectWithoutAProjectID", `{"sub":"s","urn:zitadel:iam:org:project:roles":{"b":{}},"urn:zitadel:iam:org:project:P1:roles":{"c":{}}}`, Provider{}, []string{"b"}, nil},
		{"AMemberThatIsFalse", `{"sub":"s","urn:zitadel:iam:org:project:roles":{"admin":false,"owner":null,"user":{"O1":"a.b"}}}`, Provider{}, []string{"user"}, nil},
		{"ArraysInArrays", `{"sub":"s","roles":[["admin"],7,"user"]}`, Provider{}, []string{"user"}, nil},
		{"OtherType", `{"sub":"s","roles":true}`, Provider{}, nil, nil},
		{"GroupsStayApart", `{"sub":"s","roles":["user"],"groups":["owner","admin"]}`, Provider{}, []string{"user"}, []string{"admin", "owner"}},
		{"Null", `{"sub":"s","roles":null}`, Provider{}, nil, nil},
		{"OwnClaim", `{"sub":"s","roles":["no"],"realm":["yes"]}`, Provider{RoleClaims: []string{"realm"}}, []string{"yes"}, nil},
		{"DefaultRole", `{"sub":"s"}`, Provider{DefaultRole: "user"}, []string{"user"}, nil},
		{"DefaultBesideUnknownOnes", `{"sub":"s","roles":["billing"]}`, Provider{DefaultRole: "user"}, []string{"billing", "user"}, nil},
		{"NoDefaultBesideAKnownOne", `{"sub":"s","roles":["demo-user"]}`, Provider{DefaultRole: "user"}, []string{"demo-user"}, nil},
		{"KnownAsConfigured", `{"sub":"s","roles":["billing"]}`, Provider{DefaultRole: "user", KnownRoles: []string{"billing"}}, []string{"billing"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			id, err := mapped(t, c.p, c.claims)
			if err != nil || !slices.Equal(id.Roles, c.want) || !slices.Equal(id.Groups, c.groups) {
				t.Errorf("roles %q, groups %q, error %v", id.Roles, id.Groups, err)
			}
		})
	}
	for _, claims := range []string{`{"sub":"s","roles":["a,b"]}`,
		`{"sub":"s","roles":[""]}`, `{"sub":"s","groups":["a\u0000"]}`, `{"sub":"s","roles":{" admin":{}}}`} {
		if id, err := mapped(t, Provider{}, claims); err == nil {
			t.Errorf("%s gave %q %q", claims, id.Roles, id.Groups)
		}
	}
}

// A12
func TestTheSameSubjectOrEmailAtAnotherProviderIsAnotherUser(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	one, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	q := r.start(t, "two")
	two, err := r.finish(t.Context(), "two", map[string][]string{"code": {"c"}, "state": {q.Get("state")}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := one.Session.Identity, two.Session.Identity
	if a.UserID == b.UserID || a.Email != b.Email || a.Subject != b.Subject {
		t.Errorf("%s and %s for %s at both", a.UserID, b.UserID, a.Email)
	}
	again, err := r.signIn(t)
	if err != nil || again.Session.Identity.UserID != a.UserID {
		t.Errorf("the user's id changed, error %v", err)
	}
}

// A18
func TestOnlyConfiguredOrganizationsAreLetIn(t *testing.T) {
	t.Parallel()
	p := Provider{Organizations: []string{"O1"}}
	if _, err := mapped(t, p, `{"sub":"s","org":"O1"}`); err != nil {
		t.Error(err)
	}
	for _, claims := range []string{`{"sub":"s"}`, `{"sub":"s","org":"O2"}`, `{"sub":"s","org":["O1"]}`} {
		if _, err := mapped(t, p, claims); err == nil {
			t.Errorf("%s was let in", claims)
		}
	}
}

func TestUserinfoFillsInWhatIsMissingAndNoMore(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.idp.claims["email_verified"] = false
	delete(r.idp.claims, "roles")
	r.idp.userinfo = map[string]any{"sub": "s1", "roles": []string{"user"}, "email": "other@kappa4.com", "email_verified": true, "n": json.Number("9007199254740993")}
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	id := l.Session.Identity
	if id.Email != "nora@kappa4.com" || id.EmailVerified || !slices.Equal(id.Roles, []string{"user"}) || fmt.Sprint(id.Claims["n"]) != "9007199254740993" {
		t.Errorf("%+v", id)
	}
	if id.Claims["nonce"] != nil || l.Session.IdPSession != "sid1" || !id.AuthenticatedAt.Equal(noon) {
		t.Errorf("nonce %v, session %q, authenticated %s", id.Claims["nonce"], l.Session.IdPSession, id.AuthenticatedAt)
	}
	n := r.idp.calls("/userinfo")
	r.idp.claims["roles"] = []string{"user"}
	if _, err := r.signIn(t); err != nil || r.idp.calls("/userinfo") != n {
		t.Errorf("userinfo was asked though nothing is missing; error %v", err)
	}
}

func TestNoClaimsMakeItPanic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.SampledFrom([]string{`7`, `"x"`, `null`, `true`, `[]`, `{}`, `["a",{"b":{}},7]`, `{"a":{"b":"c"}}`, `"\u0000"`, `"` + strings.Repeat("y", 300) + `"`})
		parts := []string{}
		for _, name := range []string{"email", "preferred_username", "sub", "name", "given_name", "org", "urn:zitadel:iam:org:id", "roles", "groups", "amr", "email_verified"} {
			parts = append(parts, fmt.Sprintf("%q:%s", name, value.Draw(rt, name)))
		}
		id, err := mapped(t, Provider{}, "{"+strings.Join(parts, ",")+"}")
		if err == nil && (id.UserID == "" || !reflect.DeepEqual(slices.Sorted(slices.Values(id.Roles)), slices.Clone(id.Roles)) && len(id.Roles) > 0) {
			rt.Fatalf("%+v", id)
		}
	})
}

func TestAClaimThatIsNoCleanTextIsAsGoodAsAbsent(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.idp.claims["name"], r.idp.claims["roles"] = "a\r\nb", 7
	r.idp.claims["email"] = strings.Repeat("a", 250) + "@b.com"
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	if id := l.Session.Identity; id.Name != "" || id.Email != "s1" || id.EmailVerified || len(id.Roles) != 0 {
		t.Errorf("%+v", id)
	}
}

func TestUserinfoVerifiesNoOtherAddress(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]bool{"nora@kappa4.com": true, "other@kappa4.com": false} {
		r := newRig(t, nil)
		delete(r.idp.claims, "roles")
		delete(r.idp.claims, "email_verified")
		r.idp.userinfo = map[string]any{"sub": "s1", "email": email, "email_verified": true}
		l, err := r.signIn(t)
		if err != nil {
			t.Fatal(err)
		}
		if id := l.Session.Identity; id.Email != "nora@kappa4.com" || id.EmailVerified != want {
			t.Errorf("userinfo speaks of %s: %s verified %v", email, id.Email, id.EmailVerified)
		}
	}
}
