package wire

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"github.com/neosc/gate/authz"
)

// headerMap reads HeaderMap.
func (s *Scanner) headerMap(m string) bool {
	f := fields{m: m}
	for f.next() {
		if f.tag == 1<<3|bytesType && !s.headerValue(f.value) {
			return false
		}
	}
	return f.whole()
}

// headerValue reads HeaderValue, whose value is in one of two fields.
func (s *Scanner) headerValue(m string) bool {
	if name, raw, ok := plainHeader(m); ok {
		s.r.Headers = append(s.r.Headers, authz.Header{Name: name, Value: raw})
		return true
	}
	var name, text, raw string
	f := fields{m: m}
	for f.next() {
		ok := true
		switch f.tag {
		case 1<<3 | bytesType:
			name, ok = f.value, utf8.ValidString(f.value)
		case 2<<3 | bytesType:
			text, ok = f.value, utf8.ValidString(f.value)
		case 3<<3 | bytesType:
			raw = f.value // bytes, of any kind
		}
		if !ok {
			return false
		}
	}
	s.r.Headers = append(s.r.Headers, authz.Header{Name: strings.ToLower(name), Value: cmp.Or(text, raw)})
	return f.whole()
}

// plainHeader reads the form in which Envoy writes nearly every header, a name
// in lower case below 128 bytes and then raw bytes to the end, in half the time.
// Whatever is otherwise is left to the general way.
func plainHeader(m string) (name, raw string, ok bool) {
	if len(m) < 2 || m[0] != 1<<3|bytesType {
		return "", "", false
	}
	end := 2 + int(m[1])
	if m[1] >= 0x80 || end >= len(m) || m[end] != 3<<3|bytesType {
		return "", "", false
	}
	name = m[2:end]
	for i := range len(name) {
		if c := name[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return "", "", false
		}
	}
	raw, end = content(m, end+1)
	return name, raw, end == len(m)
}
