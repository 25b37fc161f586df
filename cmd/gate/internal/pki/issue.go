package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Leaf says what a certificate is to hold.
type Leaf struct {
	// Name is the subject's common name and the name of the files. Nobody is
	// known by it: what counts are the alternative names.
	Name string
	// DNS, URIs and IPs are the subject's alternative names. Without any the
	// name is one, if it is a DNS name.
	DNS, URIs, IPs []string
	// Server and Client say what it may be used as; neither means both.
	Server, Client bool
	// Lifetime is cut to the authority's.
	Lifetime time.Duration
	// Force replaces files.
	Force bool
	Now   time.Time
}

var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Issue writes NAME.crt and NAME.key (0600) into the authority's folder and
// returns the certificate.
func (ca *CA) Issue(l Leaf) (*x509.Certificate, error) {
	tmpl, err := ca.template(&l)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	// What the authority's own constraints forbid nobody would accept.
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: l.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, fmt.Errorf("nobody would accept it: %w", err)
	}
	base := filepath.Join(ca.dir, l.Name)
	return cert, writePair(base+".crt", base+".key", [][]byte{der}, key, l.Force)
}

func (ca *CA) template(l *Leaf) (*x509.Certificate, error) {
	if !fileName.MatchString(l.Name) || l.Name == "ca" {
		return nil, fmt.Errorf("%q is no name for files: use letters, digits, dots, dashes and _, at most 64, and not ca", l.Name)
	}
	if l.Lifetime < time.Minute {
		return nil, fmt.Errorf("a certificate for %v helps nobody", l.Lifetime)
	}
	if !l.Now.Before(ca.cert.NotAfter) {
		return nil, fmt.Errorf("the authority itself ended at %s; make another with -force", ca.cert.NotAfter.Format(time.RFC3339))
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: l.Name},
		NotBefore: l.Now.Add(-backdate), NotAfter: l.Now.Add(l.Lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if t.NotAfter.After(ca.cert.NotAfter) {
		t.NotAfter = ca.cert.NotAfter
	}
	if l.Server || !l.Client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if l.Client || !l.Server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	return t, l.names(t)
}

// names puts the alternative names into t.
func (l *Leaf) names(t *x509.Certificate) error {
	if len(l.DNS)+len(l.URIs)+len(l.IPs) == 0 {
		if !isDNSName(l.Name) {
			return errors.New("it names nobody; give -dns, -uri or -ip")
		}
		l.DNS = []string{l.Name}
	}
	for _, d := range l.DNS {
		if !isDNSName(strings.TrimPrefix(d, "*.")) {
			return fmt.Errorf("-dns: %q is no DNS name", d)
		}
		t.DNSNames = append(t.DNSNames, strings.ToLower(d))
	}
	for _, s := range l.URIs {
		u, err := url.Parse(s)
		if err != nil || u.Scheme == "" || u.Host == "" || len(s) > 255 {
			return fmt.Errorf("-uri: %q is no URI such as spiffe://cluster/app", s)
		}
		t.URIs = append(t.URIs, u)
	}
	for _, s := range l.IPs {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("-ip: %q is no IP address", s)
		}
		t.IPAddresses = append(t.IPAddresses, a.Unmap().AsSlice())
	}
	return nil
}

var dnsName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

func isDNSName(s string) bool {
	_, err := netip.ParseAddr(s)
	return err != nil && len(s) <= 253 && dnsName.MatchString(s)
}
