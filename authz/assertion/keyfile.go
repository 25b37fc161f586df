package assertion

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neosc/gate/session"
)

// maxKeyFile bounds a key file in bytes; 16 keys take some 4 KiB.
const maxKeyFile = 64 << 10

// keyFile is the file: YAML, of which JSON is a part.
type keyFile struct {
	Keys []keyEntry `yaml:"keys"`
}

type keyEntry struct {
	ID         string    `yaml:"id"`
	Created    time.Time `yaml:"created,omitempty"`
	ActiveFrom time.Time `yaml:"active_from"`
	// Private is the PKCS#8 form in base64 (RFC 5958).
	Private string `yaml:"private"`
}

// Read reads a key file. Nobody but its owner may be able to: whoever has a key
// is anybody towards every upstream. An error never shows what the file holds;
// fs.ErrNotExist is among the causes.
func Read(path string) (Keys, error) {
	ks, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("assertion keys %s: %w", path, err)
	}
	return ks, nil
}

func read(path string) (Keys, error) {
	b, err := session.ReadPrivate(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	return parse(b)
}

// ReadOrCreate is Read, but writes a file with one random key if there is none.
// Of several processes that do so at once all get the same file.
func ReadOrCreate(path string, now time.Time) (Keys, error) {
	ks, err := Read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ks, err
	}
	if ks, err = (Keys)(nil).With(now, now); err != nil {
		return nil, fmt.Errorf("assertion keys %s: %w", path, err)
	}
	if err := ks.write(path, os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return Read(path)
}

// Write replaces the file at path, whole or not at all. Its owner stays who it
// was: a key that root has added must not be lost to the gate.
func (ks Keys) Write(path string) error { return ks.write(path, os.Rename) }

// write puts the file in place with move, which links or renames.
func (ks Keys) write(path string, move func(from, to string) error) error {
	b, err := ks.encode()
	if err == nil {
		err = replace(path, b, move)
	}
	if err != nil {
		return fmt.Errorf("assertion keys %s: %w", path, err)
	}
	return nil
}

func (ks Keys) encode() ([]byte, error) {
	var f keyFile
	for _, k := range ks {
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			return nil, err
		}
		f.Keys = append(f.Keys, keyEntry{k.ID, k.Created, k.ActiveFrom, base64.StdEncoding.EncodeToString(der)})
	}
	b, err := yaml.Marshal(f)
	return append([]byte("# Keys of the signed identity header; the newest whose active_from is over signs.\n"), b...), err
}

func replace(path string, b []byte, move func(from, to string) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(b)
	if err == nil {
		err = keepOwner(tmp, path)
	}
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := move(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// keepOwner gives tmp the owner of the file that it replaces.
func keepOwner(tmp *os.File, path string) error {
	old, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, ok := old.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return tmp.Chown(int(st.Uid), int(st.Gid))
}

func parse(b []byte) (Keys, error) {
	var f keyFile
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		// Not wrapped: the parser quotes the line, which may hold a key.
		return nil, errors.New("is no key file: want keys: a list of id, active_from and private")
	}
	if len(f.Keys) == 0 || len(f.Keys) > MaxKeys {
		return nil, fmt.Errorf("has %d keys, want 1 to %d", len(f.Keys), MaxKeys)
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
	return ks.sorted(), nil
}

// idCharacters may be in a key's id, which goes into URLs of nobody, but into
// logs and terminals.
const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func (e keyEntry) key() (Key, error) {
	// Not quoted: who mixes the fields up has a key here.
	if e.ID == "" || len(e.ID) > 32 || strings.Trim(e.ID, idCharacters) != "" {
		return Key{}, errors.New("id needs 1 to 32 letters, digits, - or _")
	}
	if e.ActiveFrom.IsZero() {
		return Key{}, fmt.Errorf("%s: active_from is missing", e.ID)
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
	return Key{ID: e.ID, Created: e.Created, ActiveFrom: e.ActiveFrom, private: private}, nil
}
