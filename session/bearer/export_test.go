package bearer

import "testing"

// SignatureCheck returns what checks the signature of a token and nothing else.
func SignatureCheck(t testing.TB, jwk []byte, token string) func() {
	k := parseKey(jwk)
	j, err := parseJWT(token, new(headers))
	if err != nil || k == nil {
		t.Fatal(err)
	}
	return func() {
		if !k.verify(j.alg, j.signed, j.signature) {
			t.Fatal("the signature does not hold")
		}
	}
}
