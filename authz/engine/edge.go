package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Edge is what Envoy is configured to forward to policy and to let policy
// change. It comes from the routes file, so that both sides agree. Header names
// are in lower case; a name ending in "*" stands for all with that beginning.
type Edge struct {
	// SessionCookie is the name of the cookie that policy never sees.
	SessionCookie string
	// IdentityPrefix begins the names of identity headers, e.g. "x-pomerium-".
	IdentityPrefix string
	// Forwarded are the request headers that reach policy. A policy that
	// reads another is refused.
	Forwarded []string
	// Settable are the headers that policy may set or remove on the request to the upstream.
	Settable []string
	// Reserved are headers that the gate alone sets, though Settable may match
	// them: the signed identity is worth nothing if policy can replace it.
	Reserved []string
	// ResponseSettable are the headers that policy may set on a response: those
	// of an allow (response_headers_to_add) and those of a denial.
	ResponseSettable []string

	names map[string]headerName // of names that are known beforehand
}

// headerName is what there is to know of a header's name that policy gives.
type headerName struct {
	lower                             string
	valid, settable, responseSettable bool
}

// withNames returns e with what there is to know of names, which are a policy's
// own: a decision then needs to look them up only.
func (e Edge) withNames(names []string) Edge {
	e.names = nil
	known := map[string]headerName{}
	for _, name := range names {
		if n := e.nameOf(name); n.valid {
			known[name] = n
		}
	}
	e.names = known
	return e
}

func (e *Edge) nameOf(name string) headerName {
	if n, ok := e.names[name]; ok {
		return n
	}
	if !validHeaderName(name) {
		return headerName{}
	}
	lower := strings.ToLower(name)
	return headerName{lower: lower, valid: true, settable: e.settable(lower), responseSettable: e.responseSettable(lower)}
}

// neverSettable are headers that frame a message, choose where it goes or
// steer Envoy: setting one would let policy desynchronise the two ends of a
// connection.
var neverSettable = []string{
	"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade",
}

func (e *Edge) validate() error {
	for _, list := range []struct {
		name  string
		names []string
	}{{"Forwarded", e.Forwarded}, {"Settable", e.Settable}, {"ResponseSettable", e.ResponseSettable}} {
		for _, n := range list.names {
			if base := strings.TrimSuffix(n, "*"); !validHeaderName(base) || strings.ToLower(n) != n {
				return fmt.Errorf("edge: %s names %q, which is no header name in lower case (an ending \"*\" may stand for any ending, but not alone)", list.name, n)
			}
			if list.name != "Forwarded" && slices.Contains(neverSettable, n) {
				return fmt.Errorf("edge: %s names %q, which frames or routes messages and must not be set by policy", list.name, n)
			}
		}
	}
	return nil
}

// settable reports whether policy may set a request header.
func (e *Edge) settable(name string) bool {
	return !slices.Contains(neverSettable, name) && !slices.Contains(e.Reserved, name) && matchesName(e.Settable, name)
}

// removable reports whether policy may take a request header away. Credentials
// it always may: Envoy lets the gate itself remove them too.
func (e *Edge) removable(name string) bool {
	return name == "authorization" || name == "cookie" || e.settable(name)
}

func (e *Edge) responseSettable(name string) bool {
	return !slices.Contains(neverSettable, name) && matchesName(e.ResponseSettable, name)
}

// forwarded reports whether a request header reaches policy.
func (e *Edge) forwarded(name string) bool { return matchesName(e.Forwarded, name) }

func matchesName(patterns []string, name string) bool {
	for _, p := range patterns {
		if prefix, wild := strings.CutSuffix(p, "*"); p == name || wild && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// validHeaderName reports whether s is a token (RFC 9110, 5.6.2) of at most
// maxHeaderName bytes.
func validHeaderName(s string) bool {
	if s == "" || len(s) > maxHeaderName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}
