package envoy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// Envoy's own certificate towards an upstream is renewed by putting other files
// in its place: the next connection has it, without a restart.
func TestClientCertificateIsRenewedInPlace(t *testing.T) {
	t.Parallel()
	for name, start := range deliveries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t, "ca")
			serverCert, serverKey := ca.issue(t, "server", leaf("inner.test"))
			pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
			if err != nil {
				t.Fatal(err)
			}
			caFile := filepath.Join(ca.dir, "ca.pem")
			pem, err := os.ReadFile(caFile)
			clients := x509.NewCertPool()
			if err != nil || !clients.AppendCertsFromPEM(pem) {
				t.Fatal(err)
			}
			var subject atomic.Value
			addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				subject.Store(r.TLS.PeerCertificates[0].DNSNames[0])
				w.Header().Set("Connection", "close") // the next request is on another
			}), &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert})
			cert, key := ca.issue(t, "client", leaf("before.test"))
			e, _ := start(t, fmt.Sprintf(`
gate: http://gate.test:8080
check_headers: [x-test-id]
upstreams:
  inner: {address: '%s', tls: {ca: %s, san: inner.test, cert: %s, key: %s}}
hosts:
- origin: http://app.test:8080
  routes: [{name: app, prefix: /, upstream: inner}]
- origin: http://gate.test:8080
  routes: [{name: gate, prefix: /, upstream: gate}]
`, addr, caFile, cert, key))
			if a := e.raw(t, request("GET", "app.test", "/", "before")); a.status != 200 || subject.Load() != "before.test" {
				t.Fatalf("before: %d as %v", a.status, subject.Load())
			}
			newCert, newKey := ca.issue(t, "next", leaf("after.test"))
			for from, to := range map[string]string{newCert: cert, newKey: key} {
				if err := os.Rename(from, to); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "Envoy shows its new certificate", func() bool {
				if a := e.raw(t, request("GET", "app.test", "/", "after")); a.status != 200 {
					t.Fatalf("while it changes: %d", a.status)
				}
				return subject.Load() == "after.test"
			})
		})
	}
}
