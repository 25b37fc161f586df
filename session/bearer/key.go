package bearer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Bounds on keys. An RSA check costs with the square of the size, and a small
// modulus can be factored.
const (
	maxKeys   = 64
	minRSABit = 2048
	maxRSABit = 8192
	maxKeyID  = 256
	// sameID is how many keys of one id are tried.
	sameID = 4
)

// algorithm is a JWS algorithm of RFC 7518 or 8037, all asymmetric: there is
// none by which a published key could serve as a shared secret.
type algorithm struct {
	hash  crypto.Hash // 0 for EdDSA
	pss   bool
	curve elliptic.Curve // for ES*
}

var algorithms = map[string]algorithm{
	"RS256": {hash: crypto.SHA256}, "RS384": {hash: crypto.SHA384}, "RS512": {hash: crypto.SHA512},
	"PS256": {hash: crypto.SHA256, pss: true}, "PS384": {hash: crypto.SHA384, pss: true}, "PS512": {hash: crypto.SHA512, pss: true},
	"ES256": {hash: crypto.SHA256, curve: elliptic.P256()},
	"ES384": {hash: crypto.SHA384, curve: elliptic.P384()},
	"ES512": {hash: crypto.SHA512, curve: elliptic.P521()},
	"EdDSA": {},
}

// publicKey is one published key.
type publicKey struct {
	id, alg string // alg is "" if the provider leaves it open
	key     crypto.PublicKey
}

// fits reports whether the key is of the kind that an algorithm needs. It is
// asked for the key that the token names, so that a token cannot choose how a
// key is used.
func (k *publicKey) fits(name string) bool {
	if k.alg != "" && k.alg != name {
		return false
	}
	a := algorithms[name]
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return a.hash != 0 && a.curve == nil
	case *ecdsa.PublicKey:
		return a.curve != nil && a.curve == key.Curve
	case ed25519.PublicKey:
		return a.hash == 0
	}
	return false
}

// verify checks a signature with an algorithm that fits.
func (k *publicKey) verify(name, signed string, sig []byte) bool {
	a := algorithms[name]
	var sum []byte
	switch a.hash {
	case 0:
	case crypto.SHA256:
		var room [2 << 10]byte // on the stack, and enough for most
		h := sha256.Sum256(append(room[:0], signed...))
		sum = h[:]
	default:
		h := a.hash.New()
		h.Write([]byte(signed))
		sum = h.Sum(nil)
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if a.pss {
			return rsa.VerifyPSS(key, a.hash, sum, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(key, a.hash, sum, sig) == nil
	case *ecdsa.PublicKey:
		size := (key.Curve.Params().BitSize + 7) / 8
		if len(sig) != 2*size {
			return false
		}
		return ecdsa.Verify(key, sum, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
	case ed25519.PublicKey:
		return ed25519.Verify(key, []byte(signed), sig)
	}
	return false
}

func (k *publicKey) equal(o *publicKey) bool {
	key, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == o.id && k.alg == o.alg && key.Equal(o.key)
}

// keySet is what a provider publishes. Immutable.
type keySet struct {
	keys    []*publicKey
	skipped int // that were there and cannot be used
}

// parseKeySet reads a JWKS (RFC 7517). A key that is malformed, weak or for
// another use is left out and disables no other: a provider that adds one of a
// kind we do not know must not lock everybody out.
func parseKeySet(body []byte) (*keySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("it is no JWKS: %w", err)
	}
	if doc.Keys == nil {
		return nil, errors.New("it is no JWKS: it has no keys member")
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys, at most %d are read", len(doc.Keys), maxKeys)
	}
	s := &keySet{}
	for _, raw := range doc.Keys {
		if k := parseKey(raw); k != nil {
			s.keys = append(s.keys, k)
		} else {
			s.skipped++
		}
	}
	if len(s.keys) == 0 && s.skipped > 0 {
		return nil, fmt.Errorf("none of its %d keys can be used", s.skipped)
	}
	return s, nil
}

func parseKey(raw json.RawMessage) *publicKey {
	var j jose.JSONWebKey
	if j.UnmarshalJSON(raw) != nil || j.Use != "" && j.Use != "sig" || len(j.KeyID) > maxKeyID {
		return nil
	}
	var ops struct {
		KeyOps []string `json:"key_ops"`
	}
	if json.Unmarshal(raw, &ops) != nil || ops.KeyOps != nil && !slices.Contains(ops.KeyOps, "verify") {
		return nil
	}
	switch key := j.Key.(type) { // symmetric and private ones are of none of these types
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSABit || n > maxRSABit || key.E < 3 || key.E%2 == 0 {
			return nil
		}
	case *ecdsa.PublicKey:
		if _, err := key.ECDH(); err != nil { // not on its curve
			return nil
		}
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return nil
		}
	default:
		return nil
	}
	if _, ok := algorithms[j.Algorithm]; j.Algorithm != "" && !ok {
		return nil
	}
	return &publicKey{id: j.KeyID, alg: j.Algorithm, key: j.Key}
}

// find returns the keys by which a token may have been signed. One that names
// no key is taken only where there is no choice.
func (s *keySet) find(id, alg string) []*publicKey {
	var found []*publicKey
	for _, k := range s.keys {
		if (id == "" || k.id == id) && k.fits(alg) && len(found) < sameID {
			found = append(found, k)
		}
	}
	if id == "" && len(found) > 1 {
		return nil
	}
	return found
}

// has reports whether a key is still published.
func (s *keySet) has(k *publicKey) bool {
	for _, o := range s.keys {
		if o.equal(k) {
			return true
		}
	}
	return false
}
