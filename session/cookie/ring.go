package cookie

import (
	"bytes"
	"cmp"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	maxKeys     = 64
	maxKeyID    = 16
	maxRingFile = 64 << 10
)

// Ring holds the keys: one seals, all open. It is safe for concurrent use.
type Ring struct {
	path       string // "" if it lives in memory only
	now        func() time.Time
	mu         sync.Mutex
	keys       atomic.Pointer[keySet]
	generation atomic.Uint64
}

// keySet is immutable.
type keySet struct {
	active *key // of the file
	// later are the keys with a time of their own after the active one's, by
	// that time: each takes over when it has come.
	later []*key
	byID  map[string]*key
}

// activeAt returns the key that seals at t. Replicas that share a file so
// change at one moment, by when each has read it and can open what the others
// seal.
func (s *keySet) activeAt(t time.Time) *key {
	k := s.active
	for _, x := range s.later {
		if x.from.After(t) {
			break
		}
		k = x
	}
	return k
}

type key struct {
	id     string
	from   time.Time // zero: it is the file's active key that says
	aead   cipher.AEAD
	secret []byte // for deriving others, never for sealing twice
}

// ringFile is the file: YAML, of which JSON is a part.
type ringFile struct {
	Active string    `yaml:"active"`
	Keys   []ringKey `yaml:"keys"`
}

type ringKey struct {
	ID      string    `yaml:"id"`
	Secret  string    `yaml:"secret"`
	Created time.Time `yaml:"created,omitempty"`
	// ActiveFrom is when the key takes over from the active one, if it is later
	// than that one's own.
	ActiveFrom time.Time `yaml:"active_from,omitempty"`
}

// NewRing returns a ring of one random key that lives in memory: its sessions
// end with the process.
func NewRing() (*Ring, error) {
	var f ringFile
	f.Active = f.add(time.Time{}, time.Time{})
	set, err := f.parse()
	if err != nil {
		return nil, fmt.Errorf("cookie key ring: %w", err)
	}
	r := &Ring{now: time.Now}
	r.keys.Store(set)
	return r, nil
}

// add puts a random key into the file and returns its id.
func (f *ringFile) add(created, from time.Time) string {
	var id [4]byte
	var secret [chacha20poly1305.KeySize]byte
	_, _ = rand.Read(id[:])
	_, _ = rand.Read(secret[:])
	k := ringKey{
		ID: hex.EncodeToString(id[:]), Secret: base64.RawURLEncoding.EncodeToString(secret[:]),
		Created: created.UTC().Truncate(time.Second), ActiveFrom: from.UTC().Truncate(time.Second),
	}
	f.Keys = append(f.Keys, k)
	return k.ID
}

func (f *ringFile) parse() (*keySet, error) {
	if len(f.Keys) == 0 || len(f.Keys) > maxKeys {
		return nil, fmt.Errorf("has %d keys, want 1 to %d", len(f.Keys), maxKeys)
	}
	set := &keySet{byID: make(map[string]*key, len(f.Keys))}
	for i, k := range f.Keys {
		if !validKeyID(k.ID) {
			return nil, fmt.Errorf("keys[%d]: id needs 1 to %d letters, digits, - or _", i, maxKeyID)
		}
		if set.byID[k.ID] != nil {
			return nil, fmt.Errorf("keys[%d]: id %q is there twice", i, k.ID)
		}
		// The decoder's own error would print a piece of the secret.
		secret, err := base64.RawURLEncoding.Strict().DecodeString(k.Secret)
		if err != nil || len(secret) != chacha20poly1305.KeySize {
			return nil, fmt.Errorf("keys[%d] (%s): secret is not base64url of %d bytes, without padding", i, k.ID, chacha20poly1305.KeySize)
		}
		aead, err := chacha20poly1305.NewX(secret)
		if err != nil {
			return nil, fmt.Errorf("keys[%d] (%s): %w", i, k.ID, err)
		}
		set.byID[k.ID] = &key{id: k.ID, from: k.ActiveFrom, aead: aead, secret: secret}
	}
	set.active = set.byID[f.Active]
	if set.active == nil {
		return nil, fmt.Errorf("active key %q is not among its keys", f.Active)
	}
	for _, k := range set.byID {
		if k.from.After(set.active.from) {
			set.later = append(set.later, k)
		}
	}
	slices.SortFunc(set.later, func(a, b *key) int { return cmp.Or(a.from.Compare(b.from), strings.Compare(a.id, b.id)) })
	return set, nil
}

func validKeyID(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return id != "" && len(id) <= maxKeyID
}

func readRing(r io.Reader) (f ringFile, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxRingFile+1))
	if err != nil {
		return f, err
	}
	if len(b) > maxRingFile {
		return f, fmt.Errorf("is larger than %d bytes", maxRingFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		// Not wrapped: the parser quotes the line, which may hold a secret.
		return f, errors.New("is not a key ring: want active: ID and keys: a list of id and secret")
	}
	return f, nil
}

func (r *Ring) active() *key { return r.keys.Load().activeAt(r.now()) }

func (r *Ring) find(id string) *key { return r.keys.Load().byID[id] }

// DeriveKeys returns a key of 32 bytes for another use from each key of the
// ring, by HKDF-SHA256 (RFC 5869): the active one's first, to make things with,
// then those of all others that still open, to check them. Replicas with the
// same ring get the same ones, also while one of them has not yet heard of a
// rotation.
func (r *Ring) DeriveKeys(purpose string) ([][]byte, error) {
	active := r.active()
	first, err := active.derive(purpose)
	if err != nil {
		return nil, err
	}
	out := [][]byte{first}
	for _, k := range r.keys.Load().byID {
		if k == active {
			continue
		}
		d, err := k.derive(purpose)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func (k *key) derive(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, k.secret, nil, "neosc gate "+purpose, 32)
}

// Generation grows with each Reload that changed the keys in use.
func (r *Ring) Generation() uint64 { return r.generation.Load() }
