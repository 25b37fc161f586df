package pki

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"path/filepath"
	"time"
)

// Revoke puts a certificate of this authority on ca.crl, for good.
func (ca *CA) Revoke(cert *x509.Certificate, now time.Time) error {
	if err := cert.CheckSignatureFrom(ca.cert); err != nil {
		return errors.New("it is not of this authority")
	}
	list, number := []x509.RevocationListEntry(nil), big.NewInt(1)
	data, err := readBounded(filepath.Join(ca.dir, FileCRL))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		old, err := ca.parseCRL(data)
		if err != nil {
			return err
		}
		list, number = old.RevokedCertificateEntries, new(big.Int).Add(old.Number, big.NewInt(1))
	}
	for _, e := range list {
		if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
			return nil
		}
	}
	return ca.writeCRL(append(list, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: now}), number, now)
}

func (ca *CA) parseCRL(data []byte) (*x509.RevocationList, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "X509 CRL" {
		return nil, fmt.Errorf("%s is no revocation list in PEM", FileCRL)
	}
	l, err := x509.ParseRevocationList(block.Bytes)
	if err == nil {
		err = l.CheckSignatureFrom(ca.cert)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not this authority's: %w", FileCRL, err)
	}
	if l.Number == nil {
		l.Number = big.NewInt(1)
	}
	return l, nil
}

// writeCRL writes a list that holds as long as the authority: with a shorter
// life everybody would be refused once nobody has renewed it.
func (ca *CA) writeCRL(list []x509.RevocationListEntry, number *big.Int, now time.Time) error {
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: number, ThisUpdate: now.Add(-backdate), NextUpdate: ca.cert.NotAfter, RevokedCertificateEntries: list,
	}, ca.cert, ca.key)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(ca.dir, FileCRL), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o644)
}
