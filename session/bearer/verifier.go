package bearer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// Verifier verifies access tokens. It implements session.TokenVerifier and is
// safe for concurrent use.
type Verifier struct {
	o       Options
	issuers map[string]*issuer // by iss
	asked   []*issuer          // those that are asked about opaque tokens
	metrics *metrics
	stop    context.CancelFunc

	seed   maphash.Seed
	cache  *cache
	nos    *cache // opaque tokens that their provider disowned
	denied *denials
	// headers are those of tokens that were verified.
	headers headers
}

// issuer is a provider with what is known of it.
type issuer struct {
	p     *Provider
	keys  *keys
	asker *introspector // nil if it is not asked
}

// New returns a Verifier, or says which option is wrong. It asks no provider
// before a token needs it: one that is away stops neither the start nor the
// tokens of another. Close it when done.
func New(o Options) (*Verifier, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("bearer tokens: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &Verifier{
		o: o, issuers: make(map[string]*issuer), stop: stop, seed: maphash.MakeSeed(),
		cache: newCache(o.CacheSize, o.CacheBytes), nos: newCache(4096, 8<<20), denied: newDenials(maxDenied),
	}
	client := newClient(o.Client)
	for i := range v.o.Providers {
		p := &v.o.Providers[i]
		meta := &metadata{p: p, client: client, clock: o.Clock}
		x := &issuer{p: p, keys: &keys{p: p, meta: meta, client: client, clock: o.Clock, log: o.Logger, ctx: ctx}}
		if in := p.Introspection; in != nil {
			x.asker = &introspector{p: p, in: in, meta: meta, client: client, clock: o.Clock, ctx: ctx,
				slots: make(chan struct{}, slots), flights: make(map[string]*flight)}
			v.asked = append(v.asked, x)
		}
		v.issuers[p.Issuer] = x
	}
	var err error
	if v.metrics, err = newMetrics(v); err != nil {
		stop()
		return nil, fmt.Errorf("bearer tokens: %w", err)
	}
	for _, x := range v.issuers {
		x.keys.count = v.metrics.fetched(x.p.ID)
		if x.asker != nil {
			x.asker.seen = v.metrics.asked(x.p.ID)
		}
	}
	return v, nil
}

// Close ends the requests to providers that are under way.
func (v *Verifier) Close() { v.stop() }

// Key returns the key of the session that an access token opens. Of a JWT it
// is a hash of what is signed and not of the signature, of which an ECDSA token
// has a second one that anybody can work out: denied by one spelling, it would
// come back by the other.
func Key(token string) session.Key {
	if strings.Count(token, ".") == 2 {
		token = token[:strings.LastIndexByte(token, '.')]
	}
	const purpose = "neosc access token\x00"
	var room [2 << 10]byte // on the stack, and enough for most
	return sha256.Sum256(append(append(room[:0], purpose...), token...))
}

// ByBearer implements session.TokenVerifier. The session's key is Key(token),
// and it ends when the token expires. An error wraps session.ErrInvalid for
// whatever is no access token of a provider's that counts at now, or
// session.ErrUnavailable where that could not be told.
func (v *Verifier) ByBearer(ctx context.Context, token string, now time.Time) (*session.Session, error) {
	hash := v.hash(token)
	ns := now.UnixNano()
	if e := v.cache.get(hash, token); e != nil && ns < e.until {
		if e.generation.Load() == v.denied.generation.Load() &&
			(e.keys == nil || e.keys.set.Load() == e.set.Load() && ns < e.keys.refreshAt.Load()) &&
			v.unmarked(e, ns) {
			v.metrics.cached.Inc()
			return e.session, nil
		}
		if ok, err := v.again(ctx, e, now); ok || err != nil {
			return v.done(e, err, v.metrics.cached)
		}
		v.cache.drop(hash, e)
	}
	e, err := v.fresh(ctx, hash, token, now)
	return v.done(e, err, v.metrics.verified)
}

// tail is how much of a token's end is hashed. That is part of a JWT's signature
// or an opaque token's randomness: hashing all of a kilobyte would take as long
// as the rest of a lookup. Who makes two tokens of one tail, which takes valid
// ones, only makes them push each other out: the whole token is compared.
const tail = 64

func (v *Verifier) hash(token string) uint64 {
	return maphash.String(v.seed, token[max(0, len(token)-tail):])
}

// done counts what came of a token.
func (v *Verifier) done(e *entry, err error, count prometheus.Counter) (*session.Session, error) {
	if err != nil {
		return nil, v.failed(err)
	}
	count.Inc()
	return e.session, nil
}

func (v *Verifier) failed(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		v.metrics.refused.Inc()
		v.metrics.reasons[r].Inc()
	} else {
		v.metrics.unavailable.Inc()
	}
	return err
}

// again looks at what may have changed since a token was verified: what is
// denied, the provider's keys, and since when its user's tokens count. false
// means that it has to be verified anew.
func (v *Verifier) again(ctx context.Context, e *entry, now time.Time) (bool, error) {
	if err := v.judge(ctx, e, now); err != nil {
		return false, err
	}
	if e.keys == nil {
		return true, nil
	}
	if now.UnixNano() < e.keys.refreshAt.Load() && e.keys.set.Load() == e.set.Load() {
		return true, nil
	}
	set, err := e.keys.get(ctx, false)
	if err != nil {
		return false, err
	}
	if !set.has(e.key) {
		return false, nil
	}
	e.set.Store(set)
	return true, nil
}

// judge says whether a token was taken back. Generations are read before what
// they are of: what is denied meanwhile is looked at with the next request.
func (v *Verifier) judge(ctx context.Context, e *entry, now time.Time) error {
	if g := v.denied.generation.Load(); g != e.generation.Load() {
		if v.denied.covers(e, now.UnixNano()) {
			return refuseDenied
		}
		e.generation.Store(g)
	}
	if v.unmarked(e, now.UnixNano()) {
		return nil
	}
	g := v.o.Marks.Generation()
	before, err := v.o.Marks.Latest(ctx, now, session.EveryoneMark(), session.UserMark(e.session.Identity.UserID), session.TokenMark(e.session.Key))
	switch {
	case err != nil:
		return fmt.Errorf("since when tokens count: %w", err)
	case e.issued < before:
		return refuseDenied
	}
	e.marks.Store(g)
	return nil
}

// unmarked reports whether no mark can have changed since the token's were
// looked at.
func (v *Verifier) unmarked(e *entry, now int64) bool {
	return v.o.Marks == nil || e.marks.Load() == v.o.Marks.Generation() && v.o.Marks.Fresh(now)
}
