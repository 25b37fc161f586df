package leash

import (
	"crypto/rand"
	"encoding/base64"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/neosc/gate/authz"
)

// purpose is bound to every ticket, besides the key that is made for nothing
// else.
const purpose = "neosc leash ticket 1"

// Tickets seals and opens tickets. Safe for concurrent use.
type Tickets struct {
	cookie string
	keys   func() ([][]byte, error)
}

// NewTickets returns Tickets for requests with the session cookie of a name.
// keys gives keys of 32 bytes that all gates behind an Envoy share: the first
// seals, each of them opens.
func NewTickets(cookie string, keys func() ([][]byte, error)) (*Tickets, error) {
	if cookie == "" || keys == nil {
		return nil, errors.New("leash: tickets need the session cookie's name and keys")
	}
	return &Tickets{cookie: cookie, keys: keys}, nil
}

// Ticket seals what is needed to hold the stream that an allowed request may
// open. It is fit for Envoy's metadata and logs: it tells nothing and, to whoever
// has no access to the leash, opens nothing.
func (t *Tickets) Ticket(r *authz.Request, o *authz.Outcome) (string, error) {
	keys, err := t.keys()
	if err != nil {
		return "", err
	}
	if len(keys) == 0 {
		return "", errors.New("leash: no key to seal tickets with")
	}
	aead, err := chacha20poly1305.NewX(keys[0])
	if err != nil {
		return "", err
	}
	plain := issue(r, o, t.cookie).encode()
	if len(plain) > maxTicket {
		return "", errors.New("leash: the request is too large to be held")
	}
	sealed := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	_, _ = rand.Read(sealed) // never fails
	return base64.RawStdEncoding.EncodeToString(aead.Seal(sealed, sealed, plain, []byte(purpose))), nil
}

// open returns the encoded ticket in a sealed one: one error for whatever is
// wrong with it.
func (t *Tickets) open(sealed string) ([]byte, error) {
	if len(sealed) > 2*maxTicket {
		return nil, errTicket
	}
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil || len(b) < chacha20poly1305.NonceSizeX {
		return nil, errTicket
	}
	keys, err := t.keys()
	if err != nil {
		return nil, err
	}
	nonce, sealedText := b[:chacha20poly1305.NonceSizeX], b[chacha20poly1305.NonceSizeX:]
	for _, k := range keys {
		aead, err := chacha20poly1305.NewX(k)
		if err != nil {
			return nil, err
		}
		if plain, err := aead.Open(nil, nonce, sealedText, []byte(purpose)); err == nil {
			return plain, nil
		}
	}
	return nil, errTicket
}
