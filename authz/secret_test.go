package authz_test

import (
	"strings"
	"testing"

	"github.com/neosc/gate/authz"
)

func TestSecretsAreKnownByTheirNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Cookie", "set-cookie", "authorization", "Proxy-Authorization", "x-api-key", "x-csrf", "id_token", "client_secret", "upstream_jwt", "X-Pomerium-Jwt-Assertion",
		"X-Amz-Signature", "password_confirmation",
	} {
		if !authz.SecretName(name) || !authz.SecretHeader(name) || !authz.SecretParameter(name) {
			t.Errorf("%s is taken for no secret", name)
		}
	}
	for _, name := range []string{"code", "STATE", "SAMLResponse", "jsessionid", "ticket", "session_id", "pwd", "key"} {
		if !authz.SecretParameter(name) {
			t.Errorf("the parameter %s is taken for no secret", name)
		}
	}
	for _, name := range []string{"accept", "x-session-id", "x-forwarded-for", "neosc:demo_session_id", "email", "roles", "sub", "page", "footprint", "monkey", "x-workspace-type"} {
		if authz.SecretName(name) || authz.SecretHeader(name) {
			t.Errorf("%s is taken for a secret", name)
		}
	}
}

func TestTokensAreMaskedUnderAnyName(t *testing.T) {
	t.Parallel()
	token := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl-_c2lnbmF0dXJl"
	encrypted := "eyJhbGciOiJkaXIifQ..aXYtaXYtaXYtaXY.Y2lwaGVydGV4dA.dGFn"
	for in, want := range map[string]string{
		"": "", "eyJ": "eyJ", "ana@kappa4.com": "ana@kappa4.com",
		token:                          authz.Masked,
		encrypted:                      authz.Masked,
		"/reset/" + token + "/now":     "/reset/" + authz.Masked + "/now",
		"a=" + token + "; b=" + token:  "a=" + authz.Masked + "; b=" + authz.Masked,
		"eyJ.a.b":                      "eyJ.a.b",
		"eyJ " + token:                 "eyJ " + authz.Masked,
		strings.Repeat("eyJhbGci", 20): strings.Repeat("eyJhbGci", 20),
	} {
		if got, found := authz.MaskTokens(in); got != want || found != (in != want) {
			t.Errorf("%q becomes %q, %v", in, got, found)
		}
	}
}

func FuzzMaskTokens(f *testing.F) {
	f.Add("x eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl-_ y")
	f.Fuzz(func(t *testing.T, s string) {
		once, found := authz.MaskTokens(s)
		if again, more := authz.MaskTokens(once); again != once || more || !found && once != s {
			t.Fatalf("%q becomes %q, then %q", s, once, again)
		}
	})
}
