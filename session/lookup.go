package session

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"
)

// openedCookie remembers what a cookie value opened to: by a hash of the whole
// value, whose seed nobody knows, and by the value's end, which is where a
// sealed value has its authenticator. Of the rest nothing is kept: who can
// present another value with both has the true one already.
type openedCookie struct {
	mark
	end        valueEnd
	generation uint64
	key        Key
	expires    int64 // unix s
	// copy is the record that it led to last, which spares looking that up.
	copy atomic.Pointer[liveCopy]
}

// valueEnd is the last characters of a value: more than the 22 of a 128-bit
// authenticator.
type valueEnd [24]byte

func endOf(value string) (e valueEnd) {
	copy(e[:], value[max(0, len(value)-len(e)):])
	return e
}

// liveCopy is a record with the idle end as this process knows it. Of s and
// packed one at least is set.
type liveCopy struct {
	mark
	recent  atomic.Bool // it was used since the hand of the ready copies last passed
	key     Key
	s       atomic.Pointer[Session]
	packed  atomic.Pointer[[]byte]
	expires int64 // unix ns
	idle    atomic.Int64
	due     atomic.Int64 // unix ns: when Options.Due is called next
}

func newLiveCopy(s *Session) *liveCopy {
	c := &liveCopy{key: s.Key, expires: s.ExpiresAt.UnixNano()}
	c.s.Store(s)
	c.idle.Store(min(s.IdleExpiresAt.UnixNano(), c.expires))
	c.due.Store(math.MaxInt64)
	if !s.RefreshAt.IsZero() {
		c.due.Store(s.RefreshAt.UnixNano())
	}
	return c
}

func (c *liveCopy) liveAt(ns int64) bool { return ns < c.expires && ns < c.idle.Load() }

// ByCookies implements Issuer and authz.Sessions. The same value twice is one
// credential. Of more than MaxCookieValues values none is looked at, and the
// answer is ErrInvalid. A found session counts as used.
func (m *Manager) ByCookies(ctx context.Context, values []string, now time.Time) (*Session, error) {
	if len(values) > MaxCookieValues {
		return nil, ErrInvalid
	}
	var found *Session
	for _, v := range values {
		s, err := m.byValue(ctx, v, true, now)
		switch {
		case errors.Is(err, ErrInvalid):
		case err != nil:
			return nil, err
		case found != nil && found.Key != s.Key:
			return nil, ErrAmbiguous
		default:
			found = s
		}
	}
	if found == nil {
		return nil, ErrInvalid
	}
	return found, nil
}

// ByBearer returns the session of an access token: a Service or Bearer session's
// sealed value, else what Options.Bearer makes of it. A browser's cookie is no token,
// nor a token a cookie.
func (m *Manager) ByBearer(ctx context.Context, token string, now time.Time) (*Session, error) {
	s, err := m.byValue(ctx, token, false, now)
	if m.o.Bearer != nil && errors.Is(err, ErrInvalid) {
		return m.o.Bearer.ByBearer(ctx, token, now)
	}
	return s, err
}

// byValue returns the live session, a browser's or none, that a sealed value opens:
// ErrInvalid or an error that wraps ErrUnavailable if there is none.
func (m *Manager) byValue(ctx context.Context, value string, browser bool, now time.Time) (*Session, error) {
	o := m.open(value)
	if o == nil || now.Unix() >= o.expires {
		return nil, ErrInvalid
	}
	ns := now.UnixNano()
	fresh := m.fresh(ns)
	c := o.copy.Load()
	if c != nil && c.held.Load() && fresh && c.liveAt(ns) {
		c.use()
		m.metrics.hits.Inc()
	} else {
		var err error
		if c, err = m.find(ctx, o.key, ns, fresh); err != nil {
			return nil, err
		}
		o.copy.Store(c)
	}
	s := m.session(c)
	if s == nil {
		return nil, fmt.Errorf("%w: the local copy is damaged", ErrUnavailable)
	}
	if (s.Kind == Browser) != browser {
		return nil, ErrInvalid
	}
	m.used(c, now)
	if due := c.due.Load(); ns >= due && m.o.Due != nil && c.due.CompareAndSwap(due, ns+int64(dueAgain)) {
		m.o.Due(s, value)
	}
	return s, nil
}

// maxSealed is what Sealer.Seal promises. Most access tokens are longer, and
// are not to be hashed in vain.
const maxSealed = 250

// open returns what a value opens to, or nil. Opened once, it is known from
// then on; what did not open is not remembered, so junk cannot push out what
// did.
func (m *Manager) open(value string) *openedCookie {
	if len(value) > maxSealed {
		return nil
	}
	gen := m.o.Sealer.Generation()
	h := maphash.String(m.seed, value)
	if o, ok := m.opened.get(h); ok && o.generation == gen && o.end == endOf(value) {
		return o
	}
	p, err := m.o.Sealer.Open(value)
	if err != nil {
		return nil
	}
	o := &openedCookie{end: endOf(value), generation: gen, key: p.ID.Key(), expires: p.ExpiresAt.Unix()}
	m.opened.put(h, o, m.opened.epoch(h))
	return o
}

// find returns the live copy for k: the local one while it may be served, else
// the store's.
func (m *Manager) find(ctx context.Context, k Key, now int64, fresh bool) (*liveCopy, error) {
	if c, ok := m.live.get(k); ok && fresh && c.liveAt(now) {
		m.metrics.hits.Inc()
		return c, nil
	}
	m.metrics.misses.Inc()
	c, err := m.fill(ctx, k)
	if errors.Is(err, ErrUnavailable) {
		c, err = m.graceful(k, err)
	}
	if err != nil {
		return nil, err
	}
	if !c.liveAt(now) {
		return nil, ErrInvalid
	}
	return c, nil
}

// fresh reports whether local copies may be served to a request of the instant
// now (unix ns). The clock that nobody sets says so at this very moment, since
// the process may have been stopped after the request came; the wall clock, by
// the request's own instant, because only that one goes on while the machine is
// suspended. (Reading both here would be nearly half of a lookup.)
func (m *Manager) fresh(now int64) bool {
	return isFresh(m.feed, &m.lastFresh, m.until, now)
}

func isFresh(feed Feed, last *atomic.Int64, untilNow func(time.Time) time.Duration, now int64) bool {
	if feed == nil {
		return true
	}
	until := feed.FreshUntil()
	if until.IsZero() {
		return false
	}
	ns := until.UnixNano()
	if ns > last.Load() {
		last.Store(ns)
	}
	return now < ns && untilNow(until) > 0
}

// graceful returns the copy that is still there when the store is not, within
// StaleGrace of when copies were last known to be fresh.
func (m *Manager) graceful(k Key, cause error) (*liveCopy, error) {
	if m.o.StaleGrace == 0 || m.o.Clock().UnixNano() >= m.lastFresh.Load()+int64(m.o.StaleGrace) {
		return nil, cause
	}
	c, ok := m.live.get(k)
	if !ok {
		return nil, cause
	}
	m.metrics.stale.Inc()
	return c, nil
}

// load reads k from the store and keeps a copy, unless it went meanwhile.
func (m *Manager) load(ctx context.Context, k Key, epoch uint64) (*liveCopy, error) {
	s, err := m.o.Store.Get(ctx, k)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, ErrInvalid
	case errors.Is(err, ErrUnavailable):
		return nil, err
	case err != nil:
		// Whatever else a store says, it did not say that there is no session.
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := m.endedWithAll(ctx, s); err != nil {
		return nil, err
	}
	c := newLiveCopy(s)
	if c.liveAt(m.o.Clock().UnixNano()) {
		if m.live.put(k, c, epoch) {
			m.ready(c)
		}
	}
	return c, nil
}
