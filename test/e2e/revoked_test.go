package e2e

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// certified is one who has a certificate, a connection and an event stream on it.
type certified struct {
	client  *http.Client
	dialled *atomic.Int64
	ended   chan struct{} // closed when the stream ends
}

func (x *tlsEdge) certified(t *testing.T, name string, h2 bool) *certified {
	t.Helper()
	c := &certified{ended: make(chan struct{})}
	c.client, c.dialled = x.client(t, x.as(t, x.clients, name), h2)
	if status, got, _ := body(t, c.client, x.url("admin", "/admin")); status != http.StatusOK {
		t.Fatalf("%s: %d %q", name, status, got)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, x.url("admin", "/events"), nil)
	if err != nil {
		t.Fatal(err)
	}
	streaming, _ := x.client(t, x.as(t, x.clients, name), h2)
	streaming.Timeout = 0
	resp, err := streaming.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if _, err := io.ReadFull(resp.Body, make([]byte, len("data: x\n\n"))); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s's stream: %d, %v", name, resp.StatusCode, err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, resp.Body)
		close(c.ended)
	}()
	return c
}

func (c *certified) streams() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// TestARevokedCertificateIsRefusedOnOpenConnections: with the next request, and
// its streams are cut; what others have goes on. Before that a policy on
// certificates judges streams anew by the certificates that opened them.
func TestARevokedCertificateIsRefusedOnOpenConnections(t *testing.T) {
	t.Parallel()
	x := startTLSEdge(t)
	x.clients.Issue(t, "eve", "-uri", "spiffe://neosc/eve", "-client")
	x.Serve(t)
	people := map[string]*certified{}
	for _, name := range []string{"ana", "bob", "eve"} {
		people[name] = x.certified(t, name, false)
		people[name+" over HTTP/2"] = x.certified(t, name, true)
	}
	ends := func(why string, names ...string) {
		t.Helper()
		for _, n := range names {
			select {
			case <-people[n].ended:
			case <-time.After(20 * time.Second):
				t.Fatalf("the stream of %s goes on although %s", n, why)
			}
		}
	}
	x.decree(t, `package neosc.authz

who := input.attributes.source.certificate.uri_names[0]

default decision := {"allowed": false, "reasons": ["by_test"]}

decision := {"allowed": true, "reasons": ["by_test"], "headers": {"x-user": who}} if who in {"spiffe://neosc/ana", "spiffe://neosc/eve"}
`)
	ends("policy lets others in", "bob", "bob over HTTP/2")
	x.clients.Revoke(t, "eve")
	ends("the certificate is revoked", "eve", "eve over HTTP/2")
	for name, p := range people {
		status, got, _ := body(t, p.client, x.url("admin", "/admin"), "Accept", "application/json")
		want, reason := http.StatusOK, "spiffe://neosc/ana"
		switch {
		case strings.HasPrefix(name, "bob"):
			want, reason = http.StatusForbidden, "by_test"
		case strings.HasPrefix(name, "eve"):
			want, reason = http.StatusUnauthorized, "client_certificate_revoked"
		}
		if status != want || !strings.Contains(got, reason) || p.dialled.Load() != 1 {
			t.Errorf("%s: %d %q by %d connections, want %d %q by one", name, status, got, p.dialled.Load(), want, reason)
		}
		if ana := strings.HasPrefix(name, "ana"); p.streams() != ana {
			t.Errorf("%s's stream goes on: %v", name, !ana)
		}
	}
}
