package redisstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/storetest"
	"github.com/neosc/gate/test/redistest"
)

func replicaOf(t testing.TB, master *redistest.Server) *redistest.Server {
	t.Helper()
	s, err := redistest.TCP("--replicaof", strings.Replace(master.Addr, ":", " ", 1))
	return started(t, s, err)
}

func inStep(t testing.TB, master *redistest.Server) {
	t.Helper()
	storetest.Eventually(t, "the replica is in step", func() bool {
		n, err := master.Do(t.Context(), "WAIT", "1", "10")
		return err == nil && n == ":1"
	})
}

func TestFailoverKeepsSessionsAndRevocations(t *testing.T) {
	t.Parallel()
	master, err := redistest.TCP("--repl-diskless-sync-delay", "0")
	started(t, master, err)
	replica := replicaOf(t, master)
	inStep(t, master)
	sentinel, err := redistest.Sentinel(master)
	started(t, sentinel, err)
	storetest.Eventually(t, "the Sentinel knows the replica", func() bool {
		n, err := sentinel.Do(t.Context(), "SENTINEL", "REPLICAS", "main")
		return err == nil && n == "*1"
	})
	gs := gates(t, sentinel.URL, sentinel.URL)
	_, kept := storetest.Begin(t, gs)
	k, revoked := storetest.Begin(t, gs)
	// It waits for the replica, which may be slow when the machine is busy.
	storetest.Eventually(t, "the replica has the revocation", func() bool { return gs[0].Revoke(t.Context(), k) == nil })
	if err := master.Stop(); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "the replica is master", func() bool {
		n, err := replica.Do(t.Context(), "SET", "test", "1")
		return err == nil && n == "+OK"
	})
	for _, g := range gs {
		storetest.Eventually(t, "the new master is asked", func() bool {
			ok, err := g.Admits(revoked)
			if ok {
				t.Fatal("a revoked session came back")
			}
			return errors.Is(err, session.ErrInvalid)
		})
		storetest.Eventually(t, "the feed is up again", g.Fresh)
		storetest.Eventually(t, "the session is found again", func() bool { ok, _ := g.Admits(kept); return ok })
	}
	// After many failed dials the client library makes the next one a second later.
	storetest.Eventually(t, "the new master takes writes", func() bool { return errors.Is(gs[0].Store.Touch(t.Context(), k, base), session.ErrNotFound) })
	k, v := storetest.Begin(t, gs)
	if err := gs[0].Revoke(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "a revocation by one gate has reached the other", func() bool { ok, _ := gs[1].Admits(v); return !ok })
}

// certificate writes a key and a certificate for 127.0.0.1 and returns their
// files and who trusts them.
func certificate(t testing.TB) (certFile, keyFile string, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AddCert(cert)
	return certFile, keyFile, trust
}

func TestTLSIsSpokenAndChecked(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t)
	s, err := redistest.TLS("--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	started(t, s, err)
	o := options(s.URL)
	_, err = open(t, o).CountLive(t.Context(), base)
	storetest.WantErr(t, err, session.ErrUnavailable) // nobody vouches for the certificate
	o.TLS = &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12}
	st := open(t, o)
	if err := st.Create(t.Context(), sample(1, "ana", time.Now())); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "the feed is up", func() bool { return !st.FreshUntil().IsZero() })
}
