package bearer_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
)

// FuzzToken holds ByBearer to refusing whatever the provider did not sign.
func FuzzToken(f *testing.F) {
	r := newRig(f, nil)
	good := r.token(f, nil)
	parts := strings.Split(good, ".")
	f.Add(good)
	f.Add(parts[0] + "." + parts[1] + ".")
	f.Add(forge(`{"alg":"none"}`, must(json.Marshal(r.claims(nil))), nil))
	f.Add(forge(`{"alg":"ES256","kid":"k1","typ":"at+jwt"}`, must(json.Marshal(r.claims(nil))), make([]byte, 64)))
	f.Add("opaque")
	f.Fuzz(func(t *testing.T, token string) {
		s, err := r.ask(token)
		switch {
		case err == nil && token != good && s.Key != bearer.Key(good):
			t.Fatalf("%q opened %+v", token, s)
		case err != nil && !errors.Is(err, session.ErrInvalid):
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// FuzzSignedClaims signs whatever claims there are, well: what is accepted must
// be a sound session.
func FuzzSignedClaims(f *testing.F) {
	r := newRig(f, nil)
	f.Add(must(json.Marshal(r.claims(nil))))
	f.Add([]byte(`{"iss":1,"aud":[null],"exp":1e99,"roles":[{}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 40_000 {
			return
		}
		s, err := r.ask(r.key.signBytes(t, nil, payload))
		if err != nil {
			if !errors.Is(err, session.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if !s.LiveAt(base) || s.Identity.Subject == "" || s.Identity.Issuer != r.idp.URL || s.Kind != session.Bearer {
			t.Fatalf("%s opened %+v", payload, s)
		}
		if _, err := session.CheckNames("role", s.Identity.Roles); err != nil {
			t.Fatal(err)
		}
	})
}
