package oidclogin

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Bounds on a provider's keys. An unknown key id makes the gate fetch them
// anew, but whoever makes such ids up gets at most one fetch in keysAgain.
const (
	maxKeys   = 64
	keysFresh = 15 * time.Minute
	keysStale = 24 * time.Hour
	keysAgain = 10 * time.Second
)

// keySet is a provider's public keys. It implements oidc.KeySet.
type keySet struct {
	p *provider

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time
	tried   time.Time
	failed  error
}

func newKeySet(p *provider) *keySet { return &keySet{p: p} }

var errNoKey = errors.New("no key of the provider made this signature")

// VerifySignature implements oidc.KeySet. The token's own jwk, jku and x5u are
// not looked at: the keys are those that the provider's metadata names.
func (s *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	algs := make([]jose.SignatureAlgorithm, len(accepted))
	for i, a := range accepted {
		algs[i] = jose.SignatureAlgorithm(a)
	}
	jws, err := jose.ParseSignedCompact(token, algs)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errors.New("it is not a signed token")
	}
	head := jws.Signatures[0].Header
	for _, anew := range []bool{false, true} {
		keys, err := s.get(ctx, anew)
		if err != nil {
			return nil, err
		}
		for _, k := range candidates(keys, head) {
			if payload, err := jws.Verify(k.Key); err == nil {
				return payload, nil
			}
		}
		if head.KeyID != "" && slices.ContainsFunc(keys, func(k jose.JSONWebKey) bool { return k.KeyID == head.KeyID }) {
			break // the key is known and did not sign this
		}
	}
	return nil, errNoKey
}

// candidates are the keys that may have made a signature: four at most, so
// that a token without a key id costs little.
func candidates(keys []jose.JSONWebKey, head jose.Header) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	for _, k := range keys {
		if len(out) < 4 && (head.KeyID == "" || k.KeyID == head.KeyID) && (k.Algorithm == "" || k.Algorithm == head.Algorithm) {
			out = append(out, k)
		}
	}
	return out
}

// get returns the keys, fetched anew if they are old, or if the caller misses
// one and the last try was a while ago.
func (s *keySet) get(ctx context.Context, anew bool) ([]jose.JSONWebKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.p.clock()
	age := now.Sub(s.fetched)
	want := anew || s.keys == nil || age >= keysFresh
	if want && (s.tried.IsZero() || now.Sub(s.tried) >= keysAgain) {
		s.tried = now
		keys, err := s.p.fetchKeys(context.WithoutCancel(ctx))
		if s.failed = err; err == nil {
			s.keys, s.fetched, age = keys, now, 0
			s.p.metrics.keysFetched(s.p.ID, now)
		}
	}
	if s.keys != nil && age < keysStale {
		return s.keys, nil
	}
	if s.failed == nil {
		s.failed = errors.New("the keys are too old")
	}
	return nil, &awayError{s.failed}
}

// awayError marks what is the provider's absence and not a bad token.
type awayError struct{ err error }

func (e *awayError) Error() string { return e.err.Error() }
func (e *awayError) Unwrap() error { return e.err }

func (p *provider) fetchKeys(ctx context.Context) ([]jose.JSONWebKey, error) {
	m, err := p.discovery.get(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodGet, m.JWKSURI, nil)
	if err != nil {
		return nil, err
	}
	status, body, err := p.ask(ctx, "keys", req)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("keys endpoint: answered %d", status)
	}
	return parseKeys(body)
}

// parseKeys reads each key by itself: a malformed one, or one of a kind that
// is not known here, does not take the others with it.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("keys endpoint: the answer is not a key set")
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if len(keys) < maxKeys && json.Unmarshal(raw, &k) == nil && usable(&k) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("keys endpoint: there is no usable key in the set")
	}
	return keys, nil
}

// usable: a public key for signatures, strong enough. Symmetric and empty keys
// are none.
func usable(k *jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= 2048 && key.N.BitLen() <= 8192
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return k.Valid()
	default:
		return false
	}
}
