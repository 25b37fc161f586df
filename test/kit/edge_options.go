package kit

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// EdgeOptions are an Edge of a test's own.
type EdgeOptions struct {
	// Routes is the routes file; %[1]d is the edge's port and %[2]s the upstream's
	// address.
	Routes string
	// Upstream answers for it.
	Upstream http.Handler
	// GateYAML is the whole gate.yaml.
	GateYAML string
	// Bootstrap are further flags of gate envoy bootstrap, or of gate envoy files.
	Bootstrap []string
	// Watched has Envoy watch files, in the folder that envoy.files of GateYAML
	// names, for changes of the routes file while it runs.
	Watched bool
	// Discovered has Envoy ask the gate, at the socket that envoy.ads of GateYAML
	// names, for routes and upstreams. It listens only once a gate serves.
	Discovered bool
}

// StartEdgeOf starts upstream and Envoy by the options, and no gate yet.
func StartEdgeOf(t testing.TB, o EdgeOptions) *Edge {
	t.Helper()
	bin, err := Gate()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "edge") // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	up := httptest.NewServer(o.Upstream)
	t.Cleanup(up.Close)
	e := &Edge{Dir: dir, Port: FreePort(t), Bin: bin, config: filepath.Join(dir, "envoy.yaml")}
	e.write(t, "routes.yaml", fmt.Sprintf(o.Routes, e.Port, strings.TrimPrefix(up.URL, "http://")))
	e.write(t, "gate.yaml", o.GateYAML)
	if o.Discovered {
		o.Bootstrap = append(o.Bootstrap, "-ads")
	}
	if o.Watched {
		e.config = strings.TrimSpace(e.Run(t, append([]string{"envoy", "files", "-access-log", e.file("edge.log")}, o.Bootstrap...)...))
	} else {
		e.Run(t, append([]string{"envoy", "bootstrap", "-access-log", e.file("edge.log"), "-o", e.file("envoy.yaml"), "-secrets", e.file("secrets")}, o.Bootstrap...)...)
	}
	e.runEnvoy(t, !o.Discovered)
	return e
}

// EdgeRoutes is the routes file of StartEdge, for EdgeOptions.
func EdgeRoutes() string { return edgeRoutes }
