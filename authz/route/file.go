package route

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/route/strictyaml"
)

// GateUpstream is the upstream's name by which a route leads to the gate
// itself. It needs no entry under upstreams.
const GateUpstream = "gate"

// DefaultTimeout is a route's timeout when the file gives none.
const DefaultTimeout = 15 * time.Second

// File is a parsed and validated routes file. It is immutable and safe for
// concurrent use; what its methods return must not be changed.
type File struct {
	gate        string
	listen      netip.AddrPort
	trustedHops uint32
	forwarded   []string
	settable    HeaderSet
	response    HeaderSet
	strip       []string
	rules       string
	upstreams   []Upstream
	hosts       []Host
	routes      map[string]*authz.Route
	origins     []string
}

// File finds routes for decisions.
var _ authz.Routes = (*File)(nil)

// Upstream is a named place that routes lead to.
type Upstream struct {
	Name string
	// Socket is the path of a Unix socket, or "".
	Socket string
	// Host and Port are set when Socket is not. Host is a DNS name or an IP
	// address.
	Host string
	Port uint16
}

// Host is one external origin and its routes.
type Host struct {
	// Origin as browsers send it, e.g. "https://portal.kappa4.com".
	Origin string
	// Name is the origin's host, without port.
	Name string
	// CORS is nil when no other origin may read this host's answers.
	CORS *CORS
	// Entries are in the order in which they match.
	Entries []Entry
}

// CORS is what a host's answers let other origins do.
type CORS struct {
	AllowOrigins                    []string
	Credentials                     bool
	Methods, Headers, ExposeHeaders []string
	MaxAge                          time.Duration
}

// Match is one path or prefix of a route.
type Match struct {
	// Path is exact, or "".
	Path string
	// Prefix matches itself and what lies below it ("/a" matches "/a" and
	// "/a/b", not "/ab"), or is "".
	Prefix string
}

// Entry is one match with the route that it belongs to. A route with three
// prefixes gives three entries with the same Route.
type Entry struct {
	Match Match
	Route *authz.Route
	// Upstream is a name in Upstreams, or GateUpstream.
	Upstream string
	// Timeout for the whole answer; 0 means none.
	Timeout time.Duration
	// IdleTimeout for a stream in which nothing moves; 0 means none, negative
	// means Envoy's default of the listener.
	IdleTimeout time.Duration
	// Upgrades are the protocols to which a request may switch, in lower case.
	Upgrades []string
}

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
	c := &checker{y: &y, file: &File{routes: map[string]*authz.Route{}}}
	c.run()
	if err := c.report.Err(); err != nil {
		return nil, err
	}
	return c.file, nil
}

// Route implements authz.Routes.
func (f *File) Route(name string) *authz.Route { return f.routes[name] }

// RouteNames lists all routes, sorted.
func (f *File) RouteNames() []string {
	names := make([]string, 0, len(f.routes))
	for n := range f.routes {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Origins lists the external origin of every host, in the order of the file.
func (f *File) Origins() []string { return f.origins }

// IsOrigin reports whether s is exactly an origin of the file: return targets
// and Origin headers are compared as browsers write them, never loosely.
func (f *File) IsOrigin(s string) bool { return slices.Contains(f.origins, s) }

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
