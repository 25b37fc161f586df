package oidclogin

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/neosc/gate/session"
)

const (
	// maxToken bounds an ID or logout token.
	maxToken = 64 << 10
	// skew is how far clocks may be apart.
	skew = time.Minute
)

// verified is a token whose signature, issuer and audience hold.
type verified struct {
	*oidc.IDToken
	claims map[string]any
}

// verify checks what all tokens of a provider have in common: three parts of a
// bounded size, a known algorithm, a signature by a published key, issuer,
// audience and, unless loose, expiry.
func (p *provider) verify(ctx context.Context, m *metadata, raw string, loose bool) (*verified, error) {
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return nil, errors.New("it is not a signed token (encrypted ones are not taken)")
	}
	if err := plainHeader(raw); err != nil {
		return nil, err
	}
	keys := &askedKeys{KeySet: p.keys}
	v := oidc.NewVerifier(p.Issuer, keys, &oidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: m.algs(), Now: p.clock, SkipExpiryCheck: loose})
	t, err := v.Verify(ctx, raw)
	if err != nil {
		if expired, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
			return nil, because(session.LoginClock, "it had expired at %s", expired.Expiry.UTC().Format(time.RFC3339))
		}
		if away, ok := errors.AsType[*awayError](keys.err); ok {
			return nil, away
		}
		return nil, errors.New(clip(err.Error()))
	}
	// go-oidc takes accounts.google.com for https://accounts.google.com too.
	if t.Issuer != p.Issuer {
		return nil, errors.New("another provider issued it")
	}
	var body json.RawMessage
	if err := t.Claims(&body); err != nil {
		return nil, err
	}
	claims, err := decodeClaims(body)
	if err != nil {
		return nil, err
	}
	return &verified{t, claims}, nil
}

// askedKeys remembers why a signature could not be checked: go-oidc turns that
// error into text, and a provider whose keys are away must not look like one
// that signs badly (a logout token would be refused for good, a refresh would
// end its session).
type askedKeys struct {
	oidc.KeySet
	err error
}

func (k *askedKeys) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, k.err = k.KeySet.VerifySignature(ctx, token)
	return payload, k.err
}

// plainHeader refuses header parameters that would change how the token is
// read: compression, and extensions that must be understood.
func plainHeader(raw string) error {
	head, _, _ := strings.Cut(raw, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return errors.New("its header is not base64url")
	}
	var h map[string]any
	if err := json.Unmarshal(b, &h); err != nil {
		return errors.New("its header is not JSON")
	}
	for _, name := range []string{"zip", "enc", "crit", "b64"} {
		if _, ok := h[name]; ok {
			return fmt.Errorf("its header has %s", name)
		}
	}
	return nil
}

// checkID makes the checks of an ID token that go-oidc leaves to its caller
// (OpenID Connect Core 1.0, section 3.1.3.7).
func (p *provider) checkID(ctx context.Context, m *metadata, t *tokens, nonce string) (*verified, error) {
	v, err := p.verify(ctx, m, t.ID, false)
	if err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(v.Nonce), []byte(nonce)) != 1 {
		return nil, errors.New("ID token: the nonce is not that of this sign-in")
	}
	now := p.clock()
	if err := p.checkClaims(v, t, now); err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	if err := p.checkAuthTime(v, now); err != nil {
		return nil, fmt.Errorf("ID token: %w", err)
	}
	return v, nil
}

// checkRefreshed makes those of an ID token that came with a refresh
// (section 12.2). It need not have a nonce, and the person proved who they are
// as long ago as they did, so that max_age does not count.
func (p *provider) checkRefreshed(ctx context.Context, m *metadata, t *tokens, subject, nonce string) (*verified, error) {
	v, err := p.verify(ctx, m, t.ID, false)
	if err != nil {
		return nil, fmt.Errorf("refreshed ID token: %w", err)
	}
	switch {
	case v.Subject != subject:
		return nil, errors.New("refreshed ID token: it is about somebody else")
	case v.claims["nonce"] != nil && subtle.ConstantTimeCompare([]byte(v.Nonce), []byte(nonce)) != 1:
		return nil, errors.New("refreshed ID token: the nonce is not that of the sign-in")
	}
	if err := p.checkClaims(v, t, p.clock()); err != nil {
		return nil, fmt.Errorf("refreshed ID token: %w", err)
	}
	return v, nil
}

// checkClaims makes the checks that ID tokens of sign-ins and refreshes share.
func (p *provider) checkClaims(v *verified, t *tokens, now time.Time) error {
	switch {
	case !validSubject(v.Subject):
		return errors.New("sub is empty, too long or not plain text")
	case v.IssuedAt.Unix() <= 0:
		return errors.New("iat is missing")
	case v.IssuedAt.After(now.Add(skew)):
		return because(session.LoginClock, "it was issued %s from now", v.IssuedAt.Sub(now).Round(time.Second))
	case v.AccessTokenHash != "" && v.VerifyAccessToken(t.Access) != nil:
		return errors.New("at_hash is not that of the access token")
	case v.claims["at_hash"] != nil && v.AccessTokenHash == "":
		return errors.New("at_hash is empty")
	}
	return p.checkAudience(v)
}

// checkAudience lets no audience stand beside the gate's client but those that
// are configured. Zitadel lists all clients of the project and the project
// itself, so with the configured project among them and azp being ours, the
// others are its clients.
func (p *provider) checkAudience(v *verified) error {
	azp, has := v.claims["azp"]
	if has && azp != p.ClientID {
		return errors.New("azp is another client")
	}
	if len(v.Audience) == 1 {
		return nil
	}
	if !has {
		return errors.New("there are several audiences and no azp")
	}
	if p.ProjectID != "" && slices.Contains(v.Audience, p.ProjectID) {
		return nil
	}
	for _, a := range v.Audience {
		if a != p.ClientID && !slices.Contains(p.Audiences, a) {
			if p.ProjectID != "" {
				return fmt.Errorf("the audience %q is not among the provider's configured audiences, nor is project_id %s in the token; is that the client's project?", clip(a), p.ProjectID)
			}
			return fmt.Errorf("the audience %q is not among the provider's configured audiences", clip(a))
		}
	}
	return nil
}

func (p *provider) checkAuthTime(v *verified, now time.Time) error {
	if p.MaxAge == 0 {
		return nil
	}
	at, ok := v.authTime()
	switch {
	case !ok:
		return errors.New("auth_time is missing, though max_age was asked for")
	case now.Sub(at) > p.MaxAge+skew:
		return because(session.LoginDenied, "the person proved who they are %s ago, and max_age is %s", now.Sub(at).Round(time.Second), p.MaxAge)
	case at.After(now.Add(skew)):
		return because(session.LoginClock, "auth_time is %s from now", at.Sub(now).Round(time.Second))
	}
	return nil
}

// authTime returns when the person proved who they are.
func (v *verified) authTime() (time.Time, bool) { return instant(v.claims["auth_time"]) }

// instant reads a NumericDate within the years that make sense.
func instant(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok || len(n) > 32 || strings.ContainsAny(string(n), "eE") {
		return time.Time{}, false
	}
	f, ok := new(big.Float).SetString(string(n))
	if !ok {
		return time.Time{}, false
	}
	s, _ := f.Int64()
	if s <= 0 || s > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(s, 0).UTC(), true
}

// validSubject: OpenID Connect allows 255 ASCII characters.
func validSubject(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) })
}

// decodeClaims reads a JSON object and keeps the digits of its numbers.
func decodeClaims(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var claims map[string]any
	if err := d.Decode(&claims); err != nil || claims == nil {
		return nil, errors.New("the claims are not a JSON object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is data after the claims")
	}
	return claims, nil
}
