package envoy

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/neosc/gate/authz/route"
)

// Names of the clusters that lead to the gate. No upstream can have them.
const (
	clusterAuthz = "authz"
	clusterGate  = route.GateUpstream
	clusterADS   = "ads"
)

// nodeCluster and nodeListener are what an Envoy says of itself: that it is one
// of the gate's, and which settings its listener was made from.
const (
	nodeCluster  = "edge"
	nodeListener = "listener"
)

// maxSocketPath is what fits sockaddr_un.sun_path (unix(7)); Envoy refuses
// a longer one.
const maxSocketPath = 107

// Options say how the routes file becomes a bootstrap.
type Options struct {
	// Routes is required.
	Routes *route.File
	// AuthzSocket is the Unix socket of the gate's gRPC service, GateSocket the
	// one of its HTTP. Both are required.
	AuthzSocket, GateSocket string
	// LeashSocket is that of the gate's leash; "" holds no streams: they live
	// until the time that the check gave them, whatever becomes of their session.
	LeashSocket string
	// Authz, Gate, Leash and ADS are the same (and ADSSocket) over TCP, at one gate
	// or several; GateTLS is who is who then, and is required.
	Authz, Gate, Leash, ADS []route.Endpoint
	GateTLS                 *route.UpstreamTLS
	// AdminSocket is Envoy's admin interface as a Unix socket (mode 0600), or
	// AdminListen as a loopback address. One of them is required: whoever
	// reaches the interface can stop Envoy and read its configuration.
	AdminSocket string
	AdminListen netip.AddrPort
	// Listen overrides the routes file's address.
	Listen netip.AddrPort
	// AccessLogPath is the file for the access log; "" means stdout.
	AccessLogPath string
	// NodeID names this Envoy in its statistics; "" means "edge".
	NodeID string
	// Files is the folder of the watched files, by which routes and upstreams
	// change while Envoy runs (see Files); "" puts everything into the bootstrap.
	// It is an absolute path, as Envoy sees it.
	Files string
	// ADSSocket is the Unix socket of the gate's discovery service, by which
	// routes and upstreams change while Envoy runs (see ADS); not with Files.
	ADSSocket string
	// TLSCert and TLSKey are PEM files; both or neither.
	TLSCert, TLSKey string
	// Secrets is a folder, as Envoy sees it, of files that name certificates (see
	// WriteSecrets), which Envoy reads again when they change; Files if "", or the
	// folder of ADSSocket. With none certificates are read once.
	Secrets string
}

// Discovers reports whether Envoy has its routes from a discovery service.
func (o *Options) Discovers() bool { return o.ADSSocket != "" || len(o.ADS) > 0 }

func (o *Options) check() error {
	if o.Routes == nil {
		return errors.New("envoy: no routes file")
	}
	if !o.Listen.IsValid() {
		o.Listen = o.Routes.Listen()
	}
	if !o.Listen.IsValid() {
		return errors.New("envoy: nobody says where to listen; give the routes file a listen: 0.0.0.0:443")
	}
	for what, path := range map[string]string{"authz": o.AuthzSocket, "gate": o.GateSocket, "leash": o.LeashSocket, "discovery": o.ADSSocket, "admin": o.AdminSocket} {
		if len(path) > maxSocketPath {
			return fmt.Errorf("envoy: the path of the %s socket has %d bytes; at most %d are possible, choose a shorter folder", what, len(path), maxSocketPath)
		}
	}
	switch {
	case o.AuthzSocket == "" && len(o.Authz) == 0 || o.GateSocket == "" && len(o.Gate) == 0:
		return errors.New("envoy: the sockets of the gate's gRPC and HTTP are missing")
	case len(o.Authz)+len(o.Gate)+len(o.Leash)+len(o.ADS) > 0 && (o.GateTLS == nil || o.GateTLS.CA == "" || o.GateTLS.Cert == "" || o.GateTLS.Key == "" || len(o.GateTLS.SANs) == 0):
		return errors.New("envoy: a gate over TCP needs certificates on both sides and its name: whoever answers in its place decides everything")
	case o.AdminSocket == "" && !o.AdminListen.IsValid():
		return errors.New("envoy: the admin interface needs a Unix socket or a loopback address")
	case o.AdminSocket == "" && !o.AdminListen.Addr().IsLoopback():
		return fmt.Errorf("envoy: the admin interface at %s would be open to others; use a Unix socket or a loopback address", o.AdminListen)
	case o.Files != "" && !filepath.IsAbs(o.Files):
		return fmt.Errorf("envoy: the folder %q of the watched files must be an absolute path, as Envoy sees it", o.Files)
	case o.ADSSocket != "" && !filepath.IsAbs(o.ADSSocket):
		return fmt.Errorf("envoy: the socket %q of the discovery service must be an absolute path, as Envoy sees it", o.ADSSocket)
	case o.Files != "" && o.Discovers():
		return errors.New("envoy: routes come by watched files or by discovery, not both")
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return errors.New("envoy: a TLS certificate and its key go together; give both files or neither")
	case o.Secrets != "" && !filepath.IsAbs(o.Secrets):
		return fmt.Errorf("envoy: the folder %q of the files that name certificates must be an absolute path, as Envoy sees it", o.Secrets)
	}
	if o.Secrets == "" {
		if o.Secrets = o.Files; o.ADSSocket != "" {
			o.Secrets = filepath.Dir(o.ADSSocket)
		}
	}
	if o.NodeID == "" {
		o.NodeID = "edge"
	}
	return nil
}

// Bootstrap gives the configuration that Envoy starts with: all of it, or what
// leads to the rest. Run Envoy on it as Args says.
func Bootstrap(o Options) (*bootstrapv3.Bootstrap, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	b := &builder{Options: o}
	out := &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: o.NodeID, Cluster: nodeCluster},
		Admin:           &bootstrapv3.Admin{Address: b.adminAddress()},
		OverloadManager: b.overload(),
		LayeredRuntime:  runtime(),
	}
	b.deliver(out)
	if b.err != nil {
		return nil, fmt.Errorf("envoy: %w", b.err)
	}
	return out, nil
}

func (b *builder) adminAddress() *corev3.Address {
	if b.AdminSocket != "" {
		return pipe(b.AdminSocket, 0o600)
	}
	return tcp(b.AdminListen)
}

// ownClusters lead to the gate. They are in every bootstrap: no change of the
// routes file touches them.
func (b *builder) ownClusters() []*clusterv3.Cluster {
	cs := []*clusterv3.Cluster{b.bound(b.gateCluster(clusterAuthz, b.AuthzSocket, b.Authz...)), b.gateCluster(clusterGate, b.GateSocket, b.Gate...)}
	if b.leashed() {
		cs = append(cs, b.gateCluster(clusterLeash, b.LeashSocket, b.Leash...))
	}
	return cs
}

// clusters lead to the upstreams.
func (b *builder) clusters() []*clusterv3.Cluster {
	var cs []*clusterv3.Cluster
	for _, u := range b.Routes.Upstreams() {
		cs = append(cs, b.cluster(u))
	}
	return cs
}

// Args are the arguments to run Envoy with on a bootstrap file. Hot restart is
// off: two Envoys on one machine would meet in its shared memory. concurrency
// is the number of worker threads; 0 means one a core.
func Args(bootstrapPath string, concurrency int) []string {
	// Access log lines wait up to 10 s in a buffer by default.
	args := []string{"--config-path", bootstrapPath, "--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "200"}
	if concurrency > 0 {
		args = append(args, "--concurrency", fmt.Sprint(concurrency))
	}
	return args
}
