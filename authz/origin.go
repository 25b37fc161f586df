package authz

import "strings"

// needsOrigin reports whether a request that came with a cookie can change
// something: a parent-domain cookie reaches every sibling host, and SameSite
// does not stop a sibling (it is the same site).
func needsOrigin(r *Request) bool {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS":
	default:
		return true
	}
	_, n := r.Headers.Get("upgrade")
	return n > 0
}

// originAllowed reports whether the request's Origin is the route's own or one
// that the routes file lists. The own origin is the routes file's (scheme, host,
// port), never built from Host or X-Forwarded-Proto, which a client can choose.
func originAllowed(r *Request) bool {
	origin, n := r.Headers.Get("origin")
	if n != 1 || origin == "" || origin == "null" {
		return false
	}
	if origin == OwnOrigin(r) {
		return true
	}
	for _, o := range r.Route.AllowedOrigins {
		if origin == o {
			return true
		}
	}
	return false
}

// OwnOrigin is the route's origin; in a wildcard origin the request's host,
// which Envoy matched against it, takes the wildcard's place.
func OwnOrigin(r *Request) string {
	scheme, rest, ok := strings.Cut(r.Route.Origin, "://*")
	if !ok {
		return r.Route.Origin
	}
	suffix, port, _ := strings.Cut(rest, ":")
	if !strings.HasSuffix(r.Host, suffix) {
		return ""
	}
	if port != "" {
		port = ":" + port
	}
	return scheme + "://" + r.Host + port
}
