package oidclogin

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/neosc/gate/session"
)

// noteKey names a note: a hash over what it is about, each part with its
// length, so that no two lists of parts meet.
func noteKey(purpose string, parts ...string) session.Key {
	var room [512]byte // on the stack
	b := append(append(append(room[:0], "neosc "...), purpose...), 0)
	for _, p := range parts {
		b = append(append(strconv.AppendInt(b, int64(len(p)), 10), ':'), p...)
	}
	return sha256.Sum256(b)
}

// seal encrypts v under a key derived from a secret that no store has. k binds
// it to the note it is for.
func seal(secret []byte, purpose string, k session.Key, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return sealText(secret, purpose, k, plain)
}

func sealText(secret []byte, purpose string, k session.Key, plain []byte) ([]byte, error) {
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

// sealedSize is how many bytes sealText makes of a text.
func sealedSize(plain []byte) int {
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
