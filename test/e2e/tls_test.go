package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// tlsRoutes has a host for anybody, one that asks for client certificates and one
// that lets nobody in without.
const tlsRoutes = `gate: https://gate.neosc.localhost:%%[1]d
listen: 127.0.0.1:%%[1]d
tls: {cert: %[1]s/edge.crt, key: %[1]s/edge.key}
hsts: {max_age: 48h, include_subdomains: true}
set_headers: [x-pomerium-*, x-user]
upstreams: {app: "%%[2]s"}
hosts:
- origin: https://portal.neosc.localhost:%%[1]d
  routes: [{name: portal, prefix: /, upstream: app}]
- origin: https://api.neosc.localhost:%%[1]d
  client_certificates: {ca: %[2]s/ca.crt, crl: %[2]s/ca.crl}
  routes: [{name: api, prefix: /, upstream: app}]
- origin: https://admin.neosc.localhost:%%[1]d
  tls: {cert: %[1]s/admin.crt, key: %[1]s/admin.key}
  client_certificates: {ca: %[2]s/ca.crt, crl: %[2]s/ca.crl, required: true}
  routes: [{name: admin, prefix: /admin, upstream: app}, {name: events, prefix: /events, upstream: app, timeout: 0s}]
- origin: https://gate.neosc.localhost:%%[1]d
  routes: [{name: gate, prefix: /, upstream: gate, pass_authorization: true}]
`

const certificatePolicy = `package neosc.authz

default who := "nobody"

who := input.attributes.source.certificate.uri_names[0]

decision := {"allowed": true, "reasons": ["by_test"], "headers": {"x-user": who}} if input.parsed_path[0] != "denied"

decision := {"allowed": false, "reasons": ["by_test"]} if input.parsed_path[0] == "denied"
`

// tlsEdge is an Edge that speaks TLS.
type tlsEdge struct {
	*kit.Edge
	server, clients *kit.Authority
	policy          string // folder
}

func startTLSEdge(t *testing.T) *tlsEdge {
	t.Helper()
	x := &tlsEdge{server: kit.NewAuthority(t), clients: kit.NewAuthority(t)}
	x.server.Issue(t, "edge", "-dns", "*.neosc.localhost", "-server")
	x.server.Issue(t, "admin", "-dns", "admin.neosc.localhost", "-server")
	x.clients.Issue(t, "ana", "-uri", "spiffe://neosc/ana", "-client")
	x.clients.Issue(t, "bob", "-uri", "spiffe://neosc/bob", "-client")
	x.policy = filepath.Join(t.TempDir(), "policy")
	if err := os.MkdirAll(x.policy, 0o700); err != nil {
		t.Fatal(err)
	}
	x.decree(t, certificatePolicy)
	x.Edge = kit.StartEdgeOf(t, kit.EdgeOptions{
		Routes: fmt.Sprintf(tlsRoutes, x.server.Dir, x.clients.Dir),
		Upstream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/events") {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, "data: x\n\n")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return
			}
			fmt.Fprintf(w, "%s xfcc=%q", r.Header.Get("X-User"), r.Header.Get("X-Forwarded-Client-Cert"))
		}),
		GateYAML: fmt.Sprintf(`listen: {authz: a.sock, http: h.sock, admin: admin.sock, ops: "127.0.0.1:0"}
cookie: {domain: .neosc.localhost}
log: {access: access.log}
policy: {path: %s}
`, x.policy),
	})
	return x
}

// decree puts a policy in use, which a running gate sees by itself.
func (x *tlsEdge) decree(t *testing.T, rego string) {
	t.Helper()
	next := filepath.Join(t.TempDir(), "p.rego")
	if err := errors.Join(os.WriteFile(next, []byte(rego), 0o600), os.Rename(next, filepath.Join(x.policy, "p.rego"))); err != nil {
		t.Fatal(err)
	}
}

// client speaks TLS to the edge with a certificate of x.clients ("" for none),
// by HTTP/2 or 1.1, and counts its connections.
func (x *tlsEdge) client(t *testing.T, conf *tls.Config, h2 bool) (*http.Client, *atomic.Int64) {
	t.Helper()
	var dialled atomic.Int64
	conf = conf.Clone()
	conf.ServerName = ""
	tr := &http.Transport{TLSClientConfig: conf, Protocols: new(http.Protocols), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialled.Add(1)
		return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", x.Port))
	}}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: kit.Patient(tr), Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, &dialled
}

// as is the configuration of a client with a certificate of the clients'
// authority, or of another.
func (x *tlsEdge) as(t *testing.T, of *kit.Authority, name string) *tls.Config {
	t.Helper()
	conf := x.server.Client(t, "", "")
	if name != "" {
		conf.GetClientCertificate = of.Client(t, name, "").GetClientCertificate
	}
	return conf
}

func (x *tlsEdge) url(host, path string) string {
	return fmt.Sprintf("https://%s.neosc.localhost:%d%s", host, x.Port, path)
}

// body asks and gives status and body; 0 is a connection that was refused.
func body(t *testing.T, c *http.Client, url string, headers ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestClientCertificatesOpenOrDoNot(t *testing.T) {
	t.Parallel()
	x := startTLSEdge(t)
	x.Serve(t)
	foreign := kit.NewAuthority(t)
	foreign.Issue(t, "ana", "-uri", "spiffe://neosc/ana", "-client")
	x.clients.Issue(t, "revoked", "-uri", "spiffe://neosc/eve", "-client")
	x.clients.Revoke(t, "revoked")
	x.clients.IssueFor(t, "expired", time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))
	x.clients.Issue(t, "forservers", "-dns", "admin.neosc.localhost", "-server")
	ana := `spiffe://neosc/ana xfcc=""`
	within(t, 30*time.Second, "Envoy has read the list of the revoked", func() bool {
		c, _ := x.client(t, x.as(t, x.clients, "revoked"), false)
		status, _, _ := body(t, c, x.url("admin", "/admin"))
		return status == 0
	})
	for name, c := range map[string]struct {
		of           *kit.Authority
		cert         string
		admin, api   int // 0: the connection is refused
		portal       int
		adminBody    string
		apiBody      string
		unseenPortal string
	}{
		"Good":       {x.clients, "ana", 200, 200, 200, ana, ana, `nobody xfcc=""`},
		"None":       {x.clients, "", 0, 200, 200, "", `nobody xfcc=""`, `nobody xfcc=""`},
		"Wrong":      {foreign, "ana", 0, 0, 200, "", "", ""},
		"Expired":    {x.clients, "expired", 0, 0, 200, "", "", ""},
		"Revoked":    {x.clients, "revoked", 0, 0, 200, "", "", ""},
		"ForServers": {x.clients, "forservers", 0, 0, 200, "", "", ""},
	} {
		for _, h2 := range []bool{false, true} {
			client, _ := x.client(t, x.as(t, c.of, c.cert), h2)
			for host, want := range map[string]int{"admin": c.admin, "api": c.api, "portal": c.portal} {
				status, got, _ := body(t, client, x.url(host, "/admin"), "X-Forwarded-Client-Cert", "By=spoof;URI=spiffe://neosc/root")
				wantBody := map[string]string{"admin": c.adminBody, "api": c.apiBody, "portal": c.unseenPortal}[host]
				if status != want || status == 200 && wantBody != "" && got != wantBody {
					t.Errorf("%s (HTTP/2: %v) at %s: %d %q, want %d %q", name, h2, host, status, got, want, wantBody)
				}
			}
		}
	}
	// By the connection of another host nobody has shown a certificate to this one.
	for _, cert := range []string{"", "ana"} {
		client, _ := x.client(t, x.as(t, x.clients, cert), true)
		for _, via := range []string{"portal", "api"} {
			if status, got, _ := body(t, client, x.url(via, "/admin"), "Host", "admin.neosc.localhost"); status != 421 {
				t.Errorf("with certificate %q, by %s's connection: %d %q, want 421", cert, via, status, got)
			}
		}
	}
}

func TestACertificateThatEndsIsRefusedOnTheSameConnection(t *testing.T) {
	t.Parallel()
	x := startTLSEdge(t)
	x.Serve(t)
	for _, h2 := range []bool{false, true} {
		x.clients.IssueFor(t, "short", time.Now().Add(-time.Hour), time.Now().Add(8*time.Second))
		conf := x.as(t, x.clients, "short")
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		client, dialled := x.client(t, conf, h2)
		if status, got, _ := body(t, client, x.url("admin", "/admin")); status != 200 {
			t.Fatalf("a certificate that still holds gives %d %q", status, got)
		}
		within(t, time.Minute, "the certificate's end is seen", func() bool {
			status, _, _ := body(t, client, x.url("admin", "/admin"))
			return status == 401
		})
		if n := dialled.Load(); n != 1 {
			t.Errorf("it took %d connections", n)
		}
		client.CloseIdleConnections()
		if status, got, _ := body(t, client, x.url("admin", "/admin")); status != 0 {
			t.Errorf("on another connection, with the session of before: %d %q", status, got)
		}
	}
}

func TestEveryAnswerSaysThatOnlyTLSIsSpoken(t *testing.T) {
	t.Parallel()
	x := startTLSEdge(t)
	x.Serve(t)
	const want = "max-age=172800; includeSubDomains"
	for _, h2 := range []bool{false, true} {
		c, _ := x.client(t, x.as(t, x.clients, "ana"), h2)
		for what, q := range map[string]struct {
			url     string
			status  int
			headers []string
		}{
			"Upstream":    {x.url("portal", "/"), 200, nil},
			"Denied":      {x.url("portal", "/denied"), 403, nil},
			"Gate":        {x.url("gate", "/oauth2/sign_in"), 200, nil},
			"NoRoute":     {x.url("admin", "/nowhere"), 404, nil},
			"UnknownHost": {x.url("portal", "/"), 404, []string{"Host", "other.neosc.localhost"}},
			"BadPath":     {x.url("portal", "/a%2fb"), 400, nil},
			"BadHeader":   {x.url("portal", "/"), 400, []string{"x_y", "1"}},
		} {
			if h2 && what == "BadHeader" {
				continue // is a stream that ends without an answer
			}
			status, got, h := body(t, c, q.url, q.headers...)
			if status != q.status || h.Get("Strict-Transport-Security") != want || len(h.Values("Strict-Transport-Security")) != 1 {
				t.Errorf("%s (HTTP/2: %v): %d %.60q, Strict-Transport-Security %q", what, h2, status, got, h.Values("Strict-Transport-Security"))
			}
		}
	}
}

func TestTheEdgesCertificateRotatesUnderLoad(t *testing.T) {
	t.Parallel()
	x := startTLSEdge(t)
	x.Serve(t)
	serial := func() string {
		conf := x.server.Client(t, "", "portal.neosc.localhost")
		c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", x.Port), conf)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	stop := make(chan struct{})
	var callers sync.WaitGroup
	var good, bad atomic.Int64
	for i := range 4 {
		callers.Go(func() {
			c, _ := x.client(t, x.as(t, x.clients, ""), i%2 == 0)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if status, got, _ := body(t, c, x.url("portal", "/")); status == 200 {
					good.Add(1)
				} else if bad.Add(1) < 5 {
					t.Errorf("%d %s", status, got)
				}
				if n%20 == 19 {
					c.CloseIdleConnections() // and so handshakes too
				}
			}
		})
	}
	for range 3 {
		before := serial()
		x.server.Issue(t, "edge", "-dns", "*.neosc.localhost", "-server")
		within(t, 30*time.Second, "Envoy shows the new certificate", func() bool { return serial() != before })
	}
	close(stop)
	callers.Wait()
	if bad.Load() > 0 || good.Load() < 100 {
		t.Errorf("%d of %d requests failed", bad.Load(), good.Load()+bad.Load())
	}
}
