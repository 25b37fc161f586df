package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ID is a session's secret name: 128 random bits that only the holder's
// sealed cookie carries. Stores never see it; they see its Key, so a dump of a
// store opens no session.
type ID [16]byte

// NewID returns an ID from the system's random source, which never fails
// (crypto/rand crashes the program instead).
func NewID() ID {
	var id ID
	_, _ = rand.Read(id[:])
	return id
}

// Key returns the name under which stores keep the session.
func (id ID) Key() Key {
	h := sha256.New()
	h.Write([]byte("neosc session id\x00"))
	h.Write(id[:])
	return Key(h.Sum(nil))
}

// Key names a session in stores, logs and commands: SHA-256 over the ID. It
// opens nothing, so it may be shown.
type Key [32]byte

// String returns the key as 64 lower-case hex digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// Short returns the first 16 hex digits, enough to tell sessions apart in logs.
func (k Key) Short() string { return hex.EncodeToString(k[:8]) }

// ParseKey reads what Key.String wrote.
func ParseKey(s string) (Key, error) {
	var k Key
	if len(s) != 2*len(k) {
		return Key{}, fmt.Errorf("session key has %d characters, want %d hex digits", len(s), 2*len(k))
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil {
		return Key{}, fmt.Errorf("session key: %w", err)
	}
	return k, nil
}

// Secret is the part of the cookie from which keys for sealed side data (the
// identity provider's tokens) are derived. It is stored nowhere.
type Secret [32]byte

// NewSecret returns a random Secret.
func NewSecret() Secret {
	var s Secret
	_, _ = rand.Read(s[:])
	return s
}

// Kind says how a session presents itself.
type Kind string

const (
	// Browser sessions come by the sealed cookie.
	Browser Kind = "browser"
	// Bearer sessions come by an access token: a provider's, of which there is no
	// record here, or one that the gate gave an app for a person who signed in.
	Bearer Kind = "bearer"
	// Service sessions come by a token that an operator issued.
	Service Kind = "service"
)

// Identity is who somebody is, as the provider said at sign-in. Roles and
// Groups are flat, sorted and without duplicates; Claims keeps everything raw.
type Identity struct {
	Provider        string         `json:"provider"`
	Issuer          string         `json:"issuer,omitempty"`
	Subject         string         `json:"subject,omitempty"`
	UserID          string         `json:"user_id"`
	Email           string         `json:"email"`
	EmailVerified   bool           `json:"email_verified"`
	Name            string         `json:"name,omitempty"`
	Organization    string         `json:"organization,omitempty"`
	Roles           []string       `json:"roles"`
	Groups          []string       `json:"groups,omitempty"`
	Claims          map[string]any `json:"claims,omitempty"`
	AMR             []string       `json:"amr,omitempty"`
	AuthenticatedAt time.Time      `json:"authenticated_at"`
}

// Session is one sign-in. A *Session that a Store or Manager hands out is
// shared between requests: treat it as read-only and Clone before changing.
type Session struct {
	Key      Key      `json:"-"`
	Kind     Kind     `json:"kind"`
	Identity Identity `json:"identity"`
	// IdPSession is the provider's own session id (the OIDC claim sid), or "".
	IdPSession string    `json:"idp_session,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	// ExpiresAt is the absolute end: at this instant the session is over.
	ExpiresAt time.Time `json:"expires_at"`
	// IdleExpiresAt moves on while the session is used; never past ExpiresAt.
	IdleExpiresAt time.Time `json:"idle_expires_at"`
	// RefreshAt is from when a request of the session has the provider asked
	// anew who this is; zero if nobody is asked.
	RefreshAt time.Time `json:"refresh_at,omitzero"`
	// Fence is the number of the refresh that the record shows: one that began
	// earlier must not overwrite it.
	Fence uint64 `json:"fence,omitempty"`
	// Rotation is the number of the refresh token that is worth something now; 0
	// if the session has none.
	Rotation uint64 `json:"rotation,omitempty"`
	// Version grows by one with each Update of the record.
	Version uint64 `json:"version"`
	// Unstored marks the session of a provider's access token: no store has a
	// record of it, and it ends when the token does or its user is denied.
	Unstored bool `json:"-"`
}

// LiveAt reports whether the session holds at t: both ends are exclusive.
func (s *Session) LiveAt(t time.Time) bool {
	return t.Before(s.ExpiresAt) && t.Before(s.IdleExpiresAt)
}

// Clone returns a copy that shares no slice or top-level map with s.
func (s *Session) Clone() *Session {
	c := *s
	c.Identity.Roles = append([]string(nil), s.Identity.Roles...)
	c.Identity.Groups = append([]string(nil), s.Identity.Groups...)
	c.Identity.AMR = append([]string(nil), s.Identity.AMR...)
	if s.Identity.Claims != nil {
		c.Identity.Claims = make(map[string]any, len(s.Identity.Claims))
		for k, v := range s.Identity.Claims {
			c.Identity.Claims[k] = v
		}
	}
	return &c
}

// Errors of this domain. They are matched with errors.Is; adapters wrap them
// with what they know.
var (
	// ErrNotFound: no such record, or it is over.
	ErrNotFound = errors.New("session not found")
	// ErrInvalid: a credential that opens nothing. Deliberately one error for
	// every cause (bit flip, retired key, other purpose, expired, revoked).
	ErrInvalid = errors.New("credential is not valid")
	// ErrAmbiguous: several credentials that each open a session.
	ErrAmbiguous = errors.New("more than one valid credential")
	// ErrExists: the key is taken.
	ErrExists = errors.New("session already exists")
	// ErrConflict: the record changed since it was read (compare-and-swap lost).
	ErrConflict = errors.New("session was changed meanwhile")
	// ErrUnavailable: the store cannot be asked now. Decisions fail closed.
	ErrUnavailable = errors.New("session store is unavailable")
)
