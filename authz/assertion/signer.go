package assertion

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
)

// Life is how long an assertion is valid. It is made anew at half its life, so
// an upstream always gets one that holds for at least half of it.
const Life = 5 * time.Minute

// MaxToken bounds an assertion in bytes. Many servers take 16 KiB of headers
// in all; beyond that an upstream would refuse every request with a riddle.
const MaxToken = 12 << 10

// backdate is how far issued-at lies before now, for upstreams whose clock is
// behind.
const backdate = 5 * time.Second

// defaultMaxCached bounds remembered assertions: at some 1 KiB each, 64 MiB.
const defaultMaxCached = 1 << 16

// Options make a Signer. Keys and Issuer are needed.
type Options struct {
	Keys Keys
	// Issuer is the iss claim: the gate's own origin.
	Issuer string
	// MaxCached is how many assertions are remembered; 0 means 65,536.
	MaxCached int
}

// Signer signs identities. Safe for concurrent use.
type Signer struct {
	issuer string
	ring   atomic.Pointer[ring]
	cache  *cache
}

// ring is the keys with what is made of them once. Immutable.
type ring struct {
	keys    Keys
	signers []jose.Signer // of the key at the same place
	jwks    []byte
}

// New returns a Signer.
func New(o Options) (*Signer, error) {
	if o.Issuer == "" {
		return nil, errors.New("assertion: Options.Issuer is missing")
	}
	s := &Signer{issuer: o.Issuer, cache: newCache(cmp.Or(o.MaxCached, defaultMaxCached))}
	if err := s.SetKeys(o.Keys); err != nil {
		return nil, err
	}
	return s, nil
}

// SetKeys replaces the keys, as after a rotation. On an error the old ones go on.
func (s *Signer) SetKeys(ks Keys) error {
	if len(ks) == 0 {
		return errors.New("assertion: there is no key")
	}
	r := &ring{keys: slices.Clone(ks).sorted()}
	var set jose.JSONWebKeySet
	for _, k := range r.keys {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.private, KeyID: k.ID}}, (&jose.SignerOptions{}).WithType("JWT"))
		if err != nil {
			return fmt.Errorf("assertion: key %s: %w", k.ID, err)
		}
		r.signers = append(r.signers, signer)
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.ID, Algorithm: string(jose.ES256), Use: "sig"})
	}
	var err error
	if r.jwks, err = json.Marshal(set); err != nil {
		return fmt.Errorf("assertion: %w", err)
	}
	s.ring.Store(r)
	return nil
}

// Keys returns the keys in use.
func (s *Signer) Keys() Keys { return slices.Clone(s.ring.Load().keys) }

// JWKS returns the public key set, the keys that do not sign yet among them.
// The slice must not be changed.
func (s *Signer) JWKS() []byte { return s.ring.Load().jwks }

// claims are what an upstream is told. The email is there only if somebody has
// verified it: upstreams trust it. aud is one text and never a list, so that
// there is one host for which a token counts, and one way to compare it.
type claims struct {
	Issuer       string           `json:"iss"`
	Subject      string           `json:"sub"`
	Audience     string           `json:"aud"`
	IssuedAt     *jwt.NumericDate `json:"iat"`
	Expiry       *jwt.NumericDate `json:"exp"`
	Email        string           `json:"email,omitempty"`
	Name         string           `json:"name,omitempty"`
	Organization string           `json:"organization,omitempty"`
	Groups       []string         `json:"groups"`
	// Roles are there apart too: a group may be called as a role is.
	Roles     []string `json:"roles,omitempty"`
	SessionID string   `json:"sid"`
}

// Assertion returns the signed identity of x for host at now. The same token is
// given until half its life is over; one never outlives its session. It fails
// for a session that is past its absolute end, that names no user, or whose identity
// takes more than MaxToken.
func (s *Signer) Assertion(x *session.Session, host string, now time.Time) (string, error) {
	switch {
	// Not LiveAt: the record's idle end is as old as this copy of it, while use
	// moves the true one on. Whoever asks has looked at that.
	case !now.Before(x.ExpiresAt):
		return "", fmt.Errorf("assertion: session %s is over", x.Key.Short())
	case x.Identity.UserID == "" || host == "":
		return "", fmt.Errorf("assertion: session %s has no user or its request no host", x.Key.Short())
	}
	r := s.ring.Load()
	i := r.keys.signing(now)
	kid := r.keys[i].ID
	// The caller's host is a piece of its request: a kept one must be a copy.
	at := place{x.Key, x.Version, host}
	if m, ok := s.cache.get(at); ok && m.serves(kid, now) {
		return m.token, nil
	}
	at.host = strings.Clone(host)
	end := now.Add(Life)
	if x.ExpiresAt.Before(end) {
		end = x.ExpiresAt
	}
	token, err := jwt.Signed(r.signers[i]).Claims(s.claims(x, at.host, now, end)).Serialize()
	switch {
	case err != nil:
		return "", fmt.Errorf("assertion: session %s: %w", x.Key.Short(), err)
	case len(token) > MaxToken:
		return "", fmt.Errorf("assertion: the identity of session %s takes %d bytes signed, at most %d reach upstreams; it has %d roles and %d groups: give it fewer at the provider",
			x.Key.Short(), len(token), MaxToken, len(x.Identity.Roles), len(x.Identity.Groups))
	}
	return s.cache.put(at, made{token: token, kid: kid, renew: now.Add(end.Sub(now) / 2)}, now).token, nil
}

func (s *Signer) claims(x *session.Session, host string, now, end time.Time) claims {
	id := &x.Identity
	c := claims{
		Issuer: s.issuer, Subject: id.UserID, Audience: host,
		IssuedAt: jwt.NewNumericDate(now.Add(-backdate)), Expiry: jwt.NewNumericDate(end),
		Name: id.Name, Organization: id.Organization, SessionID: x.Key.Short(),
		Groups: append(append(make([]string, 0, len(id.Roles)+len(id.Groups)), id.Roles...), id.Groups...),
		Roles:  id.Roles,
	}
	if id.EmailVerified {
		c.Email = id.Email
	}
	return c
}
