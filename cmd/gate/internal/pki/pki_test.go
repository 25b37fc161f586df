package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

func authority(t *testing.T, permitted ...string) (*CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := Create(CAOptions{Dir: dir, Name: "test", Permitted: permitted, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return ca, dir
}

func TestLeavesHoldForTheirNamesAndUsesAlone(t *testing.T) {
	ca, dir := authority(t)
	leaf, err := ca.Issue(Leaf{Name: "envoy", DNS: []string{"envoy.internal"}, Client: true, Lifetime: time.Hour, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	verify := func(name string, use x509.ExtKeyUsage, at time.Time) error {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{use}})
		return err
	}
	if err := verify("envoy.internal", x509.ExtKeyUsageClientAuth, noon); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"another name":    verify("gate.internal", x509.ExtKeyUsageClientAuth, noon),
		"as a server":     verify("envoy.internal", x509.ExtKeyUsageServerAuth, noon),
		"after its hours": verify("envoy.internal", x509.ExtKeyUsageClientAuth, noon.Add(2*time.Hour)),
	} {
		if err == nil {
			t.Errorf("it holds for %s", what)
		}
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "envoy.crt"), filepath.Join(dir, "envoy.key")); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "envoy.key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v (%v)", st.Mode(), err)
	}
}

func TestConstrainedAuthoritiesIssueNothingBeyond(t *testing.T) {
	ca, _ := authority(t, "neosc.localhost")
	if _, err := ca.Issue(Leaf{Name: "evil", DNS: []string{"bank.example"}, Lifetime: time.Hour, Now: noon}); err == nil {
		t.Error("a name beyond the constraint was signed")
	}
	if _, err := ca.Issue(Leaf{Name: "own", DNS: []string{"portal.neosc.localhost"}, Lifetime: time.Hour, Now: noon}); err != nil {
		t.Error(err)
	}
}

func TestNothingIsOverwrittenUnlessForced(t *testing.T) {
	ca, dir := authority(t)
	l := Leaf{Name: "gate", DNS: []string{"gate.internal"}, Lifetime: time.Hour, Now: noon}
	if _, err := ca.Issue(l); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue(l); !errors.Is(err, ErrExists) {
		t.Errorf("a leaf was replaced: %v", err)
	}
	if _, err := Create(CAOptions{Dir: dir, Name: "test", Now: noon}); !errors.Is(err, ErrExists) {
		t.Errorf("the authority was replaced: %v", err)
	}
	l.Force = true
	if _, err := ca.Issue(l); err != nil {
		t.Error(err)
	}
}

func TestRevocationsAddUpAndStrangersAreRefused(t *testing.T) {
	ca, dir := authority(t)
	for _, name := range []string{"one", "two"} {
		leaf, err := ca.Issue(Leaf{Name: name, DNS: []string{name + ".internal"}, Lifetime: time.Hour, Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time changes nothing
			if err := ca.Revoke(leaf, noon); err != nil {
				t.Fatal(err)
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, FileCRL))
	if err != nil {
		t.Fatal(err)
	}
	list, err := ca.parseCRL(data)
	if err != nil || len(list.RevokedCertificateEntries) != 2 {
		t.Fatalf("the list is %v (%v), want both", list, err)
	}
	other, _ := authority(t)
	if _, err := other.parseCRL(data); err == nil {
		t.Error("another authority takes the list")
	}
	if err := other.Revoke(issued(t, ca), noon); err == nil {
		t.Error("another authority revokes its certificate")
	}
}

// issued is a certificate of ca.
func issued(t *testing.T, ca *CA) *x509.Certificate {
	t.Helper()
	c, err := ca.Issue(Leaf{Name: "three", DNS: []string{"three.internal"}, Lifetime: time.Hour, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
