// Package softkey is an authenticator in software, as far as tests need one: a
// P-256 key that answers what a browser is asked (WebAuthn Level 3), and as
// wrongly as it is told to.
package softkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Flags of authenticator data (WebAuthn Level 3, 6.1).
const (
	Present  = 0x01
	Verified = 0x04
	attested = 0x40
)

// Token is an authenticator with one key, in a browser that shows a page of
// Origin. It is for one goroutine.
type Token struct {
	Key *ecdsa.PrivateKey
	ID  []byte
	// User is the handle that it says by itself; nil: it says none.
	User []byte
	// Count is how often it was used.
	Count uint32
	Flags byte
	// Origin is the page's, RP the relying party.
	Origin, RP string
}

// New returns a token whose user is there and has unlocked it.
func New(origin, rp string) (*Token, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return &Token{Key: k, ID: id, Flags: Present | Verified, Origin: origin, RP: rp}, nil
}

// Challenge reads the one of what a browser is given, which has to ask for an
// unlocked key.
func Challenge(options []byte) (string, error) {
	var o struct {
		Challenge        string `json:"challenge"`
		UserVerification string `json:"userVerification"`
		Selection        struct {
			UserVerification string `json:"userVerification"`
		} `json:"authenticatorSelection"`
	}
	if err := json.Unmarshal(options, &o); err != nil || len(o.Challenge) < 22 { // 16 bytes
		return "", fmt.Errorf("no challenge in %s: %w", options, err)
	}
	if o.UserVerification != "required" && o.Selection.UserVerification != "required" {
		return "", fmt.Errorf("user verification is not required: %s", options)
	}
	return o.Challenge, nil
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (k *Token) clientData(kind, challenge string) ([]byte, error) {
	return json.Marshal(map[string]any{"type": "webauthn." + kind, "challenge": challenge, "origin": k.Origin, "crossOrigin": false})
}

func (k *Token) authData(flags byte, more []byte) []byte {
	rp := sha256.Sum256([]byte(k.RP))
	out := append(rp[:], flags)
	out = binary.BigEndian.AppendUint32(out, k.Count)
	return append(out, more...)
}

// Create answers navigator.credentials.create, without attestation.
func (k *Token) Create(options []byte) ([]byte, error) {
	challenge, err := Challenge(options)
	if err != nil {
		return nil, err
	}
	raw, err := k.Key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	client, err := k.clientData("create", challenge)
	if err != nil {
		return nil, err
	}
	// COSE_Key {1: 2, 3: -7, -1: 1, -2: x, -3: y} (RFC 9053, 7.1.1).
	cose := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}, raw[1:33]...)
	cose = append(append(cose, 0x22, 0x58, 0x20), raw[33:]...)
	more := make([]byte, 16) // the AAGUID of nobody in particular
	more = binary.BigEndian.AppendUint16(more, uint16(len(k.ID)))
	more = append(append(more, k.ID...), cose...)
	data := k.authData(k.Flags|attested, more)
	// {"fmt": "none", "attStmt": {}, "authData": bytes}
	object := append([]byte{0xa3, 0x63}, "fmt"...)
	object = append(append(object, 0x64), "none"...)
	object = append(append(append(object, 0x67), "attStmt"...), 0xa0, 0x68)
	object = append(append(object, "authData"...), 0x58, byte(len(data)))
	object = append(object, data...)
	return k.reply(map[string]string{"clientDataJSON": b64(client), "attestationObject": b64(object)})
}

// Get answers navigator.credentials.get.
func (k *Token) Get(options []byte) ([]byte, error) {
	challenge, err := Challenge(options)
	if err != nil {
		return nil, err
	}
	k.Count++
	client, err := k.clientData("get", challenge)
	if err != nil {
		return nil, err
	}
	data := k.authData(k.Flags, nil)
	h := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), h[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.Key, digest[:])
	if err != nil {
		return nil, err
	}
	response := map[string]string{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
	if k.User != nil {
		response["userHandle"] = b64(k.User)
	}
	return k.reply(response)
}

func (k *Token) reply(response map[string]string) ([]byte, error) {
	return json.Marshal(map[string]any{"id": b64(k.ID), "rawId": b64(k.ID), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response})
}
