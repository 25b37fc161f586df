package assertion

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	maxKeys    = 16
	maxKeyFile = 64 << 10
)

// Lead is how long a new key is published before it signs: longer than
// upstreams may keep the key set (MaxAge), so that none meets a signature whose
// key it has never heard of.
const Lead = 10 * time.Minute

// MaxAge is how long an upstream may keep the key set without asking again.
const MaxAge = 5 * time.Minute

// Key is one signing key.
type Key struct {
	// ID is the JWS header kid.
	ID string
	// ActiveFrom is when it begins to sign; it is published before.
	ActiveFrom time.Time

	private *ecdsa.PrivateKey
}

// Keys are the keys of a file, oldest first. Immutable.
type Keys []Key

// Signing returns the key that signs at t: the newest whose time has come.
// Without any, the oldest signs: a clock that is behind must not stop requests.
func (ks Keys) Signing(t time.Time) Key {
	k := ks[0]
	for _, x := range ks[1:] {
		if !x.ActiveFrom.After(t) {
			k = x
		}
	}
	return k
}

// Prunable returns how many of the oldest keys nothing valid at t can be signed
// with any more: a younger one has been signing for longer than a token lives.
func (ks Keys) Prunable(t time.Time) int {
	for i := len(ks) - 1; i > 0; i-- {
		if !ks[i].ActiveFrom.Add(Life + MaxAge).After(t) {
			return i
		}
	}
	return 0
}

// With returns the keys with a new random one that signs from t on.
func (ks Keys) With(t time.Time) (Keys, error) {
	if len(ks) >= maxKeys {
		return nil, fmt.Errorf("there are %d keys already; prune first (gate keys prune)", len(ks))
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	return append(slices.Clone(ks), Key{ID: hex.EncodeToString(id[:]), ActiveFrom: t.UTC().Truncate(time.Second), private: private}), nil
}

// keyFile is the file: YAML, of which JSON is a part.
type keyFile struct {
	Keys []keyEntry `yaml:"keys"`
}

type keyEntry struct {
	ID         string    `yaml:"id"`
	ActiveFrom time.Time `yaml:"active_from"`
	// Private is the PKCS#8 form in base64 (RFC 5958).
	Private string `yaml:"private"`
}

// Read reads a key file. Nobody but its owner may be able to: whoever has a key
// is anybody towards every upstream.
func Read(path string) (Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("assertion keys: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("assertion keys: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("assertion keys %s: others can read or write it (mode %04o); chmod 600 it", path, st.Mode().Perm())
	}
	if st.Size() > maxKeyFile {
		return nil, fmt.Errorf("assertion keys %s: is larger than %d bytes", path, maxKeyFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("assertion keys: %w", err)
	}
	ks, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("assertion keys %s: %w", path, err)
	}
	return ks, nil
}

// ReadOrCreate is Read, but writes a file with one random key if there is none.
// Of several processes that do so at once all get the same file.
func ReadOrCreate(path string, now time.Time) (Keys, error) {
	ks, err := Read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ks, err
	}
	if ks, err = (Keys)(nil).With(now); err != nil {
		return nil, err
	}
	if err := ks.write(path, os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return Read(path)
}

// Write replaces the file at path, whole or not at all.
func (ks Keys) Write(path string) error { return ks.write(path, os.Rename) }

// write puts the file in place with move, which links or renames.
func (ks Keys) write(path string, move func(from, to string) error) error {
	var f keyFile
	for _, k := range ks {
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			return fmt.Errorf("assertion keys: %w", err)
		}
		f.Keys = append(f.Keys, keyEntry{k.ID, k.ActiveFrom, base64.StdEncoding.EncodeToString(der)})
	}
	b, err := yaml.Marshal(f)
	if err != nil {
		return fmt.Errorf("assertion keys: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("assertion keys: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // mode 0600
	if err != nil {
		return fmt.Errorf("assertion keys: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("assertion keys: %w", err)
	}
	if err := move(tmp.Name(), path); err != nil {
		return fmt.Errorf("assertion keys: %w", err)
	}
	return nil
}

func parse(b []byte) (Keys, error) {
	var f keyFile
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		// Not wrapped: the parser quotes the line, which may hold a key.
		return nil, errors.New("is no key file: want keys: a list of id, active_from and private")
	}
	if len(f.Keys) == 0 || len(f.Keys) > maxKeys {
		return nil, fmt.Errorf("has %d keys, want 1 to %d", len(f.Keys), maxKeys)
	}
	var ks Keys
	for i, e := range f.Keys {
		k, err := e.key()
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		if slices.ContainsFunc(ks, func(x Key) bool { return x.ID == k.ID }) {
			return nil, fmt.Errorf("keys[%d]: id %q is there twice", i, k.ID)
		}
		ks = append(ks, k)
	}
	slices.SortStableFunc(ks, func(a, b Key) int { return a.ActiveFrom.Compare(b.ActiveFrom) })
	return ks, nil
}

func (e keyEntry) key() (Key, error) {
	if e.ID == "" || len(e.ID) > 64 {
		return Key{}, errors.New("id needs 1 to 64 characters")
	}
	der, err := base64.StdEncoding.DecodeString(e.Private)
	if err != nil { // the decoder's own error would print a piece of the key
		return Key{}, fmt.Errorf("%s: private is not base64", e.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || private.Curve != elliptic.P256() {
		return Key{}, fmt.Errorf("%s: private is no PKCS#8 key on the curve P-256", e.ID)
	}
	return Key{ID: e.ID, ActiveFrom: e.ActiveFrom, private: private}, nil
}
