package session

import (
	"fmt"
	"time"
)

// CookiePayload is all that a sealed cookie carries: no claim, no role, no
// address. ExpiresAt is kept to the second.
type CookiePayload struct {
	ID        ID
	Secret    Secret
	ExpiresAt time.Time
}

// String hides the payload: it is the credential itself.
func (CookiePayload) String() string { return "session.CookiePayload(hidden)" }

// Format hides the payload from every verb, %#v and %x included.
func (p CookiePayload) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.String())) }

// Sealer turns payloads into cookie values and back. session/cookie has the
// implementation. Safe for concurrent use.
type Sealer interface {
	// Seal returns a value of at most 250 bytes of [A-Za-z0-9._-].
	Seal(p CookiePayload) (string, error)
	// Open returns what Seal sealed. Its only error is ErrInvalid, whatever
	// the cause. It does not look at the clock: callers judge ExpiresAt.
	Open(value string) (CookiePayload, error)
	// Generation changes whenever a value that opened may open no longer (its
	// key was retired), so that nothing opened before is remembered after.
	Generation() uint64
}
