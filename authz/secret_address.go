package authz

import (
	"net/url"
	"strings"
)

// maskedValue stands in addresses, where Masked would have to be escaped.
const maskedValue = "masked"

// maxNested is how many addresses within each other are looked into: what lies
// deeper is masked whole.
const maxNested = 4

// MaskAddress returns a path with its query, or another address, without the values
// of secret parameters in its query, its fragment and its segments
// ("/a;jsessionid=…/b"), without tokens, and without those of addresses that are
// values of its parameters ("?rd=https%3A%2F%2Fx%2F%3Ftoken%3D…"), however they are
// escaped. It is whole itself where nothing is to be masked, for which nothing is
// allocated.
func MaskAddress(whole string) string { return (&addressMask{}).address(whole) }

// MaskForeign is MaskAddress for the value of an AddressHeader: of another address
// nothing is known, so that its query and fragment are left out.
func MaskForeign(value string) string {
	if i := indexQuery(value); i >= 0 {
		value = value[:i]
	}
	return MaskAddress(value)
}

// AddressHeader reports whether a header, its name in lower case, holds an address.
func AddressHeader(name string) bool {
	switch name {
	case ":path", "referer", "location", "content-location", "refresh", "destination", "x-envoy-original-path", "x-rewrite-url", "x-original-url",
		"x-original-uri", "x-forwarded-uri", "x-forwarded-url", "x-auth-request-redirect", "hx-current-url", "hx-redirect", "hx-location", "hx-push-url",
		"hx-replace-url":
		return true
	}
	return false
}

// addressMask masks one address, and notes what it takes out of it.
type addressMask struct {
	secrets *Secrets // nil notes nothing
	depth   int
}

func (m *addressMask) address(whole string) string {
	shown, _ := MaskTokens(whole)
	path, mark, query := shown, "", ""
	if i := indexQuery(shown); i >= 0 {
		path, mark, query = shown[:i], shown[i:i+1], shown[i+1:]
	}
	p, q := m.pairs(path, false), m.pairs(query, true)
	if p == path && q == query {
		return shown
	}
	return p + mark + q
}

// indexQuery is where the query or the fragment of an address begins.
func indexQuery(s string) int {
	at, fragment := strings.IndexByte(s, '?'), strings.IndexByte(s, '#')
	if at < 0 || fragment >= 0 && fragment < at {
		return fragment
	}
	return at
}

// pairs masks what is parted by "/" and ";" in a path and by "&" and ";" in a
// query: policy is not asked about one with a ";", but it is recorded.
func (m *addressMask) pairs(text string, query bool) string {
	if strings.IndexByte(text, '=') < 0 && strings.IndexByte(text, '%') < 0 {
		return text
	}
	var b strings.Builder
	written := 0 // of text
	for at := 0; at < len(text); {
		end := at
		for end < len(text) && !separates(text[end], query) {
			end++
		}
		if shown := m.pair(text[at:end], query); shown != text[at:end] {
			b.WriteString(text[written:at])
			b.WriteString(shown)
			written = end
		}
		at = end + 1
	}
	if written == 0 {
		return text
	}
	b.WriteString(text[written:])
	return b.String()
}

func separates(c byte, query bool) bool {
	switch c {
	case '&', ';':
		return true
	case '?', '#':
		return query
	case '/':
		return !query
	}
	return false
}

func (m *addressMask) pair(pair string, query bool) string {
	name, value, has := strings.Cut(pair, "=")
	if !has {
		return m.nested(pair, query)
	}
	for n, v := name, value; ; { // "a=token=…" too
		if secretParameter(n) {
			m.note(n, v, query)
			return m.nested(pair[:len(pair)-len(v)-1], query) + "=" + maskedValue
		}
		if n, v, has = strings.Cut(v, "="); !has {
			break
		}
	}
	if shown := m.nested(value, query); shown != value {
		return name + "=" + shown
	}
	return pair
}

// secretParameter takes an escaped name for a secret one: nobody writes
// "t%6Fken" by accident.
func secretParameter(name string) bool {
	return strings.IndexByte(name, '%') >= 0 || SecretParameter(name)
}

func (m *addressMask) note(name, value string, query bool) {
	if m.secrets != nil && SecretParameter(unescaped(name, query)) {
		m.secrets.Add(value)
		m.secrets.Add(unescaped(value, query))
	}
}

// nested masks what a text is an address of, or holds, once its escapes are undone.
func (m *addressMask) nested(text string, query bool) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	plain := unescaped(text, query)
	if plain == text {
		return text
	}
	if m.depth == maxNested {
		return maskedValue
	}
	m.depth++
	shown := m.address(plain)
	m.depth--
	switch {
	case shown == plain:
		return text
	case m.secrets != nil:
		m.secrets.Add(text)
	}
	if query {
		return url.QueryEscape(shown)
	}
	return url.PathEscape(shown)
}

// unescaped undoes those percent-escapes that are sound: not all that is masked is
// what policy would be asked about.
func unescaped(s string, query bool) string {
	if strings.IndexByte(s, '%') < 0 && (!query || strings.IndexByte(s, '+') < 0) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+' && query:
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0:
			b = append(b, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
