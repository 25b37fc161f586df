package assertion_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/session"
)

const issuer = "https://gate.example.com"

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func newKeys(t fataler, from ...time.Time) assertion.Keys {
	t.Helper()
	var ks assertion.Keys
	for _, f := range from {
		var err error
		if ks, err = ks.With(f, f); err != nil {
			t.Fatal(err)
		}
	}
	return ks
}

func newSigner(t fataler, ks assertion.Keys) *assertion.Signer {
	t.Helper()
	s, err := assertion.New(assertion.Options{Keys: ks, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSession(change ...func(*session.Session)) *session.Session {
	x := &session.Session{
		Key: session.ID{1}.Key(), Version: 1, ExpiresAt: noon.Add(8 * time.Hour), IdleExpiresAt: noon.Add(time.Hour),
		Identity: session.Identity{UserID: "u-1", Email: "ana@example.com", EmailVerified: true, Name: "Ana", Organization: "Acme",
			Roles: []string{"neosc", "user"}, Groups: []string{"staff"}},
	}
	for _, f := range change {
		f(x)
	}
	return x
}

func sign(t fataler, s *assertion.Signer, x *session.Session, host string, now time.Time) string {
	t.Helper()
	token, err := s.Assertion(x, host, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// part decodes one of a token's parts, unchecked.
func part(t fataler, token string, i int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("the token has not three parts")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func kid(t fataler, token string) string {
	t.Helper()
	id, _ := part(t, token, 0)["kid"].(string)
	return id
}

func publishedIDs(t testing.TB, s *assertion.Signer) []string {
	t.Helper()
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(s.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range set.Keys {
		if k["d"] != "" || k["kty"] != "EC" || k["crv"] != "P-256" || k["alg"] != "ES256" || k["use"] != "sig" {
			t.Errorf("key %s is not published as a public ES256 key alone", k["kid"])
		}
		out = append(out, k["kid"])
	}
	return out
}
