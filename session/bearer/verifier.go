package bearer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/claims"
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
	h := sha256.New()
	h.Write([]byte("neosc access token\x00"))
	h.Write([]byte(token))
	return session.Key(h.Sum(nil))
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
			v.o.NotBefore == nil {
			v.metrics.cached.Inc()
			return e.session, nil
		}
		if ok, err := v.again(ctx, e, ns); ok || err != nil {
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
func (v *Verifier) again(ctx context.Context, e *entry, now int64) (bool, error) {
	if err := v.judge(e, now); err != nil {
		return false, err
	}
	if e.keys == nil {
		return true, nil
	}
	if now < e.keys.refreshAt.Load() && e.keys.set.Load() == e.set.Load() {
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

// judge says whether a token was taken back. The generation is read before the
// lists: what is denied meanwhile is looked at with the next request.
func (v *Verifier) judge(e *entry, now int64) error {
	if g := v.denied.generation.Load(); g != e.generation.Load() {
		if v.denied.covers(e, now) {
			return refuseDenied
		}
		e.generation.Store(g)
	}
	if v.o.NotBefore == nil {
		return nil
	}
	t, err := v.o.NotBefore.NotBefore(e.session.Identity.UserID)
	switch {
	case err != nil:
		return fmt.Errorf("%w: since when tokens count: %w", session.ErrUnavailable, err)
	case !t.IsZero() && e.issued < t.UnixNano():
		return refuseDenied
	}
	return nil
}

// unjudged is the generation of an entry that no denial was compared with.
const unjudged = ^uint64(0)

// fresh verifies a token and remembers it.
func (v *Verifier) fresh(ctx context.Context, hash uint64, token string, now time.Time) (*entry, error) {
	if token == "" || len(token) > MaxToken {
		return nil, refuseSize
	}
	var e *entry
	var err error
	if isJWT(token) {
		e, err = v.signed(ctx, token, now)
	} else {
		e, err = v.opaque(ctx, hash, token, now)
	}
	if err != nil {
		return nil, err
	}
	e.generation.Store(unjudged)
	if err := v.judge(e, now.UnixNano()); err != nil {
		return nil, err
	}
	v.cache.put(hash, e)
	return e, nil
}

// signed verifies a JWT. What is cheap comes before what is dear, and nothing
// is fetched for a token that is refused anyway.
func (v *Verifier) signed(ctx context.Context, token string, now time.Time) (*entry, error) {
	t, err := parseJWT(token)
	if err != nil {
		return nil, err
	}
	iss, _ := t.claims["iss"].(string)
	x, ok := v.issuers[iss]
	if !ok {
		return nil, refuseIssuer
	}
	if err := x.p.checkHeader(t); err != nil {
		return nil, err
	}
	if err := checkKind(t); err != nil {
		return nil, err
	}
	at, err := x.p.checkClaims(t.claims, now)
	if err != nil {
		return nil, err
	}
	if at.expires.IsZero() {
		return nil, refuseTime
	}
	found, set, err := x.keys.find(ctx, t.kid, t.alg)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(found, func(k *publicKey) bool { return k.verify(t.alg, []byte(t.signed), t.signature) })
	if i < 0 {
		return nil, refuseSignature
	}
	e, err := v.entry(x, token, t.claims, at, now, 1, t.payloadSize)
	if err != nil {
		return nil, err
	}
	e.until = at.expires.UnixNano()
	e.keys, e.key = x.keys, found[i]
	e.set.Store(set)
	return e, nil
}

// opaque asks about a token that says nothing by itself.
func (v *Verifier) opaque(ctx context.Context, hash uint64, token string, now time.Time) (*entry, error) {
	i := slices.IndexFunc(v.asked, func(x *issuer) bool { return strings.HasPrefix(token, x.p.Introspection.Prefix) })
	switch {
	case i < 0:
		return nil, refuseNoProvider
	case len(token) > maxOpaque:
		return nil, refuseSize
	case strings.ContainsFunc(token, notInToken):
		return nil, refuseForm
	}
	if no := v.nos.get(hash, token); no != nil && now.UnixNano() < no.until {
		return nil, refuseInactive
	}
	x := v.asked[i]
	a, err := x.asker.ask(ctx, token)
	if err != nil {
		return nil, err
	}
	at, err := x.p.checkAnswer(a, now)
	if err == refuseInactive {
		v.nos.put(hash, &entry{token: strings.Clone(token), until: a.asked.Add(noAge).UnixNano(), weight: int64(len(token)) + 256})
	}
	if err != nil {
		return nil, err
	}
	until := a.asked.Add(answerAge)
	if at.expires.IsZero() {
		at.expires = until
	}
	e, err := v.entry(x, token, a.claims, at, now, a.version, a.size)
	if err != nil {
		return nil, err
	}
	e.until = min(until.UnixNano(), at.expires.UnixNano())
	return e, nil
}

// notInToken is what RFC 6750, 2.1 does not allow in a token.
func notInToken(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/=", r))
}

// maxSID bounds a provider's session id.
const maxSID = 256

// entry makes the session of a token. version is another one whenever the
// claims are: what is signed or decided for a session is kept by key and version.
func (v *Verifier) entry(x *issuer, token string, c map[string]any, at times, now time.Time, version uint64, size int) (*entry, error) {
	id, err := claims.Map(c, x.p.Identity)
	if err != nil {
		v.o.Logger.Debug("access token of nobody", "provider", x.p.ID, "error", err)
		return nil, refuseIdentity
	}
	created := at.issued
	if created.IsZero() {
		created = now.UTC()
	}
	if id.AuthenticatedAt.IsZero() || id.AuthenticatedAt.After(created) {
		id.AuthenticatedAt = created
	}
	sid, _ := c["sid"].(string)
	if len(sid) > maxSID {
		sid = ""
	}
	e := &entry{
		token: strings.Clone(token), // a part of some request's buffer
		// Decoded claims take some six times their text.
		weight: int64(len(token)) + 6*int64(size) + 1024,
		session: &session.Session{
			Key: Key(token), Kind: session.Bearer, Identity: id, IdPSession: sid, CreatedAt: created,
			ExpiresAt: at.expires, IdleExpiresAt: at.expires, Version: version,
		},
	}
	if !at.issued.IsZero() {
		e.issued = at.issued.UnixNano()
	}
	if jti, _ := c["jti"].(string); jti != "" {
		e.id, e.hasID = newTokenID(x.p.Issuer, jti), true
	}
	return e, nil
}
