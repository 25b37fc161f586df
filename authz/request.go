package authz

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// Request is what Envoy asks about, read once from its CheckRequest. It is
// owned by one call: nothing may keep it, or a string or slice of it, after
// the call without cloning.
type Request struct {
	// Time is the one instant of this decision: the policy's clock, session
	// expiry and limits all see it.
	Time time.Time
	// ID is Envoy's x-request-id.
	ID string
	// Method is as sent; methods are case-sensitive (RFC 9110, 9.1).
	Method string
	Scheme string
	// Host is lower-case, without port and trailing dot (Envoy strips both).
	Host string
	// Path is the path and query as the upstream will see them.
	Path     string
	Protocol string
	// Headers are those that Envoy forwards, in order, names in lower case.
	Headers Headers
	// Route is the route that Envoy matched, named in the check's context
	// extensions. Nil when it named none or one that the routes file lacks;
	// RouteName is what it said.
	Route     *Route
	RouteName string
	// Extensions are the context extensions of the matched route.
	Extensions map[string]string
	// Source is the client as Envoy saw it, Destination the listener.
	Source, Destination Peer
	// Unreadable is why the adapter could not read the request whole; such a
	// request is refused with 400 before anything else is looked at.
	Unreadable error
	// Session is who asks; nil when nobody is signed in. The Decider sets it.
	Session *session.Session
	// SNI is the host that the connection was opened to, in lower case; "" without
	// TLS, or where the edge does not tell.
	SNI string
	// Certificate is the client's, if it counts for this request; nil for none.
	// The Decider sets it.
	Certificate *Certificate

	// cookies is the Decider's room for values of the session cookie, which
	// would leave the stack on their way to Sessions.
	cookies []string
}

// maxExtensions is how large a map Reset keeps: clearing one costs what it once
// held.
const maxExtensions = 16

// Reset empties r for another call and keeps the room of its lists.
func (r *Request) Reset() {
	clear(r.Headers)
	clear(r.cookies)
	if len(r.Extensions) > maxExtensions {
		r.Extensions = nil
	}
	clear(r.Extensions)
	*r = Request{Headers: r.Headers[:0], Extensions: r.Extensions, cookies: r.cookies[:0]}
}

// Peer is one end of a connection.
type Peer struct {
	Addr netip.AddrPort
	// Principal is the identity of a verified client certificate, or "".
	Principal string
	// Certificate is the client certificate as Envoy sends it, percent-encoded
	// PEM; "" without one, or where the edge does not tell.
	Certificate string
}

// SplitPath returns the path without its query, and the query without "?".
func (r *Request) SplitPath() (path, query string) {
	path, query, _ = strings.Cut(r.Path, "?")
	return path, query
}

// ParsedPath returns the path's segments as opa-envoy-plugin's
// input.parsed_path has them: "/a/b" gives ["a" "b"], "/" gives [""].
func (r *Request) ParsedPath() ([]string, error) {
	path, _ := r.SplitPath()
	path, err := url.PathUnescape(path)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimLeft(path, "/"), "/"), nil
}

// Header is one header field; Name is in lower case.
type Header struct{ Name, Value string }

// Headers are header fields in the order in which they came.
type Headers []Header

// Get returns the first value of a header (name in lower case) and how many
// fields of that name there are.
func (h Headers) Get(name string) (value string, n int) {
	for i := range h {
		if h[i].Name == name {
			if n == 0 {
				value = h[i].Value
			}
			n++
		}
	}
	return value, n
}

// Values returns all values of a header, name in lower case.
func (h Headers) Values(name string) []string {
	var vs []string
	for i := range h {
		if h[i].Name == name {
			vs = append(vs, h[i].Value)
		}
	}
	return vs
}

// Route is what decisions need to know of one entry of the routes file. It is
// immutable.
type Route struct {
	// Name is unique in the file; policy, logs and metrics speak of it.
	Name string
	// Origin is the external origin (scheme, host, port) as browsers see it,
	// e.g. "https://portal.kappa4.com", or with a wildcard host
	// "https://*.example.com". Never taken from the request.
	Origin string
	// AllowedOrigins may send unsafe requests and upgrades by cookie besides
	// the route's own host.
	AllowedOrigins []string
	// Policy is the route's `policy` settings: JSON values (string, float64,
	// bool, nil, []any, map[string]any).
	Policy map[string]any
	// PassIdentityHeaders lets policy's identity headers through.
	PassIdentityHeaders bool
	// PassAuthorization leaves Authorization in the request to the upstream.
	PassAuthorization bool
	// ClientCertificate says what client certificates are to the route's host.
	ClientCertificate CertificateUse
	// RevocationList is the file of client certificates that are revoked, as the
	// routes file names it; "" where there is none.
	RevocationList string
	// Gate marks the gate's own routes: cookie and Authorization pass.
	Gate bool
}

// Routes finds a route by name. Implementations are immutable or atomic and
// safe for concurrent use.
type Routes interface {
	// Route returns nil for a name that the routes file lacks.
	Route(name string) *Route
}
