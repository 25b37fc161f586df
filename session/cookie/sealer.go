package cookie

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/neosc/gate/session"
)

const (
	version = "v1"
	// MaxLength is the longest value that is sealed or looked at. Browsers
	// hold 4 KiB per cookie, but every request carries this one.
	MaxLength = 250

	payloadSize = 16 + 32 + 8
	boxSize     = chacha20poly1305.NonceSizeX + payloadSize + chacha20poly1305.Overhead
)

// boxLength is how many characters boxSize bytes take: 128, no bit left over.
var boxLength = base64.RawURLEncoding.EncodedLen(boxSize)

// Sealer seals and opens the values of one cookie. It implements
// session.Sealer and is safe for concurrent use.
type Sealer struct {
	ring   *Ring
	prefix []byte // of the associated data
}

// New returns a Sealer for the cookie called name. purpose ("session") keeps
// values apart that are sealed under the same ring for other uses. Both are 1
// to 255 bytes.
func New(ring *Ring, name, purpose string) (*Sealer, error) {
	if ring == nil {
		return nil, errors.New("cookie: no key ring")
	}
	s := &Sealer{ring: ring, prefix: []byte("neosc cookie")}
	for _, field := range []string{version, purpose, name} {
		if field == "" || len(field) > 255 {
			return nil, fmt.Errorf("cookie: name and purpose need 1 to 255 bytes, not %d", len(field))
		}
		s.prefix = appendField(s.prefix, field)
	}
	return s, nil
}

// appendField adds a field with its length before it, so that no two lists of
// fields make the same associated data.
func appendField(b []byte, field string) []byte {
	return append(append(b, byte(len(field))), field...)
}

func (s *Sealer) associated(buf []byte, keyID string) []byte {
	return appendField(append(buf, s.prefix...), keyID)
}

// Generation implements session.Sealer: it grows with each change of the ring.
func (s *Sealer) Generation() uint64 { return s.ring.Generation() }

// Seal implements session.Sealer, under the ring's active key. Nonces are
// random: at 192 bits that is safe for any number of values.
func (s *Sealer) Seal(p session.CookiePayload) (string, error) {
	k := s.ring.active()
	var plain [payloadSize]byte
	copy(plain[:16], p.ID[:])
	copy(plain[16:48], p.Secret[:])
	binary.BigEndian.PutUint64(plain[48:], uint64(p.ExpiresAt.Unix()))

	box := make([]byte, chacha20poly1305.NonceSizeX, boxSize)
	_, _ = rand.Read(box)
	box = k.aead.Seal(box, box[:chacha20poly1305.NonceSizeX], plain[:], s.associated(nil, k.id))
	return version + "." + k.id + "." + base64.RawURLEncoding.EncodeToString(box), nil
}

// Open implements session.Sealer. A value of the wrong length is refused
// before anything of it is decoded.
func (s *Sealer) Open(value string) (session.CookiePayload, error) {
	if len(value) > MaxLength {
		return session.CookiePayload{}, session.ErrInvalid
	}
	rest, ok := strings.CutPrefix(value, version+".")
	if !ok {
		return session.CookiePayload{}, session.ErrInvalid
	}
	keyID, text, ok := strings.Cut(rest, ".")
	if !ok || len(text) != boxLength {
		return session.CookiePayload{}, session.ErrInvalid
	}
	k := s.ring.find(keyID)
	if k == nil {
		return session.CookiePayload{}, session.ErrInvalid
	}
	// Decode passes over line breaks, which is why n is looked at: one value
	// is to have one spelling.
	var box [boxSize]byte
	if n, err := base64.RawURLEncoding.Strict().Decode(box[:], []byte(text)); err != nil || n != boxSize {
		return session.CookiePayload{}, session.ErrInvalid
	}
	const nonce = chacha20poly1305.NonceSizeX
	plain, err := k.aead.Open(nil, box[:nonce], box[nonce:], s.associated(nil, k.id))
	if err != nil || len(plain) != payloadSize {
		return session.CookiePayload{}, session.ErrInvalid
	}
	p := session.CookiePayload{
		ID:        session.ID(plain[:16]),
		Secret:    session.Secret(plain[16:48]),
		ExpiresAt: time.Unix(int64(binary.BigEndian.Uint64(plain[48:])), 0).UTC(),
	}
	return p, nil
}
