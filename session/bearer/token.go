package bearer

import (
	"encoding/base64"
	"strings"
)

// Bounds on a token, in bytes.
const (
	// MaxToken is the longest token that is looked at.
	MaxToken  = 64 << 10
	maxHeader = 8 << 10
	// maxOpaque bounds what is sent to a provider.
	maxOpaque = 4 << 10
)

// jwt is a token in JWS compact form, taken apart and not yet believed.
type jwt struct {
	alg, kid, typ string
	signed        string // header and payload as they were sent
	signature     []byte
	claims        map[string]any
	payloadSize   int
}

// isJWT reports whether a token is of the JWT family: three parts (JWS) or
// five (JWE, which parseJWT refuses).
func isJWT(token string) bool {
	n := strings.Count(token, ".")
	return n == 2 || n == 4
}

// parseJWT takes a token apart. jwk, jku, x5u, x5c and the like in its header
// are never read: keys come from the provider's key set alone.
func parseJWT(token string) (*jwt, error) {
	head, rest, _ := strings.Cut(token, ".")
	body, sig, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(sig, ".") || len(head) > maxHeader {
		return nil, refuseForm
	}
	t := &jwt{signed: token[:len(head)+1+len(body)]}
	var err error
	if t.signature, err = decodePart(sig); err != nil {
		return nil, err
	}
	header, _, err := decodeObject(head)
	if err != nil {
		return nil, err
	}
	for _, n := range []string{"crit", "b64", "zip", "enc"} {
		if _, ok := header[n]; ok {
			return nil, refuseHeader
		}
	}
	var bad bool
	t.alg, bad = text(header, "alg", bad)
	t.kid, bad = text(header, "kid", bad)
	t.typ, bad = text(header, "typ", bad)
	if bad || t.alg == "" || len(t.kid) > maxKeyID {
		return nil, refuseForm
	}
	t.claims, t.payloadSize, err = decodeObject(body)
	return t, err
}

// text returns a member that is a text if it is there at all.
func text(m map[string]any, name string, bad bool) (string, bool) {
	v, there := m[name]
	s, ok := v.(string)
	return s, bad || there && !ok
}

var strict = base64.RawURLEncoding.Strict()

// decodePart decodes base64url of which each value has one spelling.
func decodePart(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder passes over
		return nil, refuseForm
	}
	b, err := strict.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, refuseForm
	}
	return b, nil
}

func decodeObject(part string) (map[string]any, int, error) {
	b, err := decodePart(part)
	if err != nil {
		return nil, 0, err
	}
	m, err := parseObject(b)
	return m, len(b), err
}
