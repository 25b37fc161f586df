package session

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of Options.
const (
	DefaultLifetime  = 8 * time.Hour
	DefaultCacheSize = 100_000
	// DefaultAccessLifetime is short: such a token lies where a page's scripts can
	// read it.
	DefaultAccessLifetime = 30 * time.Minute
)

// Options set up a Manager. Store and Sealer are needed.
type Options struct {
	Store  Store
	Sealer Sealer
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Lifetime is the absolute life of a session; 0 means DefaultLifetime.
	Lifetime time.Duration
	// Idle ends a session that was not used for so long; 0 means never before
	// its Lifetime. Use is written down at most once in max(Idle/20, 10 s), so
	// a session may end that much early, never late.
	Idle time.Duration
	// StaleGrace is how long after the store's feed fell silent local copies
	// are still served while the store cannot be asked. Above 0 it forfeits
	// the promise that a revoked session is dead within a second.
	StaleGrace time.Duration
	// CacheSize is the most sessions of which local copies are kept; 0 means
	// DefaultCacheSize. A copy with a dozen claims takes
	// 3 KiB while it is used a lot, and less than 1 KiB else.
	CacheSize int
	// Due, if not nil, is called with a session whose RefreshAt is past and the
	// value that opened it: at most once in 5 s for each local copy. It must
	// not block, for a request waits.
	Due func(s *Session, value string)
	// Bearer verifies the access tokens that are no service sessions of ours;
	// nil means that there are none.
	Bearer TokenVerifier
	// Audit keeps what happens to sessions; nil keeps nothing. A session whose
	// beginning it cannot keep does not begin; an end does not wait for it.
	Audit Auditor
	// Refreshes seals refresh tokens, apart from what Sealer seals; nil means that
	// none are given. AccessLifetime is for how long an access token holds that
	// comes with one; 0 means DefaultAccessLifetime.
	Refreshes      Sealer
	AccessLifetime time.Duration
	// Marks are those by which Bearer goes: they end the tokens of a user, or of
	// everybody, on all replicas. Everybody's also ends the sessions that began
	// before it, those whose sign-in was under way included, at once and however
	// long their records take to be deleted. nil: nothing does.
	Marks *MarkCopies
	// Accounts are asked once a session is stored whether its account is still as
	// it was; nil: nobody is.
	Accounts AccountChecker
	// Grants are what people have for a while: the sessions of a person carry its
	// claims from its start, or their own, to its end. nil: nobody has any.
	Grants Grants
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
	// Housekeeping is how often dead records are swept and live ones counted;
	// 0 means 30 s.
	Housekeeping time.Duration
}

// TokenVerifier verifies access tokens: ErrInvalid or ErrUnavailable if it cannot.
// Safe for concurrent use.
type TokenVerifier interface {
	ByBearer(ctx context.Context, token string, now time.Time) (*Session, error)
}

// UserDenier is a TokenVerifier that can be told to take a user's tokens back:
// those that were issued before an instant. Safe for concurrent use.
type UserDenier interface {
	DenyUser(userID string, before time.Time)
}

// Manager is the life of sessions: it begins them, finds them by their
// credentials, keeps them alive while used and ends them. It implements Issuer
// and authz.Sessions. Safe for concurrent use; Run does the work that is off
// the request path.
type Manager struct {
	o       Options
	log     *slog.Logger
	metrics *metrics
	feed    Feed // nil if the store is this process's own
	stop    func()

	seed   maphash.Seed
	opened *copies[uint64, *openedCookie]
	live   *copies[Key, *liveCopy]
	fills  fills
	// watchers are told of every change that drops a copy.
	watchers watchers
	// unpacked are those of live that are ready to hand out.
	unpacked unpacked

	everyone   []Key // the mark of everybody, if there are marks
	touchEvery time.Duration
	touches    chan touch
	recount    chan struct{}
	until      func(time.Time) time.Duration // from Clock's now; time.Until reads one clock, not two
	lastFresh  atomic.Int64                  // unix ns: the latest FreshUntil seen
}

// NewManager returns a Manager, or says which option is wrong. Close it when
// done.
func NewManager(o Options) (*Manager, error) {
	until := time.Until
	if o.Clock != nil {
		until = func(t time.Time) time.Duration { return t.Sub(o.Clock()) }
	}
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("session manager: %w", err)
	}
	ms, err := newMetrics(o.Registerer, o.MetricPrefix)
	if err != nil {
		return nil, fmt.Errorf("session manager: %w", err)
	}
	m := &Manager{
		o:          o,
		log:        o.Logger,
		metrics:    ms,
		stop:       func() {},
		seed:       maphash.MakeSeed(),
		opened:     newCopies[uint64, *openedCookie](o.CacheSize, func(h uint64) uint64 { return h >> 32 }),
		live:       newCopies[Key, *liveCopy](o.CacheSize, func(k Key) uint64 { return binary.LittleEndian.Uint64(k[:8]) }),
		touchEvery: touchInterval(o.Idle),
		touches:    make(chan touch, touchQueue),
		recount:    make(chan struct{}, 1),
		until:      until,
	}
	m.unpacked.limit = unpackedCopies
	m.fills.flights = make(map[fillKey]*fill)
	if o.Marks != nil {
		m.everyone = []Key{EveryoneMark()}
		told := m.marked
		o.Marks.told.Store(&told)
	}
	if f, ok := o.Store.(Feed); ok {
		m.feed = f
		m.stop = f.Watch(m.changed)
	}
	return m, nil
}

func (o *Options) complete() error {
	switch {
	case o.Store == nil:
		return errors.New("no Store")
	case o.Sealer == nil:
		return errors.New("no Sealer")
	case o.Lifetime < 0 || o.Idle < 0 || o.StaleGrace < 0 || o.Housekeeping < 0 || o.CacheSize < 0 || o.AccessLifetime < 0:
		return errors.New("none of Lifetime, AccessLifetime, Idle, StaleGrace, Housekeeping and CacheSize may be negative")
	case o.CacheSize > 1<<30:
		return fmt.Errorf("a CacheSize of %d is above %d", o.CacheSize, 1<<30)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	if o.AccessLifetime == 0 {
		o.AccessLifetime = DefaultAccessLifetime
	}
	if o.Idle == 0 || o.Idle > o.Lifetime {
		o.Idle = o.Lifetime
	}
	if o.CacheSize == 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.Housekeeping == 0 {
		o.Housekeeping = 30 * time.Second
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	return nil
}

// Close ends the watch on the store's feed. The store stays open: it belongs
// to whoever opened it.
func (m *Manager) Close() { m.stop() }

// changed is told by the feed which record somebody changed.
func (m *Manager) changed(k Key) {
	if k == (Key{}) {
		m.forgetAll()
		return
	}
	m.forget(k)
}

// marked is told that a mark has changed. Copies were looked at when they were
// made, so that lookups need not: they go when everybody's mark moves.
func (m *Manager) marked(k Key, known bool) {
	switch {
	case k == Key{} || k == m.everyone[0]:
		m.forgetAll()
	case known:
		m.watchers.tell(Change{})
	}
}

// Create implements Issuer. The identity is checked (a user id, clean role and group
// names, a bounded size) and its claims are kept as JSON types.
func (m *Manager) Create(ctx context.Context, id Identity, kind Kind, lifetime time.Duration) (*Session, string, error) {
	s, value, _, err := m.Begin(ctx, Draft{Identity: id, Kind: kind, Lifetime: lifetime})
	return s, value, err
}

// Draft is a session to be.
type Draft struct {
	Identity Identity
	// Kind is how its credential is presented: Browser as a cookie, Service and
	// Bearer as an access token.
	Kind Kind
	// Lifetime 0 means the configured one; a longer one is shortened to it.
	Lifetime time.Duration
	// IdPSession is the provider's own session id, or "".
	IdPSession string
	// RefreshAt is that of the session; zero for never.
	RefreshAt time.Time
	// SignIn, if set, is the action of the sign-in by which it begins: the trail
	// keeps both together, which costs one write instead of two.
	SignIn Action
	// Refreshed gives a session of the kind Bearer an access token that holds for
	// Options.AccessLifetime, and refresh tokens (TokensOf), where those can be sealed.
	Refreshed bool
}

// Begin is Create for all that a draft says. It also returns the secret that
// the cookie carries, from which keys for sealed notes are derived.
func (m *Manager) Begin(ctx context.Context, d Draft) (*Session, string, Secret, error) {
	s, value, p, err := m.begin(ctx, d)
	return s, value, p.Secret, err
}

func (m *Manager) begin(ctx context.Context, d Draft) (*Session, string, CookiePayload, error) {
	if d.Kind != Browser && d.Kind != Service && d.Kind != Bearer {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: there is no kind %q", clip(string(d.Kind)))
	}
	if d.Lifetime < 0 {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: lifetime %s is negative", d.Lifetime)
	}
	if d.Lifetime == 0 || d.Lifetime > m.o.Lifetime {
		d.Lifetime = m.o.Lifetime
	}
	now := m.o.Clock().UTC().Truncate(time.Millisecond)
	if d.Identity.AuthenticatedAt.IsZero() {
		d.Identity.AuthenticatedAt = now
	}
	if m.o.Grants != nil { // one that was taken from another session may carry a grant
		d.Identity.Claims = maps.Clone(d.Identity.Claims)
		d.Identity.Ungrant()
	}
	secretID, secret := NewID(), NewSecret()
	draft := &Session{
		Key: secretID.Key(), Kind: d.Kind, Identity: d.Identity, IdPSession: d.IdPSession, RefreshAt: d.RefreshAt, Version: 1,
		CreatedAt: now, ExpiresAt: now.Add(d.Lifetime), IdleExpiresAt: now.Add(min(d.Lifetime, m.o.Idle)),
	}
	if d.Refreshed && d.Kind == Bearer && m.o.Refreshes != nil {
		draft.Rotation = 1
	}
	s, err := m.clean(draft)
	if err != nil {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: %w", err)
	}
	// Sealed first: a record whose cookie could not be made would be a session
	// that nobody holds.
	p := CookiePayload{ID: secretID, Secret: secret, ExpiresAt: s.ExpiresAt}
	if s.Rotation > 0 {
		p.ExpiresAt = earlier(s.ExpiresAt, now.Add(m.o.AccessLifetime))
	}
	value, err := m.o.Sealer.Seal(p)
	if err != nil {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: %w", err)
	}
	if err := m.o.Store.Create(ctx, s); err != nil {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: %w", err)
	}
	if err := m.stillWanted(ctx, s); err != nil {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: %w", err)
	}
	if err := m.stillHolds(ctx, s); err != nil {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: %w", err)
	}
	if s, err = m.beginGranted(ctx, s); err != nil {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: %w", err)
	}
	if err := m.auditBegin(ctx, s, d.SignIn); err != nil {
		return nil, "", CookiePayload{}, fmt.Errorf("create session: %w", err)
	}
	m.metrics.created.WithLabelValues(string(d.Kind)).Inc()
	m.countSoon()
	return s, value, p, nil
}

// OpenSecret returns the key and the secret that a sealed value carries,
// whether or not its session still lives: ErrInvalid if it opens nothing.
func (m *Manager) OpenSecret(value string) (Key, Secret, error) {
	p, err := m.o.Sealer.Open(value)
	if err != nil {
		return Key{}, Secret{}, ErrInvalid
	}
	return p.ID.Key(), p.Secret, nil
}

// clean returns a checked copy of s that shares nothing with it.
func (m *Manager) clean(s *Session) (*Session, error) {
	if s.Identity.UserID == "" {
		return nil, errors.New("the identity has no user id")
	}
	roles, err := CheckNames("role", s.Identity.Roles)
	if err != nil {
		return nil, err
	}
	groups, err := CheckNames("group", s.Identity.Groups)
	if err != nil {
		return nil, err
	}
	c := *s
	c.Identity.Roles, c.Identity.Groups = roles, groups
	c.Identity.AuthenticatedAt = c.Identity.AuthenticatedAt.UTC()
	return Canonical(&c)
}
