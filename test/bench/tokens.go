package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
	"github.com/neosc/gate/session/claims"
	"github.com/neosc/gate/test/idp/hostile"
)

// measureBearer holds two promises about access tokens that are JWTs: one that
// was seen before costs what a cookie costs, by way of the manager that both
// come to and turn about; and the first time costs the check of its signature
// and little more. What the check alone costs is taken from the standard library,
// of the same bytes with the same key.
func measureBearer(ctx context.Context, r *report) error {
	world := hostile.Start()
	defer world.Close()
	issuer := world.Issuer("bench")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"})
	if err != nil {
		return err
	}
	issuer.Behave(hostile.Behaviour{Keys: func(good []json.RawMessage) any { return map[string]any{"keys": append(good, public)} }})
	es := issuer.Key()
	ecKey, err := publicKey[*ecdsa.PublicKey](es.Public())
	if err != nil {
		return err
	}
	if err := measureKnown(ctx, r, issuer); err != nil {
		return err
	}
	sign := func(c map[string]any) (string, error) { return es.Sign(c, hostile.AccessType()), nil }
	err = measureFirst(ctx, r, issuer, "es256", sign, func(hash, signature []byte) bool {
		return ecdsa.Verify(ecKey, hash, new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	})
	if err != nil {
		return err
	}
	return measureFirst(ctx, r, issuer, "rs256", func(c map[string]any) (string, error) { return signRSA(key, c) }, func(hash, signature []byte) bool {
		return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, hash, signature) == nil
	})
}

func publicKey[K any](jwk []byte) (K, error) {
	var k jose.JSONWebKey
	err := json.Unmarshal(jwk, &k)
	out, ok := k.Key.(K)
	if err == nil && !ok {
		err = errors.New("a key of another kind")
	}
	return out, err
}

func signRSA(key *rsa.PrivateKey, c map[string]any) (string, error) {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "rsa"))
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	jws, err := s.Sign(b)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// tokenManager is a manager that takes the issuer's tokens as a gate does, with
// the marks that end them in a Redis of its own, and keeps what it has checked
// in cacheBytes.
func tokenManager(ctx context.Context, issuer *hostile.Issuer, cacheBytes int64) (m *session.Manager, closeAll func(), err error) {
	store, closeStore, err := fedStore(ctx)
	if err != nil {
		return nil, nil, err
	}
	closers := []func(){closeStore}
	closeAll = func() {
		for _, c := range slices.Backward(closers) {
			c()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	marks, err := session.NewMarkCopies(session.MarkOptions{Marks: store})
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, marks.Close)
	v, err := bearer.New(bearer.Options{
		Providers: []bearer.Provider{{ID: "bench", Issuer: issuer.URL, Audiences: []string{"api"}, Identity: claims.MapOptions{}}},
		Marks:     marks, CacheBytes: cacheBytes, Logger: quietLog(),
	})
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, v.Close)
	sealer, err := newSealer()
	if err != nil {
		return nil, nil, err
	}
	m, err = session.NewManager(session.Options{Store: store, Sealer: sealer, Marks: marks, Bearer: v, Logger: quietLog()})
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, m.Close)
	return m, closeAll, nil
}

// tokenClaims are those of an access token: as many as a session has.
func tokenClaims(issuer *hostile.Issuer, n int) map[string]any {
	c := manyClaims(n)
	maps.Copy(c, issuer.AccessClaims(map[string]any{"sub": c["sub"], "email": c["email"], "roles": []string{"user"}}))
	return c
}

// known is a way to look somebody up again, and what each of its rounds took.
type known struct {
	lookup func(i int) error
	took   []float64
}

func measureKnown(ctx context.Context, r *report, issuer *hostile.Issuer) error {
	m, closeAll, err := tokenManager(ctx, issuer, 0)
	if err != nil {
		return err
	}
	defer closeAll()
	now := time.Now()
	tokens, cookies := make([]string, lookedUp), make([][]string, lookedUp)
	for i := range tokens {
		tokens[i] = issuer.Key().Sign(tokenClaims(issuer, i), hostile.AccessType())
		s, err := m.ByBearer(ctx, tokens[i], now)
		if err != nil {
			return err
		}
		_, value, err := m.Create(ctx, s.Identity, session.Browser, 0)
		if err != nil {
			return err
		}
		cookies[i] = []string{value}
		if _, err := m.ByCookies(ctx, cookies[i], now); err != nil {
			return err
		}
	}
	ways := []*known{
		{lookup: func(i int) error { _, err := m.ByCookies(ctx, cookies[i%lookedUp], now); return err }},
		{lookup: func(i int) error { _, err := m.ByBearer(ctx, tokens[i%lookedUp], now); return err }},
	}
	for range 60 {
		for _, w := range ways {
			ns, err := bestOf(1, 1<<16, w.lookup)
			if err != nil {
				return err
			}
			w.took = append(w.took, ns)
		}
	}
	r.figure("bearer_known", median(ways[1].took), "ns", 0)
	r.figure("cookie_known", median(ways[0].took), "ns", 0)
	r.ratio("bearer_known/cookie_known", ratios(ways[1].took, ways[0].took), 1.1)
	return nil
}

// firstRest is what the first time may take besides the signature check, in µs.
// Copies of the marks of these few people and tokens are kept after the first
// round: that a gate has to ask Redis for those of somebody new is not in it.
const firstRest = 20

func measureFirst(ctx context.Context, r *report, issuer *hostile.Issuer, name string, sign func(map[string]any) (string, error), check func(hash, signature []byte) bool) error {
	m, closeAll, err := tokenManager(ctx, issuer, 1) // nothing is kept: each time is the first
	if err != nil {
		return err
	}
	defer closeAll()
	const some = 256
	tokens, signed, signatures := make([]string, some), make([][]byte, some), make([][]byte, some)
	for i := range tokens {
		if tokens[i], err = sign(tokenClaims(issuer, i)); err != nil {
			return err
		}
		at := strings.LastIndexByte(tokens[i], '.')
		signed[i] = []byte(tokens[i][:at])
		if signatures[i], err = base64.RawURLEncoding.DecodeString(tokens[i][at+1:]); err != nil {
			return err
		}
	}
	now := time.Now()
	all, alone := math.Inf(1), math.Inf(1)
	for range 40 { // in turns, so that both have the same best moments
		whole, err := bestOf(1, 1024, func(i int) error { _, err := m.ByBearer(ctx, tokens[i%some], now); return err })
		if err != nil {
			return err
		}
		part, err := bestOf(1, 1024, func(i int) error {
			hash := sha256.Sum256(signed[i%some])
			if !check(hash[:], signatures[i%some]) {
				return errors.New("the signature does not hold")
			}
			return nil
		})
		if err != nil {
			return err
		}
		all, alone = min(all, whole/1e3), min(alone, part/1e3)
	}
	r.figure(fmt.Sprintf("bearer_first_%s", name), all, "µs", 0)
	r.figure(fmt.Sprintf("bearer_first_%s_signature", name), alone, "µs", 0)
	r.figure(fmt.Sprintf("bearer_first_%s_rest", name), all-alone, "µs", firstRest)
	return nil
}
