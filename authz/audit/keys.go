package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/neosc/gate/session"
)

const (
	// maxKeyFile bounds a key file in bytes; a key takes some 100.
	maxKeyFile = 64 << 10
	keyComment = "# Keys that sign checkpoints of the audit trail, one a line; the last one signs.\n"
)

// Keys sign checkpoints, the last of them, and check them, all of them. Safe for
// concurrent use.
type Keys struct {
	signer note.Signer
	public []string
	known  note.Verifiers
}

// Public returns the public keys, in the form that ParsePublic reads.
func (k *Keys) Public() []string { return k.public }

// Verifiers check what any of the keys signed.
func (k *Keys) Verifiers() note.Verifiers { return k.known }

// ParsePublic returns what checks signatures of public keys, which are in the
// form "name+hash+key" of signed notes.
func ParsePublic(keys []string) (note.Verifiers, error) {
	var all []note.Verifier
	for _, k := range keys {
		v, err := note.NewVerifier(k)
		if err != nil {
			return nil, fmt.Errorf("%q is not a public key of an audit trail: want name+hash+key, as gate audit key prints it", clip(k, maxText))
		}
		all = append(all, v)
	}
	return note.VerifierList(all...), nil
}

// ReadKeys reads a key file: private keys of signed notes, one a line, in the
// order in which they were added. Nobody but its owner may be able to: whoever
// has a key can make a trail anew. An error never shows what the file holds;
// fs.ErrNotExist is among the causes.
func ReadKeys(path string) (*Keys, error) {
	k, err := readKeys(path)
	if err != nil {
		return nil, fmt.Errorf("audit keys %s: %w", path, err)
	}
	return k, nil
}

func readKeys(path string) (*Keys, error) {
	b, err := session.ReadPrivate(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	return parseKeys(b)
}

func parseKeys(b []byte) (*Keys, error) {
	k := new(Keys)
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		signer, err := note.NewSigner(line)
		if err == nil {
			var public string
			if public, err = publicOf(signer.Name(), line); err == nil {
				k.signer, k.public = signer, append(k.public, public)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("line %d is not a private key of a signed note (PRIVATE+KEY+name+hash+key)", n)
		}
	}
	if k.signer == nil {
		return nil, errors.New("holds no key; remove it, and a gate makes a new one when it starts")
	}
	var err error
	k.known, err = ParsePublic(k.public)
	return k, err
}

// publicOf derives a public key: the fifth part of a private one, after PRIVATE,
// KEY, the name and a hash, is a byte for Ed25519 and its seed (RFC 8032).
func publicOf(name, private string) (string, error) {
	parts := strings.SplitN(private, "+", 5)
	if len(parts) != 5 {
		return "", errors.New("malformed key")
	}
	b, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(b) != 1+ed25519.SeedSize {
		return "", errors.New("malformed key")
	}
	public, ok := ed25519.NewKeyFromSeed(b[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("malformed key")
	}
	return note.NewEd25519VerifierKey(name, public)
}

// OpenKeys is ReadKeys, but writes a file with one random key if there is none.
// Of several processes that do so at once all get the same file. The name goes
// into every checkpoint, and tells trails apart: no spaces and no plus.
func OpenKeys(path, name string) (*Keys, error) {
	k, err := ReadKeys(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := createKeys(path, name); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("audit keys %s: %w", path, err)
	}
	return ReadKeys(path)
}

// createKeys puts a new file in place whole: a link fails where another is.
func createKeys(path, name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '+' }) {
		return fmt.Errorf("%q cannot be a trail's name: it has no spaces and no plus", name)
	}
	private, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".audit-keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = io.Copy(f, bytes.NewBufferString(keyComment+private+"\n"))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir has a new name in a folder outlive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
