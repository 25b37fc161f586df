package assertion

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/session"
)

// place names a remembered assertion: a session's record at one version, for
// one host.
type place struct {
	key     session.Key
	version uint64
	host    string
}

// made is a remembered assertion.
type made struct {
	token string
	// host is the place's own text.
	host string
	// kid tells by which key: one that was taken away signs nothing more.
	kid   string
	renew time.Time
}

// serves reports whether the token may still be given out at now.
func (m made) serves(kid string, now time.Time) bool { return m.kid == kid && now.Before(m.renew) }

// cache remembers assertions in two generations. A generation ends with half
// its room, or after the time for which any entry of it can serve; then the one
// before goes as a whole. So nothing is ever searched for what is over, and
// every entry that serves is there unless room is short.
//
// In front of them is a table that is read without a lock: each place has one
// slot in it, which others may push it out of.
type cache struct {
	seed  maphash.Seed
	front [frontSize]atomic.Pointer[entry]

	mu        sync.RWMutex
	half      int
	born      time.Time
	now, last map[place]made
}

// frontSize is how many slots the front has, 32 KiB of them; a power of two.
const frontSize = 4096

// entry is a remembered assertion with its place. Immutable.
type entry struct {
	place
	made
}

func newCache(size int) *cache {
	return &cache{seed: maphash.MakeSeed(), half: max(1, size/2), now: map[place]made{}}
}

// get returns what is remembered at a place, which may not serve any more.
func (c *cache) get(at place) (made, bool) {
	slot := c.slot(at)
	if e := slot.Load(); e != nil && e.place == at {
		return e.made, true
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	m, ok := c.find(at)
	if ok {
		at.host = m.host // the caller's is a piece of its request
		slot.Store(&entry{at, m})
	}
	return m, ok
}

// slot is a place's in the front. Session keys are hashes: a piece of one is as
// good as another hash of it.
func (c *cache) slot(at place) *atomic.Pointer[entry] {
	return &c.front[(binary.LittleEndian.Uint64(at.key[:8])^maphash.String(c.seed, at.host))%frontSize]
}

func (c *cache) find(at place) (made, bool) {
	m, ok := c.now[at]
	if !ok {
		m, ok = c.last[at]
	}
	return m, ok
}

// put keeps m, unless somebody else was first with one that serves: then that
// one is returned, so that all get the same.
func (c *cache) put(at place, m made, t time.Time) made {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := c.find(at); ok && was.serves(m.kid, t) {
		return was
	}
	m.host = at.host
	c.slot(at).Store(&entry{at, m})
	if len(c.now) >= c.half || t.Sub(c.born) >= Life/2 {
		c.now, c.last, c.born = map[place]made{}, c.now, t
	}
	c.now[at] = m
	return m
}
