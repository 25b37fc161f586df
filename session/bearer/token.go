package bearer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Bounds on a token, in bytes, and on the nesting of its claims.
const (
	// MaxToken is the longest token that is looked at.
	MaxToken  = 64 << 10
	maxHeader = 8 << 10
	// maxOpaque bounds what is sent to a provider.
	maxOpaque = 4 << 10
	maxDepth  = 16
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

// parseObject reads a JSON object that has one meaning: no name twice in an
// object, since two programs may take different ones, UTF-8 throughout, and
// not so deep that walking it costs more than it says. Numbers keep their
// digits.
func parseObject(b []byte) (map[string]any, error) {
	depth, members := shape(b)
	if depth > maxDepth || !utf8.Valid(b) {
		return nil, refuseForm
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if d.Decode(&m) != nil || m == nil || len(bytes.TrimLeft(b[d.InputOffset():], " \t\r\n")) > 0 {
		return nil, refuseForm
	}
	if countMembers(m) != members {
		return nil, refuseForm // a name was there twice
	}
	return m, nil
}

// shape returns how deep a JSON text nests and how many members its objects
// have in all: of valid JSON, its colons outside of strings.
func shape(b []byte) (depth, members int) {
	level, quoted := 0, false
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			depth = max(depth, level)
		case c == '}' || c == ']':
			level--
		case c == ':':
			members++
		}
	}
	return depth, members
}

func countMembers(v any) int {
	n := 0
	switch x := v.(type) {
	case map[string]any:
		n = len(x)
		for _, e := range x {
			n += countMembers(e)
		}
	case []any:
		for _, e := range x {
			n += countMembers(e)
		}
	}
	return n
}
