package bearer

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
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
	*header
	head        string // the header as it was sent
	signed      string // header and payload as they were sent
	signature   []byte
	claims      map[string]any
	payloadSize int
}

// header is what counts of a token's header.
type header struct{ alg, kid, typ string }

// maxHeaders is how many headers are remembered, of tokens whose signature held:
// one key's tokens all have the same.
const maxHeaders = 64

// headers remembers what headers say, by the text as it is sent.
type headers struct {
	known atomic.Pointer[map[string]*header]
}

func (h *headers) get(text string) *header {
	if m := h.known.Load(); m != nil {
		return (*m)[text]
	}
	return nil
}

// put is for headers of tokens whose signature holds: others could fill what
// there is room for.
func (h *headers) put(text string, read *header) {
	was := h.known.Load()
	m := make(map[string]*header)
	if was != nil {
		if _, ok := (*was)[text]; ok || len(text) > maxHeader/8 {
			return
		}
		if len(*was) < maxHeaders { // else all that is forgotten: keys have changed often since
			maps.Copy(m, *was)
		}
	}
	c := *read
	m[strings.Clone(text)] = &header{strings.Clone(c.alg), strings.Clone(c.kid), strings.Clone(c.typ)}
	h.known.CompareAndSwap(was, &m)
}

// isJWT reports whether a token is of the JWT family: three parts (JWS) or
// five (JWE, which parseJWT refuses).
func isJWT(token string) bool {
	n := strings.Count(token, ".")
	return n == 2 || n == 4
}

// parseJWT takes a token apart. jwk, jku, x5u, x5c and the like in its header
// are never read: keys come from the provider's key set alone.
func parseJWT(token string, known *headers) (*jwt, error) {
	head, rest, _ := strings.Cut(token, ".")
	body, sig, ok := strings.Cut(rest, ".")
	if !ok || strings.IndexByte(sig, '.') >= 0 || len(head) > maxHeader {
		return nil, refuseForm
	}
	t := &jwt{head: head, signed: token[:len(head)+1+len(body)], header: known.get(head)}
	var err error
	if t.signature, err = appendPart(nil, sig); err != nil {
		return nil, err
	}
	if t.header == nil {
		if t.header, err = parseHeader(head); err != nil {
			return nil, err
		}
	}
	t.claims, t.payloadSize, err = decodeObject(body)
	return t, err
}

func parseHeader(part string) (*header, error) {
	m, _, err := decodeObject(part)
	if err != nil {
		return nil, err
	}
	for _, n := range []string{"crit", "b64", "zip", "enc"} {
		if _, ok := m[n]; ok {
			return nil, refuseHeader
		}
	}
	h := &header{}
	var bad bool
	h.alg, bad = text(m, "alg", bad)
	h.kid, bad = text(m, "kid", bad)
	h.typ, bad = text(m, "typ", bad)
	if bad || h.alg == "" || len(h.kid) > maxKeyID {
		return nil, refuseForm
	}
	return h, nil
}

// text returns a member that is a text if it is there at all.
func text(m map[string]any, name string, bad bool) (string, bool) {
	v, there := m[name]
	s, ok := v.(string)
	return s, bad || there && !ok
}

var strict = base64.RawURLEncoding.Strict()

// appendPart decodes base64url of which each value has one spelling, into what b
// has room for.
func appendPart(b []byte, part string) ([]byte, error) {
	if strings.IndexByte(part, '\r') >= 0 || strings.IndexByte(part, '\n') >= 0 { // which the decoder passes over
		return nil, refuseForm
	}
	most := strict.DecodedLen(len(part))
	b = slices.Grow(b, most)
	n, err := strict.Decode(b[:most], []byte(part)) // copies nothing, as it changes nothing
	if err != nil || n == 0 {
		return nil, refuseForm
	}
	return b[:n], nil
}

func decodeObject(part string) (map[string]any, int, error) {
	var room [2 << 10]byte // as much as most tokens have
	b, err := appendPart(room[:0], part)
	if err != nil {
		return nil, 0, err
	}
	m, err := parseObject(string(b))
	return m, len(b), err
}
