package bearer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/session"
)

// maxDenied bounds each list of what is denied: some 10 MiB in all.
const maxDenied = 100_000

// forever is the end of what is denied without an end.
const forever = int64(1<<63 - 1)

// denials are the tokens that were taken back here. They are this process's
// own and gone when it ends: what must last, or hold on other replicas, is the
// provider's to revoke, or a mark.
type denials struct {
	// generation grows with each change: whoever was found not to be denied at
	// one is not denied while it stays.
	generation atomic.Uint64
	limit      int

	mu     sync.RWMutex
	tokens map[session.Key]int64 // until, unix ns
	ids    map[tokenID]int64
	users  map[string]int64 // from which on a token counts, unix ns
	// floor is from when on a token of anybody counts: it rises to what is
	// forgotten of users when there are too many.
	floor int64
}

// tokenID is a hash of an issuer and a jti.
type tokenID [32]byte

func newTokenID(issuer, jti string) tokenID {
	var room [256]byte // on the stack, and enough for most
	return sha256.Sum256(append(append(append(room[:0], issuer...), 0), jti...))
}

func newDenials(limit int) *denials {
	return &denials{
		limit: limit, floor: -1 << 63,
		tokens: map[session.Key]int64{}, ids: map[tokenID]int64{}, users: map[string]int64{},
	}
}

// Deny refuses a token from now on, by the key that its session has. until is
// when the token expires, after which it need not be remembered; zero means
// never. It fails when too many are denied already.
func (v *Verifier) Deny(k session.Key, until time.Time) error {
	return deny(v.denied, v.denied.tokens, k, until, v.o.Clock())
}

// DenyID does what Deny does for the token that an issuer gave a jti.
func (v *Verifier) DenyID(issuer, jti string, until time.Time) error {
	if issuer == "" || jti == "" {
		return errors.New("deny a token: no issuer or no jti")
	}
	return deny(v.denied, v.denied.ids, newTokenID(issuer, jti), until, v.o.Clock())
}

func deny[K comparable](d *denials, list map[K]int64, k K, until, now time.Time) error {
	end := forever
	if !until.IsZero() {
		end = until.UnixNano()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := list[k]; !ok && len(list) >= d.limit {
		for o, u := range list {
			if u <= now.UnixNano() {
				delete(list, o)
			}
		}
		if len(list) >= d.limit {
			return fmt.Errorf("deny a token: %d are denied already", len(list))
		}
	}
	list[k] = max(end, list[k])
	d.generation.Add(1)
	return nil
}

// DenyUser refuses every token of a user that was issued before an instant, and
// those that do not say when they were issued.
func (v *Verifier) DenyUser(userID string, before time.Time) {
	d := v.denied
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.users[userID]; !ok && len(d.users) >= d.limit {
		// Which tokens live that long is not known. Everybody's old tokens die
		// rather than that a denied one comes back.
		for u, t := range d.users {
			if t < before.UnixNano() {
				d.floor = max(d.floor, t)
				delete(d.users, u)
			}
			if len(d.users) < d.limit*3/4 {
				break
			}
		}
		if len(d.users) >= d.limit {
			d.floor = max(d.floor, before.UnixNano())
		}
	}
	if len(d.users) < d.limit || d.users[userID] != 0 {
		d.users[userID] = max(d.users[userID], before.UnixNano())
	}
	d.generation.Add(1)
}

// covers reports whether a token is denied at now.
func (d *denials) covers(e *entry, now int64) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if until, ok := d.tokens[e.session.Key]; ok && now < until {
		return true
	}
	if e.hasID {
		if until, ok := d.ids[e.id]; ok && now < until {
			return true
		}
	}
	before, ok := d.users[e.session.Identity.UserID]
	return ok && e.issued < before || e.issued < d.floor
}
