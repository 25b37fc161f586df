package crlfiles

import (
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/pki"
)

func TestWhoIsOnAListIsRevokedAndStaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := pki.Create(pki.CAOptions{Dir: dir, Name: "people", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	ana, err := ca.Issue(pki.Leaf{Name: "ana", URIs: []string{"spiffe://x/ana"}, Client: true, Lifetime: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	file, missing := filepath.Join(dir, pki.FileCRL), filepath.Join(dir, "none.crl")
	log := slog.New(slog.DiscardHandler)
	l, err := New([]string{file, missing}, log)
	if err != nil {
		t.Fatal(err)
	}
	issuer, serial := string(ana.RawIssuer), hex.EncodeToString(ana.SerialNumber.Bytes())
	revoked := func(want bool, changes uint64) {
		t.Helper()
		if got := l.Revoked(file, issuer, serial); got != want || l.Changes() != changes {
			t.Errorf("revoked %v after %d changes, want %v after %d", got, l.Changes(), want, changes)
		}
	}
	revoked(false, 2)
	if err := l.Problem(); err == nil {
		t.Error("a list that is not there is no problem")
	}
	l.read(false)
	revoked(false, 2)
	if err := ca.Revoke(ana, time.Now()); err != nil {
		t.Fatal(err)
	}
	l.read(false)
	revoked(true, 3)
	if l.Revoked(missing, issuer, serial) || l.Revoked(file, "another", serial) || l.Revoked(file, issuer, "00") {
		t.Error("somebody else is revoked too")
	}
	for name, text := range map[string]string{"Junk": "junk", "NoList": "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "Empty": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l.read(false)
		revoked(true, 3)
		if l.Problem() == nil {
			t.Errorf("%s is no problem", name)
		}
		if _, err := New([]string{file}, log); err == nil {
			t.Errorf("a gate starts with %s for a list", name)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	l.read(false)
	revoked(true, 3)
}
