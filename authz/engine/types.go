package engine

// Input is the document that policies see as `input`. It is the document of
// opa-envoy-plugin, so that policies written for it run, with `route` and
// `session` besides. Fields that do not apply are absent, never null
// (parsed_body alone is always null: bodies are not sent to policy).
//
// The struct is the source of the JSON schema against which policies are
// checked; requests are put into this shape by build, without going through it.
type Input struct {
	// How the document is encoded; constant.
	Version Version `json:"version"`
	// What Envoy says of the request.
	Attributes Attributes `json:"attributes"`
	// The segments of the path, percent-decoded: "/a/b" gives ["a","b"], "/" gives [""].
	ParsedPath []string `json:"parsed_path"`
	// The query's parameters, percent-decoded, each with its values in order.
	ParsedQuery map[string][]string `json:"parsed_query"`
	// Always null: request bodies are not forwarded. A policy that reads it is refused.
	ParsedBody *struct{} `json:"parsed_body"`
	// The route that Envoy matched; decide by it, never by matching the path again.
	Route Route `json:"route"`
	// Who asks. Absent when nobody is signed in.
	Session *Session `json:"session,omitempty"`
}

// Version says how the document is encoded.
type Version struct {
	// Always "protojson".
	Encoding string `json:"encoding"`
	// Always "v3".
	ExtAuthz string `json:"ext_authz"`
}

// Attributes is Envoy's AttributeContext.
type Attributes struct {
	// The client as Envoy saw it.
	Source Peer `json:"source"`
	// The listener that took the connection.
	Destination Peer `json:"destination"`
	// The request itself.
	Request Request `json:"request"`
	// What the matched route's configuration adds to every check, by name.
	ContextExtensions map[string]string `json:"contextExtensions"`
}

// Peer is one end of the connection.
type Peer struct {
	// Its address; absent when it is not an IP address.
	Address *Address `json:"address,omitempty"`
	// The identity of a verified client certificate; absent without one.
	Principal string `json:"principal,omitempty"`
	// A client certificate that the host's authorities vouch for and that is
	// valid at this instant; absent without one, and on hosts that ask for none.
	Certificate *Certificate `json:"certificate,omitempty"`
}

// Certificate is a client certificate.
type Certificate struct {
	// Distinguished name of whom it is for (RFC 2253). Nobody is known by it:
	// compare the names below.
	Subject string `json:"subject"`
	// Distinguished name of who issued it (RFC 2253).
	Issuer string `json:"issuer"`
	// Its DNS names.
	DNSNames []string `json:"dns_names"`
	// Its URIs, such as SPIFFE ids.
	URINames []string `json:"uri_names"`
	// SHA-256 of the certificate, 64 hex digits.
	Fingerprint string `json:"fingerprint_sha256"`
	// Serial number in hex.
	Serial string `json:"serial"`
	// When it begins to be valid, RFC 3339 in UTC.
	NotBefore string `json:"not_before"`
	// When it ends, RFC 3339 in UTC.
	NotAfter string `json:"not_after"`
}

// Address is an address as Envoy writes it.
type Address struct {
	// The IP address and port.
	SocketAddress SocketAddress `json:"socketAddress"`
}

// SocketAddress is an IP address and port.
type SocketAddress struct {
	// IPv4 or IPv6 address, without zone.
	Address string `json:"address"`
	// Port, 0..65535.
	PortValue int `json:"portValue"`
}

// Request is the HTTP request and its instant.
type Request struct {
	// When the request was asked about, RFC 3339 in UTC: the same instant as time.now_ns().
	Time string `json:"time"`
	// The request.
	HTTP HTTP `json:"http"`
}

// HTTP is the HTTP request as the upstream will see it.
type HTTP struct {
	// Envoy's request id.
	ID string `json:"id"`
	// Method as sent; methods are case-sensitive.
	Method string `json:"method"`
	// The forwarded headers by lower-case name. Repeated fields are joined with
	// ", " (cookie with "; "); the session cookie is taken out.
	Headers map[string]string `json:"headers"`
	// Path and query.
	Path string `json:"path"`
	// Host in lower case, without port.
	Host string `json:"host"`
	// "http" or "https".
	Scheme string `json:"scheme"`
	// "HTTP/1.1", "HTTP/2" or "HTTP/3".
	Protocol string `json:"protocol"`
}

// Route is the matched entry of the routes file.
type Route struct {
	// The route's name.
	Name string `json:"name"`
	// The route's own policy settings, as the routes file has them.
	Policy map[string]any `json:"policy"`
	// How identity headers are named; absent where the route passes no identity.
	IdentityHeaders *IdentityHeaders `json:"identity_headers,omitempty"`
}

// IdentityHeaders says how headers that tell the upstream who asks are named.
type IdentityHeaders struct {
	// The prefix of their names in lower case, e.g. "x-pomerium-".
	Prefix string `json:"prefix"`
}

// Session is who asks.
type Session struct {
	// The key of the session's record, 64 hex digits; it opens nothing.
	ID string `json:"id"`
	// The person or service.
	User User `json:"user"`
	// Flat role names, sorted.
	Roles []string `json:"roles"`
	// Group names, sorted; a group is no role.
	Groups []string `json:"groups"`
	// The provider's claims, raw.
	Claims map[string]any `json:"claims"`
	// Which provider signed the person in.
	Provider string `json:"provider"`
	// When the person signed in, RFC 3339 in UTC.
	AuthenticatedAt string `json:"authenticated_at"`
	// The session's absolute end, RFC 3339 in UTC.
	ExpiresAt string `json:"expires_at"`
	// Authentication methods (RFC 8176), e.g. "pwd", "otp".
	AMR []string `json:"amr"`
	// "browser", "bearer" or "service".
	Kind string `json:"kind"`
}

// User is the person or service behind a session.
type User struct {
	// The user's id at the provider.
	ID string `json:"id"`
	// E-mail address; see email_verified before trusting it.
	Email string `json:"email"`
	// Whether the provider vouches for the address.
	EmailVerified bool `json:"email_verified"`
	// Display name; absent when unknown.
	Name string `json:"name,omitempty"`
	// Organization; absent when unknown.
	Organization string `json:"organization,omitempty"`
}
