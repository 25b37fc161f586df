package route

import (
	"time"

	"github.com/neosc/gate/authz"
)

// DefaultTimeout is a route's timeout when the file gives none.
const DefaultTimeout = 15 * time.Second

// Upstream is a named place that routes lead to.
type Upstream struct {
	Name string
	// Endpoints has at least one; requests are spread over them evenly.
	Endpoints []Endpoint
	// HTTP2 says that the upstream speaks HTTP/2 (over plain text: with prior
	// knowledge), else HTTP/1.1.
	HTTP2 bool
	// ConnectTimeout is above 0.
	ConnectTimeout time.Duration
	// HealthCheck is nil when endpoints are taken to be well.
	HealthCheck *HealthCheck
	// TLS is nil for plain text.
	TLS *UpstreamTLS
}

// Endpoint is one address of an upstream.
type Endpoint struct {
	// Socket is the path of a Unix socket, or "".
	Socket string
	// Host and Port are set when Socket is not. Host is a DNS name or an IP
	// address.
	Host string
	Port uint16
}

// HealthCheck asks an endpoint by GET whether it is well. One that is not gets
// no requests; when none is, the upstream answers 503.
type HealthCheck struct {
	Path string
	// Host is the Host header, "" for the upstream's name.
	Host              string
	Interval, Timeout time.Duration
	// Healthy and Unhealthy are how many answers in a row change the verdict.
	Healthy, Unhealthy uint32
	// Statuses that count as well.
	Statuses []uint32
}

// UpstreamTLS says whom an upstream must prove to be and who Envoy is. Paths
// are absolute, as Envoy sees them.
type UpstreamTLS struct {
	// CA is a PEM file.
	CA string
	// ServerName is sent (SNI); it may be "".
	ServerName string
	// SANs are pinned: the certificate must carry one of them, each a DNS name,
	// an IP address or a URI. Never empty: a CA vouches for many.
	SANs []string
	// Cert and Key are the client certificate for mTLS, or both "".
	Cert, Key string
}

// Host is one external origin and its routes.
type Host struct {
	// Origin as browsers send it, e.g. "https://portal.kappa4.com", or with a
	// wildcard in place of the first labels "https://*.apps.kappa4.com".
	Origin string
	// Name is the origin's host, without port.
	Name string
	// TLS is the host's own certificate; nil means that of the file.
	TLS *ServerTLS
	// ClientCertificates is nil when the host asks for none.
	ClientCertificates *ClientCertificates
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

// Match is one path, prefix or expression of a route; just one is set.
type Match struct {
	// Path is exact, or "".
	Path string
	// Prefix matches itself and what lies below it ("/a" matches "/a" and
	// "/a/b", not "/ab"), or is "".
	Prefix string
	// Regex is an RE2 expression that matches the whole path, or "".
	Regex string
}

// String is the match as the file has it.
func (m Match) String() string {
	switch {
	case m.Path != "":
		return "path " + m.Path
	case m.Regex != "":
		return "regex " + m.Regex
	}
	return "prefix " + m.Prefix
}

// Entry is one match with the route that it belongs to. A route with three
// prefixes gives three entries with the same Route.
type Entry struct {
	Match Match
	Route *authz.Route
	// Priority puts the entry before those of the host with a lower one.
	Priority int
	// Public: nobody is asked about these requests. Clients' identity headers,
	// cookies and, unless the route passes it, Authorization are taken off.
	Public bool

	// Just one of the next four is set. Upstream is a name in Upstreams or
	// GateUpstream, "" for others.
	Upstream string
	Weighted []Weighted
	Redirect *Redirect
	Respond  *Respond

	Rewrite Rewrite
	// Timeout for the whole answer; 0 means none.
	Timeout time.Duration
	// IdleTimeout for a stream in which nothing moves; 0 means none, negative
	// means Envoy's default of the listener.
	IdleTimeout time.Duration
	// Retries is nil when a failed request is not sent again.
	Retries *Retries
	// Upgrades are the protocols to which a request may switch, in lower case.
	Upgrades []string
}

// Weighted is one of several upstreams that share a route's requests.
type Weighted struct {
	Upstream string
	// Weight relative to the others'; 0 gets nothing.
	Weight uint32
}

// Redirect answers with another address. What it does not name stays as in the
// request.
type Redirect struct {
	Scheme, Host string
	Port         uint16 // 0: the scheme's own
	// Path replaces the path, Prefix the part of it that matched; not both.
	Path, Prefix string
	Status       uint32
	StripQuery   bool
}

// Respond answers by itself.
type Respond struct {
	Status            uint32
	Body, ContentType string
}

// Rewrite changes what the upstream sees. The decision was made on the request
// before it.
type Rewrite struct {
	Host string
	// Path replaces the path, Prefix the part of it that matched; not both.
	Path, Prefix string
}

// Retries say when a request is sent again.
type Retries struct {
	Attempts uint32 // besides the first
	// On are Envoy's conditions; Statuses are those of answers.
	On       []string
	Statuses []uint32
	// Safe: only GET, HEAD and OPTIONS are sent again, since the upstream may
	// have acted on the first.
	Safe          bool
	PerTryTimeout time.Duration // 0: none
}
