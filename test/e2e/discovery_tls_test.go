package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/neosc/gate/test/kit"
)

// discoveryRoutes has an upstream to change and a route that tells which routes
// are in use.
const discoveryRoutes = `gate: http://gate.neosc.localhost:%[1]d
listen: 127.0.0.1:%[1]d
upstreams:
  app: "%[2]s"
hosts:
- origin: http://portal.neosc.localhost:%[1]d
  routes:
  - {name: portal, prefix: /, upstream: app}
  - {name: version, path: /version, public: true, respond: {status: 200, body: one}}
- origin: http://gate.neosc.localhost:%[1]d
  routes:
  - {name: gate, prefix: /, upstream: gate, pass_authorization: true}
`

// discover asks for routes as an Envoy with those credentials would.
func discover(t *testing.T, address string, creds credentials.TransportCredentials) (*discoveryv3.DiscoveryResponse, error) {
	t.Helper()
	c, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c).StreamAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	err = s.Send(&discoveryv3.DiscoveryRequest{
		Node: &corev3.Node{Id: "edge", Cluster: "edge"}, TypeUrl: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", ResourceNames: []string{"edge"},
	})
	if err != nil && err != io.EOF {
		return nil, err
	}
	return s.Recv()
}

// TestDiscoveryOverTCPIsForPinnedEnvoys: an Envoy on another machine has its
// routes by it, and its refusal of an upstream is told by metric and readiness.
func TestDiscoveryOverTCPIsForPinnedEnvoys(t *testing.T) {
	t.Parallel()
	ca := kit.NewAuthority(t)
	ca.Issue(t, "gate", "-dns", "gate.edge.svc", "-server")
	ca.Issue(t, "envoy", "-dns", "envoy.edge.svc", "-client")
	ca.Issue(t, "stranger", "-dns", "app.edge.svc", "-client")
	address := fmt.Sprintf("127.0.0.1:%d", kit.FreePort(t))
	e := kit.StartEdgeOf(t, kit.EdgeOptions{
		Routes: discoveryRoutes, Discovered: true,
		Upstream: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "upstream") }),
		GateYAML: fmt.Sprintf(`listen:
  {authz: a.sock, http: h.sock, admin: admin.sock, ops: "127.0.0.1:0", ads: 'tcp://%[1]s',
   tls: {cert: %[2]s/gate.crt, key: %[2]s/gate.key, client_ca: %[2]s/ca.crt, client_name: envoy.edge.svc}}
envoy: {tls: {cert: %[2]s/envoy.crt, key: %[2]s/envoy.key, ca: %[2]s/ca.crt, name: gate.edge.svc}}
cookie: {domain: .neosc.localhost, insecure: true}
log: {access: access.log}
`, address, ca.Dir),
	})
	gate := e.Serve(t)
	client := e.Client(t)
	version := func(want string) func() bool {
		return func() bool {
			resp, err := client.Get(e.Origin("portal") + "/version")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			return err == nil && resp.StatusCode == http.StatusOK && string(b) == want
		}
	}
	within(t, time.Minute, "Envoy has its routes", version("one"))
	e.Change(t, "body: one", "body: two")
	within(t, time.Minute, "Envoy has the change", version("two"))
	outcome := func(name string) float64 {
		return kit.Value(kit.Metrics(t, gate.Ops)["pomerium_routes_reload_total"], "outcome", name)
	}
	within(t, time.Minute, "the change is taken", func() bool { return outcome("applied") == 1 })

	// Only Envoy looks whether it can read the authority of an upstream.
	e.Change(t, "upstreams:\n", "upstreams:\n  more: {address: 'app.edge.svc:443', tls: {ca: /nowhere/ca.crt, san: app.edge.svc}}\n")
	within(t, time.Minute, "Envoy's refusal is counted", func() bool { return outcome("refused_by_envoy") == 1 })
	_, ready := kit.Readyz(t, gate.Ops)
	if _, detail := ready.Part("routes"); !strings.Contains(detail, "envoy refuses the change") || !strings.Contains(detail, "/nowhere/ca.crt") {
		t.Errorf("readiness tells of the routes: %q", detail)
	}
	if !version("two")() {
		t.Error("the routes before the refused change are gone")
	}
	e.Change(t, "  more: {address: 'app.edge.svc:443', tls: {ca: /nowhere/ca.crt, san: app.edge.svc}}\n", "")
	e.Change(t, "body: two", "body: three")
	within(t, time.Minute, "Envoy has the change after the mend", version("three"))
	within(t, time.Minute, "nothing is amiss", func() bool {
		_, ready := kit.Readyz(t, gate.Ops)
		_, detail := ready.Part("routes")
		return detail == ""
	})

	for name, c := range map[string]struct {
		creds credentials.TransportCredentials
		may   bool
	}{
		"Envoy":         {credentials.NewTLS(ca.Client(t, "envoy", "gate.edge.svc")), true},
		"Plain":         {insecure.NewCredentials(), false},
		"NoCertificate": {credentials.NewTLS(ca.Client(t, "", "gate.edge.svc")), false},
		"OtherName":     {credentials.NewTLS(ca.Client(t, "stranger", "gate.edge.svc")), false},
	} {
		r, err := discover(t, address, c.creds)
		if c.may != (err == nil && len(r.GetResources()) == 1) || !c.may && status.Code(err) != codes.Unavailable {
			t.Errorf("%s: got %d resources, %v; may it: %v", name, len(r.GetResources()), err, c.may)
		}
	}
}
