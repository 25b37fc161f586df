package route

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/route/strictyaml"
)

// GateUpstream is the upstream's name by which a route leads to the gate
// itself. It needs no entry under upstreams.
const GateUpstream = "gate"

// File is a parsed and validated routes file. It is immutable and safe for
// concurrent use; what its methods return must not be changed.
type File struct {
	gate        string
	listen      netip.AddrPort
	tls         *ServerTLS
	hsts        HSTS
	trustedHops uint32
	shields     Shields
	forwarded   []string
	settable    HeaderSet
	response    HeaderSet
	strip       []string
	rules       string
	upstreams   []Upstream
	hosts       []Host
	byHost      map[string]int // index in hosts by name; "*.rest" for wildcards
	matchers    []*matcher     // of each host
	routes      map[string]*authz.Route
	origins     []string
	isOrigin    map[string]bool
	revision    string
	source      []byte
}

// File finds routes for decisions.
var _ authz.Routes = (*File)(nil)

// Load reads and parses the routes file at path.
func Load(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("routes file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("routes file: %w", err)
	}
	return Parse(path, data)
}

// Parse parses a routes file; name is for messages. The error lists up to ten
// problems, each with line and mend (strictyaml.Errors).
func Parse(name string, data []byte) (*File, error) {
	var y fileYAML
	if err := strictyaml.Decode(name, data, &y); err != nil {
		return nil, err
	}
	if y.Gate == "" && len(y.Hosts) == 0 {
		return nil, fmt.Errorf("%s is empty; it needs gate, upstreams and hosts", name)
	}
	sum := sha256.Sum256(data)
	c := &checker{y: &y, names: map[string]bool{}, file: &File{
		routes: map[string]*authz.Route{}, byHost: map[string]int{}, isOrigin: map[string]bool{}, revision: hex.EncodeToString(sum[:8]), source: slices.Clone(data),
	}}
	c.run()
	if err := c.report.Err(); err != nil {
		return nil, err
	}
	return c.file, nil
}

// Revision names the file's content: two files of one revision are the same,
// byte by byte.
func (f *File) Revision() string { return f.revision }

// Source is what the file was parsed from.
func (f *File) Source() []byte { return f.source }

// Route implements authz.Routes. Public routes are not found: whoever asks
// about one was asked by an edge that is not configured by this file.
func (f *File) Route(name string) *authz.Route { return f.routes[name] }

// RouteNames lists all routes that are decided, sorted; public ones are not
// among them.
func (f *File) RouteNames() []string {
	names := make([]string, 0, len(f.routes))
	for n := range f.routes {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Origins lists the external origin of every host, in the order of the file;
// that of a wildcard host is as "https://*.example.com".
func (f *File) Origins() []string { return f.origins }

// GateOrigin is the gate's own external origin.
func (f *File) GateOrigin() string { return f.gate }

// Listen is Envoy's address; not valid when the file names none.
func (f *File) Listen() netip.AddrPort { return f.listen }

// TrustedHops is how many proxies in front of Envoy append to
// X-Forwarded-For; 0 means Envoy is the edge.
func (f *File) TrustedHops() uint32 { return f.trustedHops }

// Forwarded lists the request headers that Envoy shows the gate, sorted, in
// lower case. Policies can see no others.
func (f *File) Forwarded() []string { return f.forwarded }

// Settable are the request headers that policies may set towards upstreams.
func (f *File) Settable() HeaderSet { return f.settable }

// ResponseSettable are the headers that policies may add to answers.
func (f *File) ResponseSettable() HeaderSet { return f.response }

// Strip lists RE2 expressions that must match a whole header name, in lower
// case: what they match is taken off every request before anything looks at
// it. It covers every header of Settable in every spelling.
func (f *File) Strip() []string { return f.strip }

// MutationRule is the RE2 expression that matches all request headers that the
// gate sets or removes, for Envoy's own check on the gate's answers.
func (f *File) MutationRule() string { return f.rules }

// Upstreams lists the named upstreams, sorted by name, without the gate.
func (f *File) Upstreams() []Upstream { return f.upstreams }

// Hosts lists the hosts in the order of the file.
func (f *File) Hosts() []Host { return f.hosts }
