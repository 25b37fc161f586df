package oidclogin

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxKeyFile bounds a private key file.
const maxKeyFile = 64 << 10

// ReadPrivateKey reads the key of private_key_jwt: PEM (PKCS #1, PKCS #8 or
// SEC 1), or the JSON file that Zitadel hands out, which also has the key's id.
// A file that others can read or write is refused.
func ReadPrivateKey(path string) (key crypto.Signer, id string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, "", fmt.Errorf("%s has mode %#o, so others can read it; run: chmod 600 %s", path, st.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, "", err
	}
	var zitadel struct {
		KeyID string `json:"keyId"`
		Key   string `json:"key"`
	}
	if json.Unmarshal(b, &zitadel) == nil && zitadel.Key != "" {
		b, id = []byte(zitadel.Key), zitadel.KeyID
	}
	if key, err = parsePrivateKey(b); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return key, id, nil
}

func parsePrivateKey(b []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("it is neither PEM nor Zitadel's JSON")
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if s, ok := k.(crypto.Signer); ok && err == nil {
		return s, nil
	}
	return nil, errors.New("it has no private key that can sign")
}
