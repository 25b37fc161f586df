package bearer

import (
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/session/claims"
)

// leeway is how far a provider's clock may run ahead of ours. It is given to
// nbf and iat only: a token that is past its exp is over.
const leeway = 30 * time.Second

// maxAudiences bounds the audiences of one token that are compared.
const maxAudiences = 256

// checkHeader judges what a token's header says of itself.
func (p *Provider) checkHeader(t *jwt) error {
	if !slices.Contains(p.Algorithms, t.alg) {
		return refuseAlgorithm
	}
	typ := mediaType(t.typ)
	if typ == "" {
		typ = "jwt"
	}
	if !slices.Contains(p.Types, typ) {
		return refuseType
	}
	return nil
}

// onlyElsewhere are claims that access tokens do not have: nonce and the hashes
// are an ID token's, events a logout token's or another security event's.
var onlyElsewhere = []string{"nonce", "at_hash", "c_hash", "s_hash", "events"}

// checkKind refuses what was signed by the right key for another use. Providers
// sign ID tokens, logout tokens and access tokens with the same keys, and some
// give all of them the same typ.
func checkKind(t *jwt) error {
	c := t.claims
	for _, n := range onlyElsewhere {
		if _, ok := c[n]; ok {
			return refuseType
		}
	}
	if v, ok := c["typ"]; ok && !isText(v, "bearer", "at+jwt") { // Keycloak: ID, Refresh, Logout
		return refuseType
	}
	if v, ok := c["token_use"]; ok && !isText(v, "access") { // Cognito: id
		return refuseType
	}
	if mediaType(t.typ) != "at+jwt" {
		if id, _ := c["jti"].(string); id == "" {
			return refuseType
		}
	}
	return nil
}

func isText(v any, want ...string) bool {
	s, ok := v.(string)
	return ok && slices.Contains(want, strings.ToLower(s))
}

// times are the instants of a token; issued is zero if it does not say.
type times struct{ issued, expires time.Time }

// checkClaims judges what JWTs and introspection answers share. expires is
// zero where there is no exp, which the caller judges.
func (p *Provider) checkClaims(c map[string]any, now time.Time) (times, error) {
	if _, ok := c["cnf"]; ok {
		// Bound to a key of the client's (RFC 7800, 8705, 9449), of which a
		// bearer shows nothing: whoever stole it could send it.
		return times{}, refuseBound
	}
	if err := p.checkAudience(c); err != nil {
		return times{}, err
	}
	if err := p.checkClient(c); err != nil {
		return times{}, err
	}
	return checkTimes(c, now)
}

func (p *Provider) checkAudience(c map[string]any) error {
	switch aud := c["aud"].(type) {
	case string:
		if slices.Contains(p.Audiences, aud) {
			return nil
		}
	case []any:
		for _, v := range aud[:min(len(aud), maxAudiences)] {
			if s, ok := v.(string); ok && slices.Contains(p.Audiences, s) {
				return nil
			}
		}
	}
	return refuseAudience
}

// checkClient holds a token to the clients that may bring one. client_id is
// RFC 9068's, azp OpenID Connect's; if both are there they must agree.
func (p *Provider) checkClient(c map[string]any) error {
	if len(p.Clients) == 0 {
		return nil
	}
	id, bad := text(c, "client_id", false)
	azp, bad := text(c, "azp", bad)
	if bad || id != "" && azp != "" && id != azp {
		return refuseClient
	}
	if id == "" {
		id = azp
	}
	if !slices.Contains(p.Clients, id) {
		return refuseClient
	}
	return nil
}

func checkTimes(c map[string]any, now time.Time) (times, error) {
	issued, okIssued := date(c, "iat")
	starts, okStarts := date(c, "nbf")
	expires, okExpires := date(c, "exp")
	latest := now.Add(leeway)
	switch {
	case !okIssued || !okStarts || !okExpires || issued.After(latest) || starts.After(latest):
		return times{}, refuseTime
	case !expires.IsZero() && !now.Before(expires):
		return times{}, refuseExpired
	}
	return times{issued: issued, expires: expires}, nil
}

// date returns a claim's instant, the zero time if it is not there; ok is false
// if it is there and is none.
func date(c map[string]any, name string) (t time.Time, ok bool) {
	v, there := c[name]
	if !there {
		return time.Time{}, true
	}
	return claims.NumericDate(v)
}
