package oidclogin

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/neosc/gate/session"
)

// noteKey names a note: a hash over what it is about, each part with its
// length, so that no two lists of parts meet.
func noteKey(purpose string, parts ...string) session.Key {
	h := sha256.New()
	fmt.Fprintf(h, "neosc %s\x00", purpose)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return session.Key(h.Sum(nil))
}

// seal encrypts v under a key derived from a secret that no store has. k binds
// it to the note it is for.
func seal(secret []byte, purpose string, k session.Key, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, k[:], "neosc "+purpose, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, k[:]), nil
}

// sealedSize is how many bytes seal makes of v.
func sealedSize(v any) int {
	plain, err := json.Marshal(v)
	if err != nil {
		return math.MaxInt
	}
	return chacha20poly1305.NonceSizeX + len(plain) + chacha20poly1305.Overhead
}

var errUnsealed = errors.New("the note does not open")

func unseal(secret []byte, purpose string, k session.Key, sealed []byte, v any) error {
	key, err := hkdf.Key(sha256.New, secret, k[:], "neosc "+purpose, chacha20poly1305.KeySize)
	if err != nil {
		return err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return err
	}
	if len(sealed) < aead.NonceSize() {
		return errUnsealed
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], k[:])
	if err != nil {
		return errUnsealed
	}
	return json.Unmarshal(plain, v)
}

// random returns 256 random bits as 43 characters of base64url, which is also
// what RFC 7636 wants of a verifier.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
