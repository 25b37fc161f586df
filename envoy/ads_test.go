package envoy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

// adsOptions are those of an Envoy that asks.
func (e *edge) adsOptions(f *route.File) envoy.Options {
	o := e.options(f)
	o.ADSSocket = filepath.Join(e.dir, "ads.sock")
	return o
}

// serveADS serves in the place of whatever served before.
func serveADS(t *testing.T, o envoy.Options, refused func(error)) *envoy.ADS {
	t.Helper()
	ads, err := envoy.NewADS(envoy.ADSOptions{Options: o, Logger: slog.New(slog.DiscardHandler), Refused: refused})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", o.ADSSocket+".new")
	if err == nil {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		err = os.Rename(o.ADSSocket+".new", o.ADSSocket)
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = ads.Serve(l) }()
	t.Cleanup(ads.Close)
	return ads
}

// bootstrap writes what Envoy runs on.
func (e *edge) bootstrap(t *testing.T, o envoy.Options) string {
	t.Helper()
	b, err := envoy.Bootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := envoy.RenderYAML(b)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(e.dir, "envoy.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	stricter(t, path)
	return path
}

// startDiscovering runs an Envoy that asks for its routes.
func startDiscovering(t *testing.T, routes string) (*edge, *envoy.ADS) {
	t.Helper()
	e, file := prepareEdge(t, routes, "other.sock")
	o := e.adsOptions(file)
	ads := serveADS(t, o, nil)
	e.run(t, e.bootstrap(t, o), o.AdminSocket)
	return e, ads
}

// eventually waits for what comes without a word.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !yes(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in a minute not: %s", what)
		}
	}
}

// stat reads one counter of Envoy.
func (e *edge) stat(t *testing.T, name string) int {
	t.Helper()
	res, err := adminClient(filepath.Join(e.dir, "admin.sock")).Get("http://envoy/stats?format=json&filter=%5E" + name + "$")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out struct {
		Stats []struct {
			Name  string
			Value int
		}
	}
	body, _ := io.ReadAll(res.Body)
	if err := json.Unmarshal(body, &out); err != nil || len(out.Stats) != 1 {
		t.Fatalf("%s: %v: %s", name, err, body)
	}
	return out.Stats[0].Value
}

// A gate that is restarted, or away for a while, does not disturb Envoy: it goes
// on with its routes, asks anew, keeps its connections to upstreams and its
// streams, and takes the next change.
func TestEnvoyOutlivesDiscovery(t *testing.T) {
	t.Parallel()
	e, first := startDiscovering(t, testRoutes)
	socket := e.openSocket(t, "portal.test")
	f, err := route.Parse("test", inDir(testRoutes, e.dir))
	if err != nil {
		t.Fatal(err)
	}
	made := e.stat(t, "cluster_manager.cluster_added")
	second := serveADS(t, e.adsOptions(f), nil)
	first.Close()
	eventually(t, "Envoy asks the successor", func() bool { return second.Connected() == 1 })
	second.Close()
	if a := e.raw(t, request("GET", "portal.test", "/exact", "alone")); a.status != 200 || e.asked("alone") != "exact" {
		t.Errorf("without discovery Envoy answers %d", a.status)
	}
	next, err := route.Parse("test", inDir(strings.Replace(testRoutes, "/exact", "/exactly", 1), e.dir))
	if err != nil {
		t.Fatal(err)
	}
	third := serveADS(t, e.adsOptions(next), nil)
	try := 0
	eventually(t, "the change made while nobody served is live", func() bool {
		try++
		id := fmt.Sprint("exactly", try)
		e.raw(t, request("GET", "portal.test", "/exactly", id))
		return e.asked(id) == "exact"
	})
	if err := socket.echo(); err != nil {
		t.Errorf("an open WebSocket was cut: %v", err)
	}
	if err := third.Problem(); err != nil {
		t.Error(err)
	}
	if again, changed := e.stat(t, "cluster_manager.cluster_added"), e.stat(t, "cluster_manager.cluster_modified"); again != made || changed != 0 {
		t.Errorf("restarts added %d and changed %d upstreams", again-made, changed)
	}
}

// An Envoy that starts while nobody serves waits, and never serves without its
// routes.
func TestEnvoyWaitsForDiscovery(t *testing.T) {
	t.Parallel()
	e, file := prepareEdge(t, testRoutes)
	o := e.adsOptions(file)
	var serve *envoy.ADS
	e.start(t, e.bootstrap(t, o), o.AdminSocket, func(ready bool) {
		if ready && serve == nil {
			t.Error("Envoy is ready without routes")
		}
		if serve == nil && e.stat(t, "cluster_manager.cds.update_attempt") > 1 {
			serve = serveADS(t, o, nil)
		}
	})
	if a := e.raw(t, request("GET", "portal.test", "/", "first")); a.status != 200 {
		t.Errorf("then it answers %d", a.status)
	}
}

// A gate that starts with routes that Envoy refuses says so, sends them once,
// and Envoy goes on with those before.
func TestRefusalOutsideAChangeIsTold(t *testing.T) {
	t.Parallel()
	e, first := startDiscovering(t, testRoutes)
	bad, err := route.Parse("test", inDir(tooLarge(), e.dir))
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 16)
	second := serveADS(t, e.adsOptions(bad), func(err error) { told <- err })
	first.Close()
	select {
	case err := <-told:
		if !strings.Contains(err.Error(), "program size") {
			t.Errorf("the reason is not told: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("no refusal")
	}
	if second.Problem() == nil {
		t.Error("and then nothing is amiss")
	}
	if err := e.apply(t, second, testRoutes); err != nil {
		t.Fatal(err)
	}
	if err := second.Problem(); err != nil {
		t.Errorf("after the mend: %v", err)
	}
	if n := len(told); n > 1 {
		t.Errorf("refused %d times more", n)
	}
	if a := e.raw(t, request("GET", "portal.test", "/exact", "after")); a.status != 200 || e.asked("after") != "exact" {
		t.Errorf("after the mend: %d", a.status)
	}
}

// Routes are for the gate's own Envoys; one with another listener is served and
// told of.
func TestDiscoveryServesItsOwnEnvoysOnly(t *testing.T) {
	t.Parallel()
	e, file := prepareEdge(t, testRoutes)
	o := e.adsOptions(file)
	ads := serveADS(t, o, nil)
	conn, err := grpc.NewClient("unix:"+o.ADSSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(n *corev3.Node) (*discoveryv3.DiscoveryResponse, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.Send(&discoveryv3.DiscoveryRequest{Node: n, TypeUrl: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", ResourceNames: []string{"edge"}}); err != nil {
			return nil, err
		}
		return s.Recv()
	}
	for name, n := range map[string]*corev3.Node{
		"none": nil, "another id": {Id: "sidecar", Cluster: "edge"}, "another cluster": {Id: "edge", Cluster: "mesh"},
	} {
		if _, err := ask(n); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ads.Problem(); err != nil {
		t.Errorf("who is turned away is no problem: %v", err)
	}
	r, err := ask(&corev3.Node{Id: "edge", Cluster: "edge"})
	if err != nil || len(r.Resources) != 1 || r.VersionInfo != file.Revision() {
		t.Errorf("its own got %v, %v", r, err)
	}
	if err := ads.Problem(); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("an Envoy with another listener: %v", err)
	}
}
