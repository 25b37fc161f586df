package assertion

import (
	"sync"
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
type cache struct {
	mu        sync.RWMutex
	half      int
	born      time.Time
	now, last map[place]made
}

func newCache(size int) *cache { return &cache{half: max(1, size/2), now: map[place]made{}} }

func (c *cache) get(at place) (made, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.find(at)
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
	if len(c.now) >= c.half || t.Sub(c.born) >= Life/2 {
		c.now, c.last, c.born = map[place]made{}, c.now, t
	}
	c.now[at] = m
	return m
}
