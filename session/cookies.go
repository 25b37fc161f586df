package session

import "strings"

// MaxCookieValues is how many cookies of the session cookie's name are looked
// at. A browser has one, or a few when a sibling host tossed some in; more is
// an attempt to make the gate work.
const MaxCookieValues = 8

// AppendCookieValues appends to dst the value of each cookie called name in a
// Cookie header (RFC 6265, section 4.2.1), in order, and returns dst. It stops
// once dst holds MaxCookieValues+1: enough for Manager.ByCookies to refuse.
// Values are substrings of header as they stand, quotes included; with room in
// dst nothing is allocated.
func AppendCookieValues(dst []string, header, name string) []string {
	for len(header) > 0 && len(dst) <= MaxCookieValues {
		var pair string
		pair, header, _ = strings.Cut(header, ";")
		if k, v, ok := strings.Cut(pair, "="); ok && trimOWS(k) == name {
			dst = append(dst, trimOWS(v))
		}
	}
	return dst
}

// StripCookie returns a Cookie header without the cookies called name and
// whether there were any; without any it returns the header unchanged and
// allocates nothing. It takes out more than AppendCookieValues finds: names in
// another case, in quotes, or without "=", because an upstream's parser may be
// laxer than ours, and the session cookie must not reach it.
func StripCookie(header, name string) (rest string, found bool) {
	if !hasCookie(header, name) {
		return header, false
	}
	b, _ := AppendStripped(make([]byte, 0, len(header)), header, name)
	return string(b), true
}

// AppendStripped is StripCookie that appends the rest to dst.
func AppendStripped(dst []byte, header, name string) (rest []byte, found bool) {
	start, left := len(dst), header
	for len(left) > 0 {
		var pair string
		pair, left, _ = strings.Cut(left, ";")
		if isCookie(pair, name) {
			found = true
		} else if p := trimOWS(pair); p != "" {
			if len(dst) > start {
				dst = append(dst, "; "...)
			}
			dst = append(dst, p...)
		}
	}
	if !found {
		return append(dst[:start], header...), false
	}
	return dst, true
}

func hasCookie(header, name string) bool {
	for len(header) > 0 {
		var pair string
		pair, header, _ = strings.Cut(header, ";")
		if isCookie(pair, name) {
			return true
		}
	}
	return false
}

func isCookie(pair, name string) bool {
	k, _, _ := strings.Cut(pair, "=")
	for len(k) > 0 && (isOWS(k[0]) || k[0] == '"') {
		k = k[1:]
	}
	for len(k) > 0 && (isOWS(k[len(k)-1]) || k[len(k)-1] == '"') {
		k = k[:len(k)-1]
	}
	return strings.EqualFold(k, name)
}

// trimOWS is strings.Trim with " \t", without the set that Trim makes of them
// for every cookie.
func trimOWS(s string) string {
	for len(s) > 0 && isOWS(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isOWS(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isOWS(c byte) bool { return c == ' ' || c == '\t' }
