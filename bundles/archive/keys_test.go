package archive_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosc/gate/bundles/archive"
)

// The forms in which openssl writes a key.
func TestPrivateKeysAreReadAsOpenSSLWritesThem(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, headers map[string]string, bytes []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: bytes}))
	}
	parameters := block("EC PARAMETERS", nil, []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	for name, c := range map[string]struct{ text, says string }{
		"Alone":          {block("EC PRIVATE KEY", nil, der), ""},
		"WithParameters": {parameters + block("EC PRIVATE KEY", nil, der), ""},
		"ParametersOnly": {parameters, "is no key of a kind"},
		"Encrypted":      {block("EC PRIVATE KEY", map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, der), "is encrypted; decrypt it"},
		"EncryptedPKCS8": {block("ENCRYPTED PRIVATE KEY", nil, der), "is encrypted; decrypt it"},
	} {
		file := filepath.Join(t.TempDir(), "release.key")
		write(t, file, []byte(c.text))
		k, err := archive.ReadPrivateKey(file)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || err == nil && k.Algorithm() != "ES256" {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}
