package kit

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Authority is a folder of `gate certs`.
type Authority struct {
	Dir string
	bin string
}

// NewAuthority makes one.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	bin, err := Gate()
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{Dir: filepath.Join(t.TempDir(), "pki"), bin: bin}
	a.run(t, "ca")
	return a
}

func (a *Authority) run(t testing.TB, verb string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), a.bin, append([]string{"certs", verb, "-dir", a.Dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gate certs %s %s: %v\n%s", verb, strings.Join(args, " "), err, out)
	}
}

// File is the path of one of its files, such as "ca.crt".
func (a *Authority) File(name string) string { return filepath.Join(a.Dir, name) }

// Issue writes NAME.crt and NAME.key, in place of those that were there.
func (a *Authority) Issue(t testing.TB, name string, args ...string) {
	t.Helper()
	a.run(t, "issue", append([]string{"-force", name}, args...)...)
}

// Revoke puts NAME.crt on ca.crl.
func (a *Authority) Revoke(t testing.TB, name string) {
	t.Helper()
	a.run(t, "revoke", a.File(name+".crt"))
}

// IssueFor is Issue of a client's certificate for a time of the test's own,
// which `gate certs` does not do.
func (a *Authority) IssueFor(t testing.TB, name string, from, until time.Time) {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(a.File("ca.crt"), a.File("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(ca.Leaf.PublicKey.(*ecdsa.PublicKey).Curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.File(name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Client is a client's configuration that trusts this authority and shows
// NAME.crt; "" shows none.
func (a *Authority) Client(t testing.TB, name, server string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(a.File("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: server}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		t.Fatal("ca.crt holds no certificate")
	}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.File(name+".crt"), a.File(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		// Whatever authorities the server asks for: what is wrong is for it to see.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}
