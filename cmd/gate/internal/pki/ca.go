package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Names of the files of an authority.
const (
	FileCert = "ca.crt"
	FileKey  = "ca.key"
	FileCRL  = "ca.crl"
)

const (
	// CALifetime is that of an authority.
	CALifetime = 10 * 365 * 24 * time.Hour
	// backdate keeps a machine whose clock is a little late from refusing what
	// was issued just now.
	backdate = 5 * time.Minute
	// maxFile bounds what is read: a certificate with its chain has some KiB, a
	// revocation list 40 bytes for each entry.
	maxFile = 4 << 20
)

// ErrExists is returned for a file that would be overwritten.
var ErrExists = errors.New("it is there already")

// CA is an authority that can sign.
type CA struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

// CAOptions say what an authority is.
type CAOptions struct {
	// Dir is made if it is not there, for its owner alone.
	Dir string
	// Name is the subject's common name.
	Name string
	// Permitted, if any, are the only DNS domains (and those below them) for
	// which certificates of this authority hold (RFC 5280, 4.2.1.10).
	Permitted []string
	// Force replaces an authority: everything it has issued is void then.
	Force bool
	Now   time.Time
}

// Create makes an authority: ca.crt, ca.key (0600) and an empty ca.crl.
func Create(o CAOptions) (*CA, error) {
	for _, d := range o.Permitted {
		if !isDNSName(d) {
			return nil, fmt.Errorf("%q is no DNS domain", d)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: o.Name},
		NotBefore: o.Now.Add(-backdate), NotAfter: o.Now.Add(CALifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		PermittedDNSDomains: o.Permitted, PermittedDNSDomainsCritical: len(o.Permitted) > 0,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	ca := &CA{dir: o.Dir, cert: cert, key: key}
	if err := writePair(filepath.Join(o.Dir, FileCert), filepath.Join(o.Dir, FileKey), [][]byte{der}, key, o.Force); err != nil {
		return nil, err
	}
	return ca, ca.writeCRL(nil, big.NewInt(1), o.Now)
}

// Open reads the authority in dir.
func Open(dir string) (*CA, error) {
	cert, err := readFirst(filepath.Join(dir, FileCert))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no authority (%s); make one with gate certs ca -dir %s", dir, FileCert, dir)
	}
	if err != nil {
		return nil, err
	}
	data, err := readBounded(filepath.Join(dir, FileKey))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", filepath.Join(dir, FileKey))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is no private key in PKCS #8", filepath.Join(dir, FileKey)) // never more: it is a key
	}
	key, ok := parsed.(crypto.Signer)
	public, comparable := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !comparable || !public.Equal(key.Public()) {
		return nil, fmt.Errorf("%s is not the key of %s", FileKey, FileCert)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("%s is no authority's certificate", filepath.Join(dir, FileCert))
	}
	return &CA{dir: dir, cert: cert, key: key}, nil
}

// newSerial is random: serials must not be guessed, nor come twice (CA/Browser
// Forum's Baseline Requirements 7.1 want 64 bits, here are 127).
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return b, err
}
