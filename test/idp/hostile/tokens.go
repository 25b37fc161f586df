package hostile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Key is a key pair of ES256.
type Key struct {
	ID      string
	private *ecdsa.PrivateKey
}

// must: keys of this curve, and what tests sign with them, always have a form.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// NewKey makes a pair. The id is the one that tokens name.
func NewKey(id string) *Key {
	return &Key{id, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
}

// Public is the public half as a provider publishes it.
func (k *Key) Public() json.RawMessage {
	return must(json.Marshal(jose.JSONWebKey{Key: k.private.Public(), KeyID: k.ID, Algorithm: "ES256", Use: "sig"}))
}

// Sign makes a token of claims. head adds to its header, or replaces; nil
// removes a member.
func (k *Key) Sign(claims, head map[string]any) string {
	o := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", k.ID)
	for name, v := range head {
		if v == nil {
			delete(o.ExtraHeaders, jose.HeaderKey(name))
		} else {
			o = o.WithHeader(jose.HeaderKey(name), v)
		}
	}
	return signed(jose.ES256, k.private, o, claims)
}

func signed(alg jose.SignatureAlgorithm, key any, o *jose.SignerOptions, claims map[string]any) string {
	s := must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o))
	return must(must(s.Sign(must(json.Marshal(claims)))).CompactSerialize())
}

// HMAC signs with HS256 and a secret that everybody knows: a published key.
func HMAC(secret json.RawMessage, kid string, claims, head map[string]any) string {
	o := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid)
	for name, v := range head {
		o = o.WithHeader(jose.HeaderKey(name), v)
	}
	return signed(jose.HS256, []byte(secret), o, claims)
}

// Embedded signs with a key of nobody's, which the token itself brings along.
func Embedded(claims, head map[string]any) string {
	o := &jose.SignerOptions{EmbedJWK: true}
	for name, v := range head {
		o = o.WithHeader(jose.HeaderKey(name), v)
	}
	return signed(jose.ES256, NewKey("").private, o, claims)
}

// Raw puts a token together of any header, any claims and any signature.
func Raw(head map[string]any, claims map[string]any, signature string) string {
	part := func(v any) string {
		return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v)))
	}
	return part(head) + "." + part(claims) + "." + signature
}

// signer is the key that signs now; i.mu is held.
func (i *Issuer) signer() *Key { return i.keys[len(i.keys)-1] }

// Key is the key with which the issuer signs now.
func (i *Issuer) Key() *Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signer()
}

// AccessClaims are those of a good access token for the audience "api", with
// changes; nil removes a claim.
func (i *Issuer) AccessClaims(change map[string]any) map[string]any {
	now := time.Now()
	c := Person(map[string]any{"iss": i.URL, "aud": "api", "client_id": "app", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": random(), "sid": nil})
	return with(c, change)
}

// AccessType is the header of access tokens (RFC 9068).
func AccessType() map[string]any { return map[string]any{"typ": "at+jwt"} }

// AccessToken is a good one, with changes of its claims.
func (i *Issuer) AccessToken(change map[string]any) string {
	return i.Key().Sign(i.AccessClaims(change), AccessType())
}

// LogoutClaims are those of a good logout token, with changes.
func (i *Issuer) LogoutClaims(change map[string]any) map[string]any {
	now := time.Now()
	return with(map[string]any{
		"iss": i.URL, "aud": "gate", "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": random(), "sub": "s1", "sid": "sid1",
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}, change)
}

// LogoutToken is a good one, with changes of its claims.
func (i *Issuer) LogoutToken(change map[string]any) string {
	return i.Key().Sign(i.LogoutClaims(change), map[string]any{"typ": "logout+jwt"})
}

// Provider is the YAML of a gate's provider for this issuer, with its bearer
// block. more are further lines of it.
func (i *Issuer) Provider(more string) string {
	return fmt.Sprintf("  - id: %s\n    issuer: %s\n    client_id: gate\n    scopes: [openid, profile, offline_access]\n    bearer: {audiences: [api]}\n%s", i.ID, i.URL, more)
}

func random() string { return rand.Text() }
