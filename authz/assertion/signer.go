package assertion

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
)

// Life is how long an assertion is valid. It is made anew at half its life, so
// an upstream always gets one that holds for at least half of it.
const Life = 5 * time.Minute

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

	mu     sync.RWMutex
	cached map[place]made
	max    int
}

// ring is the keys with what is made of them once. Immutable.
type ring struct {
	keys    Keys
	signers map[string]jose.Signer
	jwks    []byte
}

// place names a remembered assertion: a session's record at one version, for
// one host.
type place struct {
	key     session.Key
	version uint64
	host    string
}

type made struct {
	token string
	// kid tells by which key: one that was taken away signs nothing more.
	kid   string
	renew time.Time
}

// New returns a Signer.
func New(o Options) (*Signer, error) {
	if o.Issuer == "" {
		return nil, errors.New("assertion: Options.Issuer is missing")
	}
	s := &Signer{issuer: o.Issuer, cached: map[place]made{}, max: cmp.Or(o.MaxCached, defaultMaxCached)}
	return s, s.SetKeys(o.Keys)
}

// SetKeys replaces the keys, as after a rotation. On an error the old ones go on.
func (s *Signer) SetKeys(ks Keys) error {
	if len(ks) == 0 {
		return errors.New("assertion: there is no key")
	}
	r := &ring{keys: ks, signers: map[string]jose.Signer{}}
	var set jose.JSONWebKeySet
	for _, k := range ks {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.private, KeyID: k.ID}}, (&jose.SignerOptions{}).WithType("JWT"))
		if err != nil {
			return fmt.Errorf("assertion: key %s: %w", k.ID, err)
		}
		r.signers[k.ID] = signer
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.ID, Algorithm: string(jose.ES256), Use: "sig"})
	}
	var err error
	if r.jwks, err = json.Marshal(set); err != nil {
		return fmt.Errorf("assertion: %w", err)
	}
	s.ring.Store(r)
	return nil
}

// JWKS returns the public key set, the keys that do not sign yet among them.
// The slice must not be changed.
func (s *Signer) JWKS() []byte { return s.ring.Load().jwks }

// claims are what an upstream is told. The email is there only if somebody has
// verified it: upstreams trust it.
type claims struct {
	jwt.Claims
	Email        string   `json:"email,omitempty"`
	Name         string   `json:"name,omitempty"`
	Organization string   `json:"organization,omitempty"`
	Groups       []string `json:"groups"`
	SessionID    string   `json:"sid"`
}

// Assertion returns the signed identity of x for host at now. The same token is
// given until half its life is over; one never outlives its session.
func (s *Signer) Assertion(x *session.Session, host string, now time.Time) (string, error) {
	r := s.ring.Load()
	key := r.keys.Signing(now)
	at := place{x.Key, x.Version, host}
	s.mu.RLock()
	m, ok := s.cached[at]
	s.mu.RUnlock()
	if ok && m.kid == key.ID && now.Before(m.renew) {
		return m.token, nil
	}
	end := now.Add(Life)
	if x.ExpiresAt.Before(end) {
		end = x.ExpiresAt
	}
	token, err := jwt.Signed(r.signers[key.ID]).Claims(s.claims(x, host, now, end)).Serialize()
	if err != nil {
		return "", fmt.Errorf("assertion: %w", err)
	}
	s.remember(at, made{token, key.ID, now.Add(end.Sub(now) / 2)}, now)
	return token, nil
}

func (s *Signer) claims(x *session.Session, host string, now, end time.Time) claims {
	id := &x.Identity
	c := claims{
		Claims: jwt.Claims{
			Issuer: s.issuer, Subject: id.UserID, Audience: jwt.Audience{host},
			IssuedAt: jwt.NewNumericDate(now.Add(-backdate)), Expiry: jwt.NewNumericDate(end),
		},
		Name: id.Name, Organization: id.Organization, SessionID: x.Key.Short(),
		Groups: append(append(make([]string, 0, len(id.Roles)+len(id.Groups)), id.Roles...), id.Groups...),
	}
	if id.EmailVerified {
		c.Email = id.Email
	}
	return c
}

// remember keeps a token; when there are too many, those to be renewed go, and
// if that is not enough, all: they are made again in 30 µs each.
func (s *Signer) remember(at place, m made, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cached) >= s.max {
		for k, v := range s.cached {
			if !now.Before(v.renew) {
				delete(s.cached, k)
			}
		}
		if len(s.cached) >= s.max {
			clear(s.cached)
		}
	}
	s.cached[at] = m
}
