package envoy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRetriesOnlyWhatIsSafe(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	flaky := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hits.Add(1)%3 != 0 {
			w.WriteHeader(503)
		}
	})
	addr := serve(t, flaky, nil)
	e := startEdgeWith(t, strings.Replace(minimalRoutes, "EXTRA", "retries: {attempts: 2, on: ['503', reset], per_try_timeout: 5s}, timeout: 12s", 1)+addr+"'}\n")
	for method, want := range map[string]struct {
		status int
		hits   int64
	}{"GET": {200, 3}, "HEAD": {200, 3}, "POST": {503, 1}} {
		hits.Store(0)
		if a := e.raw(t, request(method, "app.test", "/", method)); a.status != want.status || hits.Load() != want.hits {
			t.Errorf("%s gave %d after %d requests, want %d after %d", method, a.status, hits.Load(), want.status, want.hits)
		}
	}
}

const minimalRoutes = `
gate: http://gate.test:8080
check_headers: [x-test-id, x-test-mode]
hosts:
- origin: http://gate.test:8080
  routes:
  - {name: gate, prefix: /, upstream: gate}
- origin: http://app.test:8080
  routes:
  - {name: app, prefix: /, upstream: app, EXTRA}
upstreams: {app: '`

// serve runs an upstream on a TCP port until the test ends.
func serve(t *testing.T, h http.Handler, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return addr
}

func TestUnhealthyEndpointsGetNothing(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	var probes, hits [2]atomic.Int64
	var addrs [2]string
	for i := range addrs {
		addrs[i] = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				probes[i].Add(1)
				if i == 0 && ill.Load() {
					w.WriteHeader(500)
				}
				return
			}
			hits[i].Add(1)
		}), nil)
	}
	text := strings.Replace(minimalRoutes, "EXTRA", "timeout: 9s", 1)
	text = strings.Replace(text, "upstreams: {app: '", "", 1) + fmt.Sprintf("upstreams:\n  app: {address: ['%s', '%s'], health_check: {path: /healthz, interval: 100ms, unhealthy: 1, healthy: 1}}\n", addrs[0], addrs[1])
	e := startEdgeWith(t, text)
	c := &caller{addr: e.addr}
	until := func(what string, done func() bool) {
		t.Helper()
		for i := 0; ; i++ {
			if status := c.ask(t, "app.test", "/", fmt.Sprint(what, i)); status != 200 {
				t.Fatalf("%s: %d", what, status)
			}
			if done() {
				return
			}
			if i > 20_000 {
				t.Fatal("not in 20,000 requests: " + what)
			}
		}
	}
	until("both get requests", func() bool { return hits[0].Load() > 0 && hits[1].Load() > 0 })
	ill.Store(true)
	streak := int64(0)
	until("the ill one gets none", func() bool {
		if h := hits[0].Swap(0); h > 0 {
			streak = 0
		}
		streak++
		return streak > 100
	})
	ill.Store(false)
	until("it comes back", func() bool { return hits[0].Load() > 0 })
	if probes[0].Load() == 0 || probes[1].Load() == 0 {
		t.Error("nobody asked for health")
	}
}

// authority signs certificates for a test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert.Subject.CommonName = name
	a.issue(t, name, a.cert)
	return a
}

// issue signs leaf, by itself if it is the authority's own, writes NAME.pem and
// NAME.key and returns both paths.
func (a *authority) issue(t *testing.T, name string, leaf *x509.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if a.key == nil {
		a.key = key
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func leaf(names ...string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
}

// An upstream must prove to be the one that the file names, and asks Envoy for
// its own certificate.
func TestUpstreamTLSIsPinnedBothWays(t *testing.T) {
	t.Parallel()
	ca, foreign := newAuthority(t, "ca"), newAuthority(t, "foreign")
	caFile := filepath.Join(ca.dir, "ca.pem")
	serverCert, serverKey := ca.issue(t, "server", leaf("inner.test"))
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	pemCA, err := os.ReadFile(caFile)
	if err != nil || !clients.AppendCertsFromPEM(pemCA) {
		t.Fatal(err)
	}
	var sni, subject atomic.Value
	addr := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sni.Store(r.TLS.ServerName)
		subject.Store(r.TLS.PeerCertificates[0].DNSNames[0])
	}), &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert})
	clientCert, clientKey := ca.issue(t, "client", leaf("envoy.test"))
	strangerCert, strangerKey := foreign.issue(t, "client", leaf("envoy.test"))
	mutual := fmt.Sprintf("cert: %s, key: %s", clientCert, clientKey)
	var b strings.Builder
	want := map[string]int{}
	for name, c := range map[string]struct {
		tls    string
		status int
	}{
		"good":          {fmt.Sprintf("{ca: %s, san: inner.test, server_name: inner.test, %s}", caFile, mutual), 200},
		"by-name":       {fmt.Sprintf("{ca: %s, server_name: inner.test, %s}", caFile, mutual), 200},
		"other-name":    {fmt.Sprintf("{ca: %s, san: [other.test, 'spiffe://x/y', 127.0.0.1], %s}", caFile, mutual), 503},
		"by-address":    {fmt.Sprintf("{ca: %s, %s}", caFile, mutual), 503},
		"other-ca":      {fmt.Sprintf("{ca: %s, san: inner.test, %s}", filepath.Join(foreign.dir, "foreign.pem"), mutual), 503},
		"no-client":     {fmt.Sprintf("{ca: %s, san: inner.test}", caFile), 503},
		"wrong-client":  {fmt.Sprintf("{ca: %s, san: inner.test, cert: %s, key: %s}", caFile, strangerCert, strangerKey), 503},
		"plain-instead": {"", 400},
	} {
		want[name] = c.status
		if c.tls == "" {
			fmt.Fprintf(&b, "  %s: '%s'\n", name, addr)
			continue
		}
		fmt.Fprintf(&b, "  %s: {address: '%s', tls: %s}\n", name, addr, c.tls)
	}
	text := "gate: http://gate.test:8080\ncheck_headers: [x-test-id]\nhosts:\n- origin: http://gate.test:8080\n  routes: [{name: gate, prefix: /, upstream: gate}]\n- origin: http://app.test:8080\n  routes:\n"
	for name := range want {
		text += fmt.Sprintf("  - {name: %s, prefix: /%s, upstream: %s}\n", name, name, name)
	}
	e := startEdgeWith(t, text+"upstreams:\n"+b.String())
	for name, status := range want {
		if a := e.raw(t, request("GET", "app.test", "/"+name, name)); a.status != status {
			t.Errorf("%s gave %d %q, want %d", name, a.status, a.body, status)
		}
	}
	if sni.Load() != "inner.test" || subject.Load() != "envoy.test" {
		t.Errorf("the upstream was asked for %v by %v", sni.Load(), subject.Load())
	}
}
