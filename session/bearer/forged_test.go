package bearer_test

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// forge puts a token together from what a client likes.
func forge(header string, payload, signature []byte) string {
	return b64([]byte(header)) + "." + b64(payload) + "." + b64(signature)
}

func TestAlgorithmNoneInAnyCase(t *testing.T) {
	r := newRig(t, nil)
	payload := must(json.Marshal(r.claims(nil)))
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", " none", "none "} {
		for _, sig := range [][]byte{nil, {0}, make([]byte, 64)} {
			header := fmt.Sprintf(`{"alg":%q,"kid":"k1","typ":"at+jwt"}`, alg)
			if s, err := r.ask(forge(header, payload, sig)); err == nil {
				t.Errorf("alg %q with %d bytes of signature: accepted as %s", alg, len(sig), s.Identity.Subject)
			}
		}
	}
	for _, header := range []string{`{"kid":"k1","typ":"at+jwt"}`, `{"ALG":"ES256","kid":"k1","typ":"at+jwt"}`, `{"alg":null,"kid":"k1"}`, `{"alg":["ES256"],"kid":"k1"}`} {
		if _, err := r.ask(forge(header, payload, make([]byte, 64))); err == nil {
			t.Errorf("header %s: accepted", header)
		}
	}
}

// TestAPublishedKeyIsNoSharedSecret signs with HMAC under every spelling of the
// public key.
func TestAPublishedKeyIsNoSharedSecret(t *testing.T) {
	r := newRig(t, nil)
	rs := &key{"rsa", "RS256", rsaKey()}
	r.idp.publish(r.key, rs)
	for _, k := range []*key{r.key, rs} {
		der := must(x509.MarshalPKIXPublicKey(k.private.Public()))
		pem := "-----BEGIN PUBLIC KEY-----\n" + base64.StdEncoding.EncodeToString(der) + "\n-----END PUBLIC KEY-----\n"
		for _, secret := range [][]byte{der, []byte(pem), k.jwk(), nil} {
			head := b64([]byte(`{"alg":"HS256","kid":"`+k.id+`","typ":"at+jwt"}`)) + "." + b64(must(json.Marshal(r.claims(nil))))
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(head))
			r.refuse(t, head+"."+b64(mac.Sum(nil)), "algorithm")
		}
	}
	if _, err := bearer.New(bearer.Options{Providers: []bearer.Provider{{ID: "p", Issuer: "https://id.example", Audiences: []string{"a"}, Algorithms: []string{"HS256"}}}}); err == nil {
		t.Error("a provider with HS256 was accepted")
	}
}

// TestAKeyServesItsOwnAlgorithmOnly asks for one algorithm with another's key.
func TestAKeyServesItsOwnAlgorithmOnly(t *testing.T) {
	r := newRig(t, nil)
	open, ed := &key{"open", "", rsaKey()}, newEdKey("ed")
	fixed := &key{"fixed", "RS256", rsaKey()}
	r.idp.publish(r.key, open, fixed, ed)
	sign := func(id, alg string) string {
		return (&key{id, alg, rsaKey()}).sign(t, nil, r.claims(nil))
	}
	r.accept(t, sign("open", "RS256"))
	r.accept(t, sign("open", "PS256"))
	r.accept(t, sign("fixed", "RS256"))
	r.accept(t, ed.sign(t, nil, r.claims(nil)))
	r.refuse(t, sign("fixed", "PS256"), "key")
	r.refuse(t, sign("open", "RS512"), "algorithm")
	r.refuse(t, sign("k1", "RS256"), "key")
	r.refuse(t, ed.sign(t, map[string]any{"kid": "k1"}, r.claims(nil)), "key")
}

func TestTextThatIsNoToken(t *testing.T) {
	r := newRig(t, nil)
	good := r.token(t, nil)
	head, _, _ := strings.Cut(good, ".")
	_, sig := good[:strings.LastIndex(good, ".")], good[strings.LastIndex(good, ".")+1:]
	deep := forge(`{"alg":"ES256","kid":"k1","typ":"at+jwt"}`, []byte(`{"iss":`+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+`}`), []byte("x"))
	for name, c := range map[string]struct{ token, reason string }{
		"Empty":               {"", "size"},
		"OneByteTooLong":      {strings.Repeat("a", bearer.MaxToken+1), "size"},
		"LongJWT":             {good[:len(good)-10] + strings.Repeat("A", bearer.MaxToken), "size"},
		"Dots":                {"..", "form"},
		"EmptyPayload":        {head + ".." + sig, "form"},
		"EmptySignature":      {good[:strings.LastIndex(good, ".")+1], "form"},
		"Encrypted":           {"eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA", "form"},
		"Padded":              {good + "=", "form"},
		"LineBreakInside":     {good[:len(good)-4] + "\n" + good[len(good)-4:], "form"},
		"SpaceBefore":         {" " + good, "form"},
		"OtherAlphabet":       {strings.NewReplacer("-", "+", "_", "/").Replace(head) + ".+/+/." + sig, "form"},
		"HeaderIsNoObject":    {forge(`["ES256"]`, []byte(`{}`), []byte("x")), "form"},
		"PayloadIsNoObject":   {forge(`{"alg":"ES256"}`, []byte(`[]`), []byte("x")), "form"},
		"PayloadIsNull":       {forge(`{"alg":"ES256"}`, []byte(`null`), []byte("x")), "form"},
		"TwoPayloads":         {forge(`{"alg":"ES256"}`, []byte(`{} {}`), []byte("x")), "form"},
		"NoUTF8":              {forge(`{"alg":"ES256"}`, []byte("{\"sub\":\"\xff\"}"), []byte("x")), "form"},
		"IssuerTwice":         {forge(`{"alg":"ES256"}`, []byte(`{"iss":"a","iss":"b"}`), []byte("x")), "form"},
		"IssuerTwiceByEscape": {forge(`{"alg":"ES256"}`, []byte(`{"iss":"a","is\u0073":"b"}`), []byte("x")), "form"},
		"AlgorithmTwice":      {forge(`{"alg":"ES256","alg":"none"}`, []byte(`{}`), []byte("x")), "form"},
		"NestedTwice":         {forge(`{"alg":"ES256"}`, []byte(`{"a":[{"b":1,"b":2}]}`), []byte("x")), "form"},
		"Deep":                {deep, "form"},
		"OpaqueAndNobodyAsks": {"abcdef", "unasked"},
	} {
		t.Run(name, func(t *testing.T) { r.refuse(t, c.token, c.reason) })
	}
}

// TestEveryBitOfATokenCounts flips each character of a token in turn.
func TestEveryBitOfATokenCounts(t *testing.T) {
	r := newRig(t, nil)
	good := r.token(t, nil)
	for i := range good {
		c := byte('A')
		if good[i] == c {
			c = 'B'
		}
		if _, err := r.ask(good[:i] + string(c) + good[i+1:]); err == nil {
			t.Fatalf("character %d of %d may be another", i, len(good))
		}
	}
	r.accept(t, good)
}

// TestASecondSignatureIsTheSameToken makes the other ECDSA signature (r, n-s),
// which anybody can, so as to come back with a token that was denied.
func TestASecondSignatureIsTheSameToken(t *testing.T) {
	r := newRig(t, nil)
	good := r.token(t, nil)
	dot := strings.LastIndex(good, ".")
	sig := must(base64.RawURLEncoding.DecodeString(good[dot+1:]))
	n := r.key.private.(*ecdsa.PrivateKey).Params().N
	other := new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:]))
	other.FillBytes(sig[32:])
	twin := good[:dot+1] + b64(sig)
	if a, b := r.accept(t, good), r.accept(t, twin); twin == good || a.Key != b.Key {
		t.Fatalf("keys %s and %s, want the same", a.Key, b.Key)
	}
	if err := r.Deny(bearer.Key(good), base.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.refuse(t, good, "denied")
	r.refuse(t, twin, "denied")
}

// TestOurOwnAssertionIsNoAccessToken takes one as upstreams get it.
func TestOurOwnAssertionIsNoAccessToken(t *testing.T) {
	gate := "https://gate.kappa4.com"
	ks, err := assertion.ReadOrCreate(t.TempDir()+"/keys.yaml", base)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := assertion.New(assertion.Options{Keys: ks, Issuer: gate})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *bearer.Options) {
		o.Providers[0].Types = []string{"JWT", "at+jwt"}
		o.Providers[0].Audiences = append(o.Providers[0].Audiences, "portal.kappa4.com")
	})
	s := r.accept(t, r.token(t, nil))
	token, err := signer.Assertion(s, "portal.kappa4.com", base)
	if err != nil {
		t.Fatal(err)
	}
	r.refuse(t, token, "issuer")
	own := bearer.Provider{ID: "self", Issuer: gate, Audiences: []string{"portal.kappa4.com"}}
	if _, err := bearer.New(bearer.Options{Providers: []bearer.Provider{own}, Own: []string{gate}}); err == nil {
		t.Error("the gate was accepted as a provider")
	}
}

// TestPlainTypeAsksForATokenID is for providers that give every token the type
// JWT, or none.
func TestPlainTypeAsksForATokenID(t *testing.T) {
	r := newRig(t, func(o *bearer.Options) { o.Providers[0].Types = []string{"application/AT+JWT", "jwt"} })
	for _, typ := range []any{"JWT", "jwt", "application/jwt"} {
		r.accept(t, r.key.sign(t, map[string]any{"typ": typ}, r.claims(nil)))
		r.refuse(t, r.key.sign(t, map[string]any{"typ": typ}, r.claims(map[string]any{"jti": nil})), "type")
		r.refuse(t, r.key.sign(t, map[string]any{"typ": typ}, r.claims(map[string]any{"nonce": "n"})), "type")
	}
	r.accept(t, r.token(t, map[string]any{"jti": nil}))
	payload := must(json.Marshal(r.claims(map[string]any{"jti": nil})))
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: r.key.private}, (&jose.SignerOptions{}).WithHeader("kid", "k1")))
	r.refuse(t, must(must(signer.Sign(payload)).CompactSerialize()), "type")
}

func TestClients(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		ok     bool
	}{
		"Listed":         {nil, true},
		"ListedByAZP":    {map[string]any{"client_id": nil, "azp": "client"}, true},
		"ListedByBoth":   {map[string]any{"azp": "client"}, true},
		"Other":          {map[string]any{"client_id": "other"}, false},
		"OtherByAZP":     {map[string]any{"client_id": nil, "azp": "other"}, false},
		"NotOfOneMind":   {map[string]any{"azp": "other"}, false},
		"NotOfOneMind2":  {map[string]any{"client_id": "other", "azp": "client"}, false},
		"None":           {map[string]any{"client_id": nil}, false},
		"NotAText":       {map[string]any{"client_id": []string{"client"}}, false},
		"AZPIsNotAText":  {map[string]any{"azp": 7}, false},
		"EmptyAndListed": {map[string]any{"client_id": "", "azp": "client"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *bearer.Options) { o.Providers[0].Clients = []string{"client"} })
			if token := r.token(t, c.change); c.ok {
				r.accept(t, token)
			} else {
				r.refuse(t, token, "client")
			}
		})
	}
}

// TestOneSubjectAtTwoProvidersIsTwoPeople, even with the same keys, and no
// provider can speak for another.
func TestOneSubjectAtTwoProvidersIsTwoPeople(t *testing.T) {
	other := newIDP(t, newECKey("k9"))
	r := newRig(t, func(o *bearer.Options) {
		o.Providers = append(o.Providers, bearer.Provider{ID: "zitadel_cloud", Issuer: other.URL, Audiences: []string{audience}})
	})
	other.publish(r.key)
	a, b := r.accept(t, r.token(t, nil)), r.accept(t, r.token(t, map[string]any{"iss": other.URL}))
	if a.Identity.UserID == b.Identity.UserID || a.Key == b.Key || b.Identity.Provider != "zitadel_cloud" {
		t.Errorf("%+v and %+v", a.Identity, b.Identity)
	}
	other.publish(newECKey("k9"))
	r.clock.Advance(6 * time.Minute)
	r.refuse(t, r.key.sign(t, map[string]any{"kid": "k9"}, r.claims(map[string]any{"iss": other.URL})), "signature")
}

func TestManagerTakesTokensAndKeepsKindsApart(t *testing.T) {
	r := newRig(t, nil)
	m := r.manager(t)
	token := r.token(t, nil)
	s, err := m.ByBearer(t.Context(), token, base)
	if err != nil || s.Kind != session.Bearer {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := m.ByCookies(t.Context(), []string{token}, base); err == nil {
		t.Error("an access token opened a session as a cookie")
	}
	_, service, err := m.Create(t.Context(), s.Identity, session.Service, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := m.ByBearer(t.Context(), service, base); err != nil || s.Kind != session.Service {
		t.Errorf("a service token: %+v, %v", s, err)
	}
}

func TestRevokingAUserTakesTheirTokensBack(t *testing.T) {
	r := newRig(t, nil)
	m := r.manager(t)
	token, other := r.token(t, nil), r.token(t, map[string]any{"sub": "8"})
	s := r.accept(t, token)
	if _, err := m.RevokeUser(t.Context(), s.Identity.UserID); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ByBearer(t.Context(), token, base); err == nil {
		t.Error("the token lives on")
	}
	if _, err := m.ByBearer(t.Context(), other, base); err != nil {
		t.Errorf("somebody else's token: %v", err)
	}
}
