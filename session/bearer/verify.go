package bearer

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/claims"
)

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
	e.marks.Store(unjudged)
	if err := v.judge(ctx, e, now); err != nil {
		return nil, err
	}
	v.cache.put(hash, e)
	return e, nil
}

// signed verifies a JWT. What is cheap comes before what is dear, and nothing
// is fetched for a token that is refused anyway.
func (v *Verifier) signed(ctx context.Context, token string, now time.Time) (*entry, error) {
	t, err := parseJWT(token, &v.headers)
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
	i := slices.IndexFunc(found, func(k *publicKey) bool { return k.verify(t.alg, t.signed, t.signature) })
	if i < 0 {
		return nil, refuseSignature
	}
	if v.headers.get(t.head) == nil {
		v.headers.put(t.head, t.header)
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
			ExpiresAt: at.expires, IdleExpiresAt: at.expires, Version: version, Unstored: true,
		},
	}
	if !at.issued.IsZero() {
		// Where the provider's clock is ahead, a token would count as issued after
		// a mark that was set when it was here already.
		e.issued = min(at.issued.UnixNano(), now.UnixNano())
	}
	if jti, _ := c["jti"].(string); jti != "" {
		e.id, e.hasID = newTokenID(x.p.Issuer, jti), true
	}
	return e, nil
}
