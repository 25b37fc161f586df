package ppl_test

import (
	"testing"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/bundles/ppl"
)

// Whatever the file is, the import ends with an error that says why, or with Rego
// that compiles. Values that only our routes file refuses are found when it is
// read, before anything is written.
func FuzzImport(f *testing.F) {
	for _, text := range samples(f) {
		f.Add([]byte(text))
	}
	for _, text := range []string{
		"- {from: https://a.example.com, to: http://a, allowed_users: [\"a\\\"b\\\\\\n#\"]}",
		"- {from: 'https://*.example.com:8443', to: 'http://[::1]:80', allowed_idp_claims: {\"x\\\"y\\u2028\": ['${z}', \"\\u0000\"]}}",
		"- {from: https://in.example.com, to: http://a, allow_any_authenticated_user: true, set_request_headers: {X-A: '$pomerium.email ${pomerium.claims.a\"b}'}}",
		"- {from: https://default.example.com, response: {status: 200, body: \"{{.X}}\"}, policy: {deny: {nor: [{unheard: {of: it}}]}}}",
		"routes: &r [*r]", "a: *b", "? [x]\n: y",
	} {
		f.Add([]byte(text))
	}
	base := options(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ppl.Import(text, base)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		file, err := route.Parse("routes.yaml", r.Files["routes.yaml"])
		if err != nil {
			return
		}
		src, _, _ := set(t, r)
		if _, err := engine.Compile(src, edgeOf(file)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	})
}
