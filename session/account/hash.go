package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/neosc/gate/session"
)

// Params are Argon2id's costs (RFC 9106).
type Params struct {
	MemoryKiB uint32 // 8 × Threads … 262144 (256 MiB)
	Passes    uint32 // 1 … 16
	Threads   uint8  // 1 … 8
}

// DefaultParams are OWASP's: 19 MiB, two passes, one thread.
func DefaultParams() Params { return Params{MemoryKiB: 19 << 10, Passes: 2, Threads: 1} }

const (
	saltSize = 16
	hashSize = 32
)

// String returns the costs as PHC strings have them.
func (p Params) String() string {
	return fmt.Sprintf("m=%d,t=%d,p=%d", p.MemoryKiB, p.Passes, p.Threads)
}

func (p Params) validate() error {
	if p.Threads < 1 || p.Threads > 8 || p.Passes < 1 || p.Passes > 16 ||
		p.MemoryKiB < 8*uint32(p.Threads) || p.MemoryKiB > 256<<10 {
		return fmt.Errorf("argon2id costs m=%d KiB, t=%d, p=%d are out of range: want m 8p..262144, t 1..16, p 1..8", p.MemoryKiB, p.Passes, p.Threads)
	}
	return nil
}

// hashed is a password hash taken apart.
type hashed struct {
	params Params
	// overSHA256: what was hashed is the hex of the password's SHA-256, since
	// that was all there was when it was imported.
	overSHA256 bool
	salt       []byte
	sum        []byte
}

// String returns the PHC string format that parseHash reads.
func (h hashed) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$%s$v=%d$%s$%s$%s", h.name(), argon2.Version, h.params, b64.EncodeToString(h.salt), b64.EncodeToString(h.sum))
}

const (
	plainName = "argon2id"
	overName  = "argon2id-sha256"
)

func (h hashed) name() string {
	if h.overSHA256 {
		return overName
	}
	return plainName
}

// input is what is hashed of a password.
func (h hashed) input(password string) []byte {
	if h.overSHA256 {
		sum := sha256.Sum256([]byte(password))
		return hex.AppendEncode(nil, sum[:])
	}
	return []byte(normalPassword(password))
}

// parseHash reads a stored hash. Costs beyond Params' ranges are refused: a
// row must not be able to make a sign-in take minutes.
func parseHash(s string) (hashed, error) {
	var h hashed
	if len(s) > 256 {
		return hashed{}, fmt.Errorf("password hash is too long")
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != plainName && parts[1] != overName || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return hashed{}, fmt.Errorf("password hash is not argon2id of version %d", argon2.Version)
	}
	h.overSHA256 = parts[1] == overName
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.params.MemoryKiB, &h.params.Passes, &h.params.Threads); n != 3 || err != nil {
		return hashed{}, fmt.Errorf("password hash has no costs")
	}
	if parts[3] != h.params.String() {
		return hashed{}, fmt.Errorf("password hash has costs in another form than %q", h.params)
	}
	if err := h.params.validate(); err != nil {
		return hashed{}, err
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return hashed{}, fmt.Errorf("password hash has no salt of 8 to 64 bytes")
	}
	if h.sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(h.sum) != hashSize {
		return hashed{}, fmt.Errorf("password hash has no sum of %d bytes", hashSize)
	}
	return h, nil
}

// hasher computes hashes, a bounded number at once: each takes MemoryKiB and a
// core, and whoever posts passwords must not be able to take them all.
type hasher struct {
	params  Params
	places  chan struct{} // those who compute or wait
	running chan struct{}
	dummy   hashed
	compute func(password, salt []byte, p Params) []byte
}

func newHasher(p Params, atOnce, waiting int) *hasher {
	h := &hasher{
		params:  p,
		places:  make(chan struct{}, atOnce+waiting),
		running: make(chan struct{}, atOnce),
		compute: func(password, salt []byte, p Params) []byte {
			return argon2.IDKey(password, salt, p.Passes, p.MemoryKiB, p.Threads, hashSize)
		},
	}
	// No password has this hash: its sum is random, not computed.
	h.dummy = hashed{params: p, salt: make([]byte, saltSize), sum: make([]byte, hashSize)}
	_, _ = rand.Read(h.dummy.salt)
	_, _ = rand.Read(h.dummy.sum)
	return h
}

// enter takes a place to compute, or returns session.ErrBusy at once when all
// places to wait are taken too.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.places <- struct{}{}:
	default:
		return nil, session.ErrBusy
	}
	select {
	case h.running <- struct{}{}:
		return func() { <-h.running; <-h.places }, nil
	case <-ctx.Done():
		<-h.places
		return nil, fmt.Errorf("%w: %w", session.ErrUnavailable, ctx.Err())
	}
}

// verify computes one hash and compares in constant time.
func (h *hasher) verify(password string, want hashed) bool {
	return subtle.ConstantTimeCompare(h.compute(want.input(password), want.salt, want.params), want.sum) == 1
}

// create hashes a password, in its normal form, under the costs of now.
func (h *hasher) create(password string) string {
	return h.hash([]byte(password), false)
}

func (h *hasher) hash(input []byte, overSHA256 bool) string {
	n := hashed{params: h.params, overSHA256: overSHA256, salt: make([]byte, saltSize)}
	_, _ = rand.Read(n.salt)
	n.sum = h.compute(input, n.salt, n.params)
	return n.String()
}
