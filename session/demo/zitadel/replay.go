package zitadel

import (
	"crypto/sha256"
	"sync"
)

// digest is a call's, or an answer's.
type digest [sha256.Size]byte

// remembered bounds the calls that are remembered: 16,384 in the 330 s in which
// a call holds are 50 sign-ins in a second.
const remembered = 16 << 10

// answers remembers what each call was answered with, for as long as it holds.
// Calls change nothing here, so that all that a replay could get is news of a
// person; and it gets none: the answer that its call had, as long as that is
// still the right one, else nothing. Zitadel itself may send the very same call
// twice in a second, for an ID token and for userinfo, so that a replay is not
// refused. Safe for concurrent use.
type answers struct {
	mu    sync.Mutex
	given map[digest]digest
	ring  [remembered]digest // of calls, in the order in which they came
	next  int
}

// of returns whether a call may be answered so.
func (a *answers) of(call, answer digest) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if first, ok := a.given[call]; ok {
		return first == answer
	}
	if a.given == nil {
		a.given = map[digest]digest{}
	}
	delete(a.given, a.ring[a.next]) // the oldest, which holds no more, or there is no room for it
	a.ring[a.next] = call
	a.next = (a.next + 1) % remembered
	a.given[call] = answer
	return true
}
