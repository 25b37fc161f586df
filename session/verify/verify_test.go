package verify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/session/verify"
)

func signature(t testing.TB, key *ecdsa.PrivateKey, input string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	n := (key.Params().BitSize + 7) / 8
	return append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...)
}

func TestAGoodAssertionTellsWhoAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, err := w.verifier().Verify(t.Context(), token(t, w.key, nil, claims()))
	want := &verify.Identity{User: "u-1", Email: "ana@example.com", Name: "Ana", Organization: "Acme", Groups: []string{"user", "staff"},
		Session: "abc", ExpiresAt: noon.Add(5 * time.Minute)}
	if err != nil {
		t.Fatal(err)
	}
	if id.ExpiresAt = id.ExpiresAt.UTC(); !reflect.DeepEqual(id, want) {
		t.Errorf("got %+v, want %+v", id, want)
	}
}

func TestClaimsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(map[string]any)
		good   bool
	}{
		"ForeignAudience":       {with("aud", "admin.example.com"), false},
		"NoAudience":            {with("aud", nil), false},
		"EmptyAudience":         {with("aud", ""), false},
		"AudienceAsAListOfOne":  {with("aud", []string{audience}), true},
		"TwoAudiences":          {with("aud", []string{audience, "admin.example.com"}), false},
		"SameAudienceTwice":     {with("aud", []string{audience, audience}), false},
		"AudienceWithAPort":     {with("aud", audience+":443"), false},
		"ForeignIssuer":         {with("iss", "https://evil.example.com"), false},
		"NoIssuer":              {with("iss", nil), false},
		"IssuerWithASlash":      {with("iss", issuer+"/"), false},
		"NoSubject":             {with("sub", nil), false},
		"EmptySubject":          {with("sub", ""), false},
		"NoExpiry":              {with("exp", nil), false},
		"Expired":               {with("exp", noon.Add(-31*time.Second).Unix()), false},
		"ExpiredWithinLeeway":   {with("exp", noon.Add(-29*time.Second).Unix()), true},
		"NoIssuedAt":            {with("iat", nil), false},
		"IssuedInTheFuture":     {with("iat", noon.Add(31*time.Second).Unix()), false},
		"IssuedWithinLeeway":    {with("iat", noon.Add(29*time.Second).Unix()), true},
		"NotBeforeInTheFuture":  {with("nbf", noon.Add(31*time.Second).Unix()), false},
		"ExpiryAsText":          {with("exp", "2099-01-01"), false},
		"GroupsAsText":          {with("groups", "admin"), false},
		"NoEmail":               {with("email", nil), true},
		"ClaimThatNobodyKnows":  {with("colour", "red"), true},
		"SubjectInAnotherCase":  {func(c map[string]any) { delete(c, "sub"); c["Sub"] = "u-1" }, false},
		"ExpiryBeyondEveryYear": {with("exp", 1e300), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id, err := w.verifier().Verify(t.Context(), token(t, w.key, nil, claims(c.change)))
			if c.good != (err == nil) || err != nil && !errors.Is(err, verify.ErrInvalid) || err != nil && id != nil {
				t.Errorf("identity %+v, error %v", id, err)
			}
		})
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.verifier()
	good := token(t, w.key, nil, claims())
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(w.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public, err := w.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	mac := func(secret []byte) string {
		input := encode(t, map[string]any{"alg": "HS256", "kid": "k1", "typ": "JWT"}) + "." + parts[1]
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	evil := newKey(t, elliptic.P256())
	own, err := json.Marshal(jose.JSONWebKey{Key: evil.Public(), KeyID: "k1", Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	none := encode(t, map[string]any{"alg": "none", "kid": "k1"}) + "." + parts[1] + "."
	n := elliptic.P256().Params().N
	sig, _ := base64.RawURLEncoding.DecodeString(parts[2])
	zero := make([]byte, 64)
	for name, tok := range map[string]string{
		"Empty":             "",
		"Dots":              "..",
		"AlgNone":           none,
		"AlgNoneSigned":     none + parts[2],
		"AlgNoneInCapitals": encode(t, map[string]any{"alg": "NONE", "kid": "k1"}) + "." + parts[1] + ".",
		"HMACUnderTheKey":   mac(public),
		"HMACUnderTheDER":   mac(der),
		"HMACUnderNothing":  mac(nil),
		"AlgES384":          token(t, newKey(t, elliptic.P384()), map[string]any{"alg": "ES384"}, claims()),
		"AnothersKey":       token(t, evil, nil, claims()),
		"KeyInTheHeader":    token(t, evil, map[string]any{"jwk": json.RawMessage(own)}, claims()),
		"KeyElsewhereJKU":   token(t, evil, map[string]any{"jku": "https://evil.example.com/jwks.json"}, claims()),
		"KeyElsewhereX5U":   token(t, evil, map[string]any{"x5u": "https://evil.example.com/cert.pem"}, claims()),
		"CritHeader":        token(t, w.key, map[string]any{"crit": []string{"exp"}, "exp": 1}, claims()),
		"NoSignature":       parts[0] + "." + parts[1] + ".",
		"SignatureOfZeros":  parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(zero),
		"SignatureOfNs":     parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(append(n.FillBytes(make([]byte, 32)), n.FillBytes(make([]byte, 32))...)),
		"SignatureInDER":    parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(append([]byte{0x30, 0x44, 2, 32}, sig...)),
		"SignatureCut":      good[:len(good)-4],
		"SignatureLonger":   good + "AAAA",
		"OtherClaims":       parts[0] + "." + encode(t, claims(with("sub", "u-2"))) + "." + parts[2],
		"FourParts":         good + "." + parts[2],
		"TwoTokens":         good + "," + good,
		"WithSpaces":        " " + good,
		"Padded":            good + "=",
		"JSONForm":          fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2]),
		"TooLong":           good + strings.Repeat("A", 16<<10),
		"NoKeyID":           token(t, w.key, map[string]any{"kid": nil}, claims()),
		"EmptyKeyID":        token(t, w.key, map[string]any{"kid": ""}, claims()),
		"LongKeyID":         token(t, w.key, map[string]any{"kid": strings.Repeat("k", 65)}, claims()),
		"KeyIDIsAPath":      token(t, w.key, map[string]any{"kid": "../../../dev/null"}, claims()),
		"KeyIDIsANumber":    token(t, w.key, map[string]any{"kid": 1}, claims()),
		"NoClaims":          token(t, w.key, nil, nil),
		"ClaimsAreAList":    token(t, w.key, nil, []int{1}),
	} {
		if id, err := v.Verify(t.Context(), tok); !errors.Is(err, verify.ErrInvalid) || id != nil {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("the good one after all those: %v", err)
	}
	// ECDSA has a twin of each signature; it covers the same words, and is let be.
	s := new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:]))
	twin := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(append(bytes.Clone(sig[:32]), s.FillBytes(make([]byte, 32))...))
	if id, err := v.Verify(t.Context(), twin); err == nil && id.User != "u-1" {
		t.Errorf("the twin says %+v", id)
	}
	if n := w.fetch.Load(); n > 2 { // the first, and one for all the ids that are not there
		t.Errorf("the key set was fetched %d times", n)
	}
}

func TestATokenOfOneHostIsNoneAtAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.verifier(func(o *verify.Options) { o.Audience = "admin.example.com" })
	if _, err := other.Verify(t.Context(), token(t, w.key, nil, claims())); !errors.Is(err, verify.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}

func TestRequestsCarryExactlyOneAssertion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := token(t, w.key, nil, claims())
	for name, c := range map[string]struct {
		header string
		h      http.Header
		down   bool
		want   int
	}{
		"Good":          {"", http.Header{verify.Header: {good}}, false, 200},
		"None":          {"", http.Header{"X-Pomerium-Email": {"ceo@example.com"}}, false, 401},
		"Two":           {"", http.Header{verify.Header: {good, good}}, false, 401},
		"TwoInOne":      {"", http.Header{verify.Header: {good + ", " + good}}, false, 401},
		"Bad":           {"", http.Header{verify.Header: {"x"}}, false, 401},
		"OtherHeader":   {"X-Acme-Jwt-Assertion", http.Header{"X-Acme-Jwt-Assertion": {good}}, false, 200},
		"NotOfThatName": {"X-Acme-Jwt-Assertion", http.Header{verify.Header: {good}}, false, 401},
		"NoKeySet":      {"", http.Header{verify.Header: {good}}, true, 503},
		"BadWithoutSet": {"", http.Header{verify.Header: {"x"}}, true, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := w.verifier(func(o *verify.Options) {
				if o.Header = c.header; c.down {
					o.JWKSURL = "http://127.0.0.1:1/"
				}
			})
			h := v.Middleware(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if id, ok := verify.From(r.Context()); !ok || id.User != "u-1" {
					t.Errorf("the handler was told %+v", id)
				}
			}))
			r := httptest.NewRequest("GET", "/", nil)
			r.Header = c.h
			rw := httptest.NewRecorder()
			h.ServeHTTP(rw, r)
			if rw.Code != c.want {
				t.Errorf("%d, want %d: %s", rw.Code, c.want, rw.Body)
			}
			if body := rw.Body.String(); strings.Contains(body, "127.0.0.1") || strings.Contains(body, "key id") {
				t.Errorf("the client is told why: %s", body)
			}
		})
	}
	if _, ok := verify.From(t.Context()); ok {
		t.Error("an identity without the middleware")
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    verify.Options
		good bool
	}{
		"Nothing":       {verify.Options{}, false},
		"NoAudience":    {verify.Options{Issuer: issuer, JWKSURL: issuer}, false},
		"HTTPS":         {verify.Options{Issuer: issuer, Audience: audience, JWKSURL: issuer + "/jwks.json"}, true},
		"PlainHTTP":     {verify.Options{Issuer: issuer, Audience: audience, JWKSURL: "http://gate.example.com/jwks.json"}, false},
		"PlainNotLocal": {verify.Options{Issuer: issuer, Audience: audience, JWKSURL: "http://localhost.example.com/"}, false},
		"Localhost":     {verify.Options{Issuer: issuer, Audience: audience, JWKSURL: "http://gate.neosc.localhost:8080/"}, true},
		"Loopback":      {verify.Options{Issuer: issuer, Audience: audience, JWKSURL: "http://[::1]:8080/"}, true},
		"File":          {verify.Options{Issuer: issuer, Audience: audience, JWKSURL: "file:///etc/passwd"}, false},
		"NoHost":        {verify.Options{Issuer: issuer, Audience: audience, JWKSURL: "https:///x"}, false},
	} {
		if _, err := verify.New(c.o); c.good != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVerify: whatever comes, the answer is an identity that was signed or
// ErrInvalid, and never anything else.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	good := token(f, w.key, nil, claims())
	parts := strings.Split(good, ".")
	for _, seed := range []string{
		good, "", "..", parts[0] + "..", good + ".", strings.ToUpper(good), parts[0] + "." + parts[1] + ".", "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		token(f, w.key, map[string]any{"kid": "k2"}, claims()), token(f, w.key, map[string]any{"alg": "HS256"}, claims()),
		token(f, w.key, map[string]any{"crit": []string{"b64"}, "b64": false}, claims()), token(f, w.key, nil, map[string]any{"exp": -1}),
	} {
		f.Add(seed)
	}
	v := w.verifier()
	f.Fuzz(func(t *testing.T, s string) {
		id, err := v.Verify(t.Context(), s)
		switch {
		case err != nil && (!errors.Is(err, verify.ErrInvalid) || id != nil):
			t.Errorf("%+v, %v", id, err)
		case err == nil && id.User != "u-1":
			t.Errorf("nobody signed %+v", id)
		}
	})
}
