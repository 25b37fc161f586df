package authz

import (
	"strings"

	"github.com/neosc/gate/session"
)

// secretWords are what names of secrets have in common, by first letter.
var secretWords = [128][]string{
	'a': {"authorization", "api_key", "apikey", "api-key", "assertion"},
	'c': {"cookie", "credential", "csrf"},
	'j': {"jwt"},
	'p': {"password", "passwd", "passphrase", "private_key"},
	's': {"secret", "signature"},
	't': {"token"},
}

// SecretName reports whether a header, claim, field or parameter of this name
// is taken to hold a secret: what it holds is never recorded and never shown.
// It goes by the name alone, in any case, and rather takes too much for secret.
// Names of headers are looked at for every decision: it is quick and allocates
// nothing.
func SecretName(name string) bool {
	for i := range len(name) {
		for _, w := range secretWords[(name[i]|0x20)&0x7f] { // the lower case of a letter
			if len(name)-i >= len(w) && name[i+1]|0x20 == w[1] && strings.EqualFold(name[i:i+len(w)], w) {
				return true
			}
		}
	}
	return false
}

// SecretHeader is SecretName for headers of requests. It knows the names that
// nearly every request has, for which to look for secret words would be half of
// what recording a decision costs.
func SecretHeader(name string) bool { return !CommonHeader(name) && SecretName(name) }

// CommonHeader reports whether a header's name is one that nearly every request
// has and that holds no secret. All such are letters, dashes and a colon.
func CommonHeader(name string) bool {
	switch name {
	case ":authority", ":method", ":path", ":scheme", "accept", "accept-encoding", "accept-language", "origin", "referer", "user-agent",
		"sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "x-envoy-external-address", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
		"x-requested-with", "upgrade":
		return true
	}
	return false
}

// SecretParameter is SecretName for parameters of a path or query, where OAuth's
// short names (RFC 6749: code, state), those of SAML's and CAS' redirects,
// sessions that servers write into links, and signatures of signed links are
// secrets too.
func SecretParameter(name string) bool {
	for _, n := range [...]string{
		"code", "state", "sig", "key", "sid", "session", "sessionid", "session_id", "jsessionid", "phpsessid", "samlrequest", "samlresponse", "relaystate",
		"ticket", "nonce", "auth", "otp", "pin", "pwd", "pass", "passcode",
	} {
		if len(n) == len(name) && strings.EqualFold(name, n) {
			return true
		}
	}
	return SecretName(name)
}

// minToken is how long a signed token is at least: its header alone takes more.
const minToken = 40

// MaskTokens returns s with Masked in place of what has the form of a JSON web
// token (RFC 7515, 7516: three or five parts in base64url, the first of which is
// an object's), whatever name it lies under, and whether there was one.
func MaskTokens(s string) (string, bool) {
	if len(s) < minToken || strings.IndexByte(s, 'J') < 0 { // the rarest of the three letters: a fifth of the time of Index on a page's headers
		return s, false
	}
	var b strings.Builder
	written := 0 // of s
	for from := 0; ; {
		at := strings.Index(s[from:], "eyJ")
		if at < 0 {
			break
		}
		at += from
		end, dots := at, 0
		for ; end < len(s) && tokenByte(s[end]); end++ {
			if s[end] == '.' {
				dots++
			}
		}
		if from = end; dots >= 2 && end-at >= minToken {
			b.WriteString(s[written:at])
			b.WriteString(Masked)
			written = end
		}
	}
	if written == 0 {
		return s, false
	}
	b.WriteString(s[written:])
	return b.String(), true
}

func tokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// Masked stands where a secret was.
const Masked = "(masked)"

// MaskSession returns a copy of s in which what lies under a secret name in its
// claims is Masked, and whether anything is. It may be shown.
func MaskSession(s *session.Session) (shown *session.Session, masked bool) {
	if s == nil {
		return nil, false
	}
	c := s.Clone()
	if len(c.Identity.Claims) > 0 {
		c.Identity.Claims, _ = maskClaims(s.Identity.Claims, &masked, 0).(map[string]any)
	}
	return c, masked
}

// maskDepth is how deep claims are copied; what lies deeper is masked whole.
const maskDepth = 32

func maskClaims(v any, masked *bool, depth int) any {
	if depth > maskDepth {
		*masked = true
		return Masked
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			if SecretName(k) {
				*masked = true
				out[k] = Masked
				continue
			}
			out[k] = maskClaims(x, masked, depth+1)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = maskClaims(x, masked, depth+1)
		}
		return out
	default:
		return v
	}
}
