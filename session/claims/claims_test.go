package claims_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/claims"
)

const issuer = "https://id.kappa4.com"

// read decodes claims as sign-in and bearer tokens do.
func read(t testing.TB, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var c map[string]any
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

func options() claims.MapOptions {
	return claims.MapOptions{Provider: "zitadel_onprem", Issuer: issuer, ProjectID: "P1", Domains: []string{"Company.com"}}
}

func TestRoles(t *testing.T) {
	byID, own := `"urn:zitadel:iam:org:project:P1:roles"`, `"urn:zitadel:iam:org:project:roles"`
	foreign := `"urn:zitadel:iam:org:project:P2:roles"`
	for name, c := range map[string]struct {
		claims string
		change func(*claims.MapOptions)
		want   []string
	}{
		"ObjectOfTheProject":               {byID + `:{"ops":{"O1":"a.example"},"admin":{"O2":"b.example"}}`, nil, []string{"admin", "ops"}},
		"ArrayOfObjects":                   {byID + `:[{"ops":{"O1":"a.example"}},{"ro":{"O2":"b.example"}}]`, nil, []string{"ops", "ro"}},
		"ArrayOfTexts":                     {byID + `:["neosc","admin","neosc"]`, nil, []string{"admin", "neosc"}},
		"OwnProjectWhereNoneIsNamed":       {own + `:{"neosc":{"O1":"a.example"}}`, nil, []string{"neosc"}},
		"OwnProjectIsNoneOfOurs":           {own + `:{"admin":{"O1":"a.example"}},` + foreign + `:{"admin":{"O1":"a.example"}}`, nil, nil},
		"OnlyOursOfSeveralProjects":        {own + `:{"admin":{"O":"x"}},` + foreign + `:{"admin":{"O":"x"}},` + byID + `:{"user":{"O":"x"}}`, nil, []string{"user"}},
		"ForeignProjectAlone":              {foreign + `:{"admin":{"O":"x"}}`, nil, nil},
		"OwnProjectWithoutAProjectID":      {own + `:{"neosc":{"O":"x"}},` + foreign + `:{"admin":{"O":"x"}}`, func(o *claims.MapOptions) { o.ProjectID = "" }, []string{"neosc"}},
		"PlainRoles":                       {`"roles":["user"]`, nil, []string{"user"}},
		"PlainRole":                        {`"roles":"user"`, nil, []string{"user"}},
		"RolesOfAllClaimsTogether":         {`"roles":["user"],` + byID + `:{"neosc":{"O":"x"}}`, nil, []string{"neosc", "user"}},
		"OtherClaims":                      {`"roles":["admin"],"realm_roles":["user"]`, func(o *claims.MapOptions) { o.RoleClaims = []string{"realm_roles"} }, []string{"user"}},
		"UnlistedClaims":                   {`"realm_roles":["user"]`, nil, nil},
		"MembersThatAreNoObjectsGrantNone": {byID + `:{"admin":false,"owner":null,"ops":"yes","ro":{"O":"x"}}`, nil, []string{"ro"}},
		"OtherTypesGrantNone":              {byID + `:7,"roles":[1,true,null,["admin"]]`, nil, nil},
		"GroupsAreNoRoles":                 {`"groups":["owner","admin"]`, nil, nil},
		"NamesMatchByCase":                 {`"Roles":["admin"]`, nil, nil},
		"DefaultWithoutAnyRole":            {`"groups":["x"]`, func(o *claims.MapOptions) { o.DefaultRole = "user" }, []string{"user"}},
		"NoDefaultBesideARole":             {`"roles":["neosc"]`, func(o *claims.MapOptions) { o.DefaultRole = "user" }, []string{"neosc"}},
		"DefaultBesideUnknownRoles":        {`"roles":["viewer"]`, func(o *claims.MapOptions) { o.DefaultRole = "user" }, []string{"user", "viewer"}},
		"NoDefaultBesideAKnownRole":        {`"roles":["viewer"]`, func(o *claims.MapOptions) { o.DefaultRole, o.KnownRoles = "user", []string{"viewer"} }, []string{"viewer"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			if c.change != nil {
				c.change(&o)
			}
			id, err := claims.Map(read(t, `{"sub":"7",`+c.claims+`}`), o)
			if err != nil {
				t.Fatal(err)
			}
			if len(id.Roles)+len(c.want) > 0 && !reflect.DeepEqual(id.Roles, c.want) {
				t.Errorf("roles %q, want %q", id.Roles, c.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	many := make([]string, session.MaxNames+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"role%d"`, i)
	}
	for name, text := range map[string]string{
		"NoSubject":            `{"email":"a@company.com"}`,
		"EmptySubject":         `{"sub":""}`,
		"NumericSubject":       `{"sub":7}`,
		"LongSubject":          `{"sub":"` + strings.Repeat("7", 256) + `"}`,
		"LineBreakInSubject":   `{"sub":"7\n8"}`,
		"BrokenSubject":        `{"sub":"7\ud800"}`,
		"CommaInARole":         `{"sub":"7","roles":["user,admin"]}`,
		"LineBreakInARole":     `{"sub":"7","roles":["user\r\nx-pomerium-groups: admin"]}`,
		"CommaInARoleOfObject": `{"sub":"7","urn:zitadel:iam:org:project:P1:roles":{"user,admin":{}}}`,
		"EmptyRole":            `{"sub":"7","roles":[""]}`,
		"CommaInAGroup":        `{"sub":"7","groups":["a,b"]}`,
		"TooManyRoles":         `{"sub":"7","roles":[` + strings.Join(many, ",") + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if id, err := claims.Map(read(t, text), options()); err == nil {
				t.Errorf("accepted as %+v", id)
			}
		})
	}
}

func TestEmail(t *testing.T) {
	for name, c := range map[string]struct {
		claims, email string
		verified      bool
	}{
		"Verified":                      {`"email":"Ana@Elsewhere.net","email_verified":true`, "ana@elsewhere.net", true},
		"VerifiedAsText":                {`"email":"ana@elsewhere.net","email_verified":"true"`, "ana@elsewhere.net", true},
		"NotSaidToBeVerified":           {`"email":"ana@elsewhere.net"`, "ana@elsewhere.net", false},
		"SaidNotToBeVerified":           {`"email":"ana@elsewhere.net","email_verified":false`, "ana@elsewhere.net", false},
		"VerifiedByNumber":              {`"email":"ana@elsewhere.net","email_verified":1`, "ana@elsewhere.net", false},
		"TrustedDomain":                 {`"email":"ana@COMPANY.com"`, "ana@company.com", true},
		"Subdomain":                     {`"email":"ana@x.company.com"`, "ana@x.company.com", false},
		"Suffix":                        {`"email":"ana@evilcompany.com"`, "ana@evilcompany.com", false},
		"TwoDomains":                    {`"email":"a@evil.com@company.com","email_verified":true`, "7", false},
		"QuotedAt":                      {`"email":"\"a@evil.com\"@company.com"`, "7", false},
		"List":                          {`"email":"a@evil.com,b@company.com"`, "7", false},
		"Comment":                       {`"email":"a(b)@company.com"`, "7", false},
		"LineBreak":                     {`"email":"a@company.com\r\nx: y","email_verified":true`, "7", false},
		"DisplayName":                   {`"email":"Boss <a@company.com>"`, "7", false},
		"TrailingDot":                   {`"email":"a@company.com."`, "7", false},
		"KelvinSign":                    {`"email":"a@\u212Aappa4.com","email_verified":true`, "7", false},
		"LongLocalPart":                 {`"email":"` + strings.Repeat("a", 65) + `@company.com"`, "7", false},
		"PreferredUsername":             {`"preferred_username":"ana@elsewhere.net","email_verified":true`, "ana@elsewhere.net", false},
		"PreferredUsernameInOurDomain":  {`"preferred_username":"ana@company.com"`, "ana@company.com", true},
		"PreferredUsernameIsNoAddress":  {`"preferred_username":"ana","email_verified":true`, "ana", false},
		"PreferredUsernameOfTwoDomains": {`"preferred_username":"a@evil.com@company.com"`, "7", false},
		"Subject":                       {`"email_verified":true`, "7", false},
		"OtherType":                     {`"email":["a@company.com"],"email_verified":true`, "7", false},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := claims.Map(read(t, `{"sub":"7",`+c.claims+`}`), options())
			if err != nil || id.Email != c.email || id.EmailVerified != c.verified {
				t.Errorf("email %q, verified %v, %v; want %q, %v", id.Email, id.EmailVerified, err, c.email, c.verified)
			}
		})
	}
}

func TestTheRestOfAnIdentity(t *testing.T) {
	id, err := claims.Map(read(t, `{"sub":"7","given_name":"Ana","preferred_username":"ana","name":"Ana\r\nLuz",
		"urn:zitadel:iam:user:resourceowner:id":"O1","groups":["b","a"],"amr":["pwd","mfa",7],"auth_time":1772705730,"n":12345678901234567890}`), options())
	if err != nil {
		t.Fatal(err)
	}
	want := session.Identity{
		Provider: "zitadel_onprem", Issuer: issuer, Subject: "7", UserID: claims.UserID(issuer, "7"), Email: "ana", Name: "Ana",
		Organization: "O1", Roles: id.Roles, Groups: []string{"a", "b"}, AMR: []string{"pwd", "mfa"}, Claims: id.Claims,
		AuthenticatedAt: time.Unix(1772705730, 0).UTC(),
	}
	if !reflect.DeepEqual(id, want) {
		t.Errorf("got  %+v\nwant %+v", id, want)
	}
	if id.Claims["n"] != json.Number("12345678901234567890") {
		t.Errorf("claim n is %v, want all its digits", id.Claims["n"])
	}
}

func TestOrganizations(t *testing.T) {
	o := options()
	o.Organizations = []string{"O1"}
	for text, ok := range map[string]bool{
		`{"sub":"7","urn:zitadel:iam:user:resourceowner:id":"O1"}`: true,
		`{"sub":"7","urn:zitadel:iam:user:resourceowner:id":"O2"}`: false,
		`{"sub":"7"}`: false,
	} {
		if _, err := claims.Map(read(t, text), o); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUserIDsAreStableAndApart(t *testing.T) {
	if got, want := claims.UserID(issuer, "7"), "idp-2662a40f76297ba7eca9ddb4f899af05"; got != want {
		t.Errorf("user id %s, want %s: everybody would lose what is theirs", got, want)
	}
	seen := map[string]string{}
	for _, p := range [][2]string{{issuer, "7"}, {issuer + "/", "7"}, {issuer, "8"}, {issuer + "7", ""}, {"", issuer + "7"}, {"ab", "c"}, {"a", "bc"}} {
		for _, id := range []string{claims.UserID(p[0], p[1]), claims.OrganizationID(p[0], p[1])} {
			if other, ok := seen[id]; ok {
				t.Errorf("%q has the id of %s", p, other)
			}
			seen[id] = p[0] + " " + p[1]
		}
	}
}

func TestNumericDates(t *testing.T) {
	for name, c := range map[string]struct {
		v    any
		want int64
		ok   bool
	}{
		"Integer":     {json.Number("1772705730"), 1772705730000, true},
		"Fraction":    {json.Number("1772705730.5"), 1772705730500, true},
		"Exponent":    {json.Number("1.7e9"), 1700000000000, true},
		"Float":       {float64(1700000000), 1700000000000, true},
		"Negative":    {json.Number("-1"), 0, false},
		"Huge":        {json.Number("1e300"), 0, false},
		"BeyondFloat": {json.Number("1e999"), 0, false},
		"Year10000":   {json.Number("253402300800"), 0, false},
		"Text":        {"1772705730", 0, false},
		"Null":        {nil, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := claims.NumericDate(c.v)
			if ok != c.ok || ok && got.UnixMilli() != c.want {
				t.Errorf("%v, %v; want %d ms, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

// FuzzMap holds Map to what its callers rely on, whatever a provider says.
func FuzzMap(f *testing.F) {
	f.Add(`{"sub":"7","email":"a@company.com","roles":["user"],"urn:zitadel:iam:org:project:P1:roles":[{"x":{}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var c map[string]any
		if d.Decode(&c) != nil {
			return
		}
		id, err := claims.Map(c, options())
		if err != nil {
			return
		}
		if id.Subject == "" || id.UserID != claims.UserID(issuer, id.Subject) {
			t.Errorf("subject %q, user id %q", id.Subject, id.UserID)
		}
		for _, s := range append([]string{id.Email, id.Name, id.Organization, id.Subject}, id.AMR...) {
			if strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("control character in %q", s)
			}
		}
		if strings.Count(id.Email, "@") > 1 || id.EmailVerified && !strings.Contains(id.Email, "@") {
			t.Errorf("email %q, verified %v", id.Email, id.EmailVerified)
		}
		if _, err := session.CheckNames("role", id.Roles); err != nil {
			t.Error(err)
		}
	})
}
