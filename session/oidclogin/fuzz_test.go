package oidclogin

import (
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

// FuzzWhatProvidersSend: whatever arrives, an identity that comes of it is one
// that a session can have.
func FuzzWhatProvidersSend(f *testing.F) {
	for _, s := range []string{
		`{"sub":"s","email":"a@b.c","email_verified":true,"roles":["a"],"groups":{"b":{}}}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`,
		`{"sub":"s","urn:zitadel:iam:org:project:roles":[{"a":{"O":"d"}}],"amr":["pwd"],"auth_time":1e400}`, `[]`, `null`, `{"sub":`,
	} {
		f.Add([]byte(s))
	}
	p := &provider{Provider: Provider{ID: "one", Issuer: "https://idp.example", RoleClaims: []string{"roles", "urn:zitadel:iam:org:project:roles"}, GroupClaims: []string{"groups"}, Domains: []string{"b.c"}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if keys, err := parseKeys(b); err == nil && (len(keys) == 0 || len(keys) > maxKeys) {
			t.Fatalf("%d keys", len(keys))
		}
		_ = plainHeader(string(b))
		claims, err := decodeClaims(b)
		if err != nil {
			return
		}
		_, _ = instant(claims["auth_time"])
		id, err := p.identity(claims)
		if err != nil {
			return
		}
		if id.UserID == "" || id.EmailVerified && strings.Count(id.Email, "@") != 1 {
			t.Fatalf("%+v", id)
		}
		if _, err := session.CheckNames("role", id.Roles); err != nil {
			t.Fatal(err)
		}
	})
}
