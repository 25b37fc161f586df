package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/neosc/gate/test/kit"
)

// netEdge is an Edge whose Envoy reaches the gate over TCP.
type netEdge struct {
	*kit.Edge
	ca                 *kit.Authority
	authz, leash, http string
}

func startNetEdge(t *testing.T) *netEdge {
	t.Helper()
	x := &netEdge{ca: kit.NewAuthority(t)}
	x.ca.Issue(t, "gate", "-dns", "gate.edge.svc", "-server")
	x.ca.Issue(t, "envoy", "-dns", "envoy.edge.svc", "-client")
	for _, p := range []*string{&x.authz, &x.leash, &x.http} {
		*p = fmt.Sprintf("127.0.0.1:%d", kit.FreePort(t))
	}
	x.Edge = kit.StartEdgeOf(t, kit.EdgeOptions{
		Routes:   kit.EdgeRoutes(),
		Upstream: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "upstream") }),
		GateYAML: fmt.Sprintf(`listen:
  {authz: 'tcp://%s', leash: 'tcp://%s', http: 'tcp://%s', admin: admin.sock, ops: "127.0.0.1:0",
   tls: {cert: %[4]s/gate.crt, key: %[4]s/gate.key, client_ca: %[4]s/ca.crt, client_name: 'envoy.edge.svc,spiffe://edge/envoy'}}
envoy: {tls: {cert: %[4]s/envoy.crt, key: %[4]s/envoy.key, ca: %[4]s/ca.crt, name: gate.edge.svc}}
cookie: {domain: .neosc.localhost, insecure: true}
log: {access: access.log}
`, x.authz, x.leash, x.http, x.ca.Dir),
	})
	return x
}

// ask sends one request and returns its status.
func (x *netEdge) ask(t *testing.T, host, path string) int {
	t.Helper()
	resp, err := x.Client(t).Get(x.Origin(host) + path)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// check asks the gate as an Envoy with those credentials would.
func check(t *testing.T, address string, creds credentials.TransportCredentials) error {
	t.Helper()
	c, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = authv3.NewAuthorizationClient(c).Check(ctx, &authv3.CheckRequest{})
	return err
}

func TestWhoMayAskTheGateOverTCPIsPinned(t *testing.T) {
	t.Parallel()
	x := startNetEdge(t)
	gate := x.Serve(t)
	if got := x.ask(t, "portal", "/"); got != 401 {
		t.Errorf("a stranger's request by the edge gives %d, want 401", got)
	}
	if got := x.ask(t, "gate", "/oauth2/sign_in"); got != 200 {
		t.Errorf("the sign-in page by the edge gives %d", got)
	}
	foreign := kit.NewAuthority(t)
	foreign.Issue(t, "envoy", "-dns", "envoy.edge.svc", "-client")
	foreign.Issue(t, "gate.edge.svc") // for File alone
	x.ca.Issue(t, "stranger", "-dns", "app.edge.svc,x.envoy.edge.svc,envoy.edge.svc.example", "-client")
	x.ca.Issue(t, "wild", "-dns", "*.edge.svc", "-client")
	x.ca.Issue(t, "server", "-dns", "envoy.edge.svc", "-server")
	x.ca.Issue(t, "byuri", "-uri", "spiffe://edge/envoy", "-client")
	x.ca.IssueFor(t, "envoy.edge.svc", time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))
	as := func(name string) *tls.Config { return x.ca.Client(t, name, "gate.edge.svc") }
	alien := as("")
	alien.GetClientCertificate = foreign.Client(t, "envoy", "").GetClientCertificate
	old := as("envoy")
	old.MaxVersion = tls.VersionTLS12
	for name, c := range map[string]struct {
		creds credentials.TransportCredentials
		may   bool
	}{
		"Envoy":            {credentials.NewTLS(as("envoy")), true},
		"ByURI":            {credentials.NewTLS(as("byuri")), true},
		"Plain":            {insecure.NewCredentials(), false},
		"NoCertificate":    {credentials.NewTLS(as("")), false},
		"OtherName":        {credentials.NewTLS(as("stranger")), false},
		"Wildcard":         {credentials.NewTLS(as("wild")), false},
		"ForServers":       {credentials.NewTLS(as("server")), false},
		"Expired":          {credentials.NewTLS(as("envoy.edge.svc")), false},
		"OtherAuthority":   {credentials.NewTLS(alien), false},
		"TLSBeforeVersion": {credentials.NewTLS(old), false},
	} {
		err := check(t, x.authz, c.creds)
		if c.may != (err == nil) || !c.may && status.Code(err) != codes.Unavailable {
			t.Errorf("%s: Check gives %v; may it: %v", name, err, c.may)
		}
		if err := hold(t, x.leash, c.creds); c.may == (status.Code(err) == codes.Unavailable) {
			t.Errorf("%s: the leash gives %v; may it: %v", name, err, c.may)
		}
	}
	for name, conf := range map[string]*tls.Config{"NoCertificate": as(""), "OtherName": as("stranger")} {
		tr := &http.Transport{TLSClientConfig: conf}
		if resp, err := (&http.Client{Transport: tr}).Get("https://" + x.http + "/oauth2/sign_in"); err == nil {
			t.Errorf("%s: the pages' listener answers %s", name, resp.Status)
		}
	}
	gate.Terminate(t)
	// Another server of the same authority is not the gate.
	x.ca.Issue(t, "gate", "-dns", "other.edge.svc", "-server")
	x.Serve(t)
	if got := x.ask(t, "portal", "/"); got != 503 {
		t.Errorf("with somebody else in the gate's place a request gives %d, want 503", got)
	}
}

// hold opens a leash's stream.
func hold(t *testing.T, address string, creds credentials.TransportCredentials) error {
	t.Helper()
	c, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	st, err := extprocv3.NewExternalProcessorClient(c).Process(ctx)
	if err != nil {
		return err
	}
	if err := st.Send(&extprocv3.ProcessingRequest{}); err != nil {
		_, err = st.Recv()
		return err
	}
	_, err = st.Recv()
	return err
}

func TestCertificatesBetweenEnvoyAndGateRotateAndGatesSucceedUnderLoad(t *testing.T) {
	t.Parallel()
	x := startNetEdge(t)
	gate := x.Serve(t)
	client := x.Client(t)
	var bad, good atomic.Int64
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, path := range []string{x.Origin("portal") + "/", x.Origin("gate") + "/oauth2/sign_in"} {
					resp, err := client.Get(path)
					if err != nil {
						bad.Add(1)
						t.Errorf("%v", err)
						continue
					}
					_ = resp.Body.Close()
					if s := resp.StatusCode; s == 401 || s == 200 || s == 302 {
						good.Add(1)
					} else if bad.Add(1) < 5 {
						t.Errorf("%s gives %d", path, s)
					}
				}
			}
		})
	}
	seen := func() string {
		c, err := tls.Dial("tcp", x.authz, x.ca.Client(t, "envoy", "gate.edge.svc"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	for range 2 {
		before := seen()
		x.ca.Issue(t, "gate", "-dns", "gate.edge.svc", "-server")
		x.ca.Issue(t, "envoy", "-dns", "envoy.edge.svc", "-client")
		within(t, 30*time.Second, "the gate shows its new certificate", func() bool { return seen() != before })
		next := x.Serve(t, "-replace")
		gate.Ended(t)
		gate = next
	}
	// A certificate whose key does not fit is not taken.
	before := seen()
	if err := os.WriteFile(x.ca.File("gate.key"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if seen() != before {
		t.Error("a broken key changed what the gate shows")
	}
	within(t, 20*time.Second, "the broken key is told of", func() bool { return strings.Contains(gate.Log(), "those before stay in use") })
	close(stop)
	callers.Wait()
	if bad.Load() > 0 || good.Load() < 100 {
		t.Errorf("%d of %d requests failed", bad.Load(), good.Load()+bad.Load())
	}
}
