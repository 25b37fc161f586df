package extauthz

import (
	"strings"

	"github.com/neosc/gate/authz"
)

// audience is whom a refusal speaks to.
type audience uint8

const (
	// program gets a problem document (RFC 9457) and is never redirected.
	program audience = iota
	// person gets a page, and is sent to sign in where that helps.
	person
)

// audienceOf tells a browser's navigation from everything else. Browsers say
// so themselves (Fetch Metadata); without that, an Accept that names HTML and
// nothing that a script sends. A redirect on an XHR would be followed blindly
// and end in a CORS error or a sign-in page parsed as data.
func audienceOf(r *authz.Request) audience {
	if r.Method != "GET" && r.Method != "HEAD" {
		// A form posted by a person's navigation is answered with a page too, but
		// never by a redirect that would lose what was posted.
		if mode, _ := r.Headers.Get("sec-fetch-mode"); mode == "navigate" {
			return person
		}
		return program
	}
	if _, n := r.Headers.Get("x-requested-with"); n > 0 {
		return program
	}
	if _, n := r.Headers.Get("upgrade"); n > 0 {
		return program
	}
	if mode, n := r.Headers.Get("sec-fetch-mode"); n > 0 {
		dest, _ := r.Headers.Get("sec-fetch-dest")
		if mode == "navigate" && (dest == "document" || dest == "iframe" || dest == "") {
			return person
		}
		return program
	}
	accept, _ := r.Headers.Get("accept")
	if strings.Contains(strings.ToLower(accept), "text/html") {
		return person
	}
	return program
}

// redirectable reports whether sending the client to sign in makes sense: a
// person's GET or HEAD, which can be repeated afterwards.
func redirectable(r *authz.Request) bool {
	return (r.Method == "GET" || r.Method == "HEAD") && audienceOf(r) == person
}

// byToken reports whether the client presented a credential of its own.
// Signing in would not mend it, and the client would send it there as well: a
// redirect would go round and round.
func byToken(r *authz.Request) bool {
	_, n := r.Headers.Get("authorization")
	return n > 0
}
