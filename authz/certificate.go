package authz

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/url"
	"sync"
	"time"
)

// CertificateUse says what client certificates are to a route's host.
type CertificateUse uint8

// Uses.
const (
	// CertificateIgnored: the host asks for none, and one that another host's
	// connection has counts for nothing here.
	CertificateIgnored CertificateUse = iota
	// CertificateOptional: policy sees one that is there.
	CertificateOptional
	// CertificateRequired: nobody without one.
	CertificateRequired
)

// Certificate is a client certificate that Envoy has verified against the
// authorities of the request's host.
type Certificate struct {
	// Subject and Issuer are distinguished names (RFC 2253).
	Subject, Issuer string
	// DNSNames and URINames are the subject's alternative names.
	DNSNames, URINames []string
	// Fingerprint is the SHA-256 of the certificate, 64 hex digits.
	Fingerprint string
	// Serial is in hex.
	Serial string
	// RawIssuer is the issuer's name in DER: revocation lists are known by it.
	RawIssuer           string
	NotBefore, NotAfter time.Time
}

// maxCertificate bounds a certificate as Envoy sends it: percent-encoded PEM.
// Client certificates have 1 to 3 KiB.
const maxCertificate = 32 << 10

var errCertificate = errors.New("the client certificate cannot be read")

// parseCertificate reads what Envoy sends as attributes.source.certificate.
func parseCertificate(encoded string) (*Certificate, error) {
	if len(encoded) > maxCertificate {
		return nil, errCertificate
	}
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return nil, errCertificate
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errCertificate
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errCertificate
	}
	sum := sha256.Sum256(c.Raw)
	out := &Certificate{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), DNSNames: c.DNSNames, Fingerprint: hex.EncodeToString(sum[:]),
		Serial: hex.EncodeToString(c.SerialNumber.Bytes()), RawIssuer: string(c.RawIssuer), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
	for _, u := range c.URIs {
		out.URINames = append(out.URINames, u.String())
	}
	return out, nil
}

// certificates remembers what was parsed, by the hash of what Envoy sent: parsing
// costs 30 µs, and a connection sends the same with every request.
type certificates struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]*Certificate
}

// maxCertificates bounds the memory: some 2 KiB each.
const maxCertificates = 4096

func (c *certificates) parse(encoded string) (*Certificate, error) {
	if len(encoded) > maxCertificate {
		return nil, errCertificate
	}
	key := sha256.Sum256([]byte(encoded))
	c.mu.Lock()
	found := c.seen[key]
	c.mu.Unlock()
	if found != nil {
		return found, nil
	}
	parsed, err := parseCertificate(encoded)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || len(c.seen) >= maxCertificates {
		c.seen = map[[sha256.Size]byte]*Certificate{}
	}
	c.seen[key] = parsed
	return parsed, nil
}

// certificate sets r.Certificate, or refuses. Envoy has verified the certificate
// when the connection began: it may have ended or been revoked since. And it was verified for the host that
// the connection was opened to (SNI): over HTTP/2 requests for others come by it
// too, whose authorities are not the same.
func (d *Decider) certificate(r *Request, o *Outcome) bool {
	if r.Route.ClientCertificate == CertificateIgnored {
		return true
	}
	if r.Source.Certificate == "" || r.SNI != r.Host {
		if r.Route.ClientCertificate == CertificateOptional {
			return true
		}
		// Misdirected (RFC 9110, 15.5.20): over a connection of its own, to this
		// host, the client is asked for its certificate.
		return o.refuse(Denied, 421, ReasonCertificateRequired)
	}
	c, err := d.certificates.parse(r.Source.Certificate)
	if err != nil {
		return o.refuse(Denied, 400, ReasonBadRequest)
	}
	if r.Time.Before(c.NotBefore) || r.Time.After(c.NotAfter) {
		return o.refuse(Denied, 401, ReasonCertificateExpired)
	}
	if list := r.Route.RevocationList; list != "" && d.opt.Revoked != nil && d.opt.Revoked(list, c) {
		return o.refuse(Denied, 401, ReasonCertificateRevoked)
	}
	r.Certificate = c
	return true
}
