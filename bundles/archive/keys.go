package archive

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// maxKeys bounds how many keys a signature is tried with.
const maxKeys = 16

// maxKeyFile bounds a key file: a set of 16 keys with certificates has less.
const maxKeyFile = 256 << 10

// PublicKey is one that bundles may be signed by.
type PublicKey struct {
	// ID names it: the kid of a JWK, else its file's name without its endings.
	ID string
	// Key is an *ecdsa.PublicKey on P-256, for ES256, or an ed25519.PublicKey, for
	// EdDSA. Which algorithm is used is the key's to say and never the token's.
	Key any
}

// Algorithm is ES256 or EdDSA.
func (k PublicKey) Algorithm() string { return string(algorithmOf(k.Key)) }

func algorithmOf(key any) jose.SignatureAlgorithm {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256
		}
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256
		}
	case ed25519.PublicKey, ed25519.PrivateKey:
		return jose.EdDSA
	}
	return ""
}

var errKeyKind = errors.New("is no key of a kind that signs bundles: those are EC P-256 (ES256) and Ed25519 (EdDSA), as PEM or as JWK")

// ReadPublicKeys reads the keys of some files, each a PEM with one public key or
// certificate, a JWK or a JWK set. A private key is refused: it has no business
// where bundles are verified.
func ReadPublicKeys(files []string) ([]PublicKey, error) {
	var all []PublicKey
	seen := map[string]string{}
	for _, file := range files {
		keys, err := publicKeysOf(file)
		if err != nil {
			return nil, fmt.Errorf("bundle key %s: %w", file, err)
		}
		for _, k := range keys {
			if other, twice := seen[k.ID]; twice {
				return nil, fmt.Errorf("bundle key %s: its id %q is that of a key in %s too", file, k.ID, other)
			}
			seen[k.ID] = file
		}
		all = append(all, keys...)
	}
	if len(all) > maxKeys {
		return nil, fmt.Errorf("%d bundle keys, more than %d", len(all), maxKeys)
	}
	return all, nil
}

func publicKeysOf(file string) ([]PublicKey, error) {
	text, err := readKeyFile(file)
	if err != nil {
		return nil, err
	}
	set, err := jwksOf(text)
	if err != nil {
		return nil, err
	}
	if set == nil {
		key, err := publicPEM(text)
		if err != nil {
			return nil, err
		}
		return []PublicKey{{ID: keyName(file), Key: key}}, nil
	}
	var all []PublicKey
	for _, k := range set {
		if !k.IsPublic() {
			return nil, errors.New("holds a private key; give the public one only")
		}
		if algorithmOf(k.Key) == "" || k.Use != "" && k.Use != "sig" {
			return nil, fmt.Errorf("key %.100q %w", k.KeyID, errKeyKind)
		}
		id := k.KeyID
		if id == "" {
			id = keyName(file)
		}
		all = append(all, PublicKey{ID: id, Key: k.Key})
	}
	return all, nil
}

func publicPEM(text []byte) (key any, err error) {
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errKeyKind
	}
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "PRIVATE KEY", "EC PRIVATE KEY":
		return nil, errors.New("holds a private key; give the public one only")
	default:
		return nil, errKeyKind
	}
	if err != nil || algorithmOf(key) == "" {
		return nil, errKeyKind
	}
	return key, nil
}

// PrivateKey is one to sign bundles with.
type PrivateKey struct {
	// ID is as that of its public key, and goes into signatures as kid.
	ID  string
	key any
}

// Algorithm is ES256 or EdDSA.
func (k PrivateKey) Algorithm() string { return string(algorithmOf(k.key)) }

// ReadPrivateKey reads a key from a file: PEM (PKCS #8 or SEC 1) or one JWK.
func ReadPrivateKey(file string) (PrivateKey, error) {
	k := PrivateKey{ID: keyName(file)}
	text, err := readKeyFile(file)
	if err != nil {
		return k, fmt.Errorf("bundle key: %w", err)
	}
	set, err := jwksOf(text)
	switch {
	case err != nil:
	case len(set) == 1:
		k.key = set[0].Key
		if set[0].KeyID != "" {
			k.ID = set[0].KeyID
		}
	case len(set) > 1:
		err = errors.New("holds more than one key; give one")
	default:
		k.key, err = privatePEM(text)
	}
	if err == nil {
		switch k.key.(type) {
		case *ecdsa.PublicKey, ed25519.PublicKey:
			err = errors.New("holds a public key; signing takes the private one")
		default:
			if algorithmOf(k.key) == "" {
				err = errKeyKind
			}
		}
	}
	if err != nil {
		return k, fmt.Errorf("bundle key %s: %w", file, err)
	}
	return k, nil
}

func privatePEM(text []byte) (key any, err error) {
	block, rest := pem.Decode(text)
	if block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes them before the key
		block, _ = pem.Decode(rest)
	}
	switch {
	case block == nil:
		return nil, errKeyKind
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return nil, errors.New("is encrypted; decrypt it, for example with openssl pkey")
	}
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	default:
		return nil, errKeyKind
	}
	if err != nil {
		return nil, errKeyKind // what the parser says could quote the key
	}
	return key, nil
}

// jwksOf returns the keys of a JWK or a JWK set, none if text is no JSON.
func jwksOf(text []byte) ([]jose.JSONWebKey, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return nil, nil
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errKeyKind
	}
	if set.Keys == nil {
		set.Keys = []json.RawMessage{text}
	}
	if len(set.Keys) == 0 || len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("has %d keys, want 1 to %d", len(set.Keys), maxKeys)
	}
	all := make([]jose.JSONWebKey, len(set.Keys))
	for i, k := range set.Keys {
		if err := all[i].UnmarshalJSON(k); err != nil || !all[i].Valid() {
			return nil, errKeyKind
		}
	}
	return all, nil
}

func readKeyFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = fmt.Errorf("has more than %d bytes", maxKeyFile)
	}
	return text, err
}

// keyName is how a key is called that does not say it itself: release for
// release.pem, release.pub.pem and release.key.
func keyName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	return name
}
