package observe

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/neosc/gate/authz"
)

// Bounds of one line, in bytes of the value before escaping. A client chooses
// the method, the path, the host and the request id; its line must not grow
// with them.
const (
	maxMethod  = 32
	maxPath    = 1024
	maxHost    = 255
	maxID      = 128
	maxText    = 320 // an email is at most 320 bytes (RFC 3696, erratum 1690)
	maxReasons = 8
)

// appendLine appends the access log's object for one decision, and a newline.
// Never in it: cookies, tokens, the query string (it may carry either).
func appendLine(b []byte, r *authz.Request, o *authz.Outcome, took time.Duration) []byte {
	b = append(b, `{"level":"`...)
	b = append(b, level(o.Verdict)...)
	b = append(b, `","timestamp":"`...)
	b = r.Time.UTC().Truncate(time.Millisecond).AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if s := o.Session; s != nil {
		b = appendField(b, "user", s.Identity.UserID, maxText)
		b = appendField(b, "email", s.Identity.Email, maxText)
	} else {
		b = append(b, `,"user":"","email":""`...)
	}
	path, _ := r.SplitPath()
	path = authz.MaskAddress(path) // some applications have sessions and tokens in links
	b = appendField(b, "method", r.Method, maxMethod)
	b = appendField(b, "path", path, maxPath)
	b = appendField(b, "host", r.Host, maxHost)
	b = append(b, `,"decision":"`...)
	b = append(b, o.Verdict.String()...)
	b = append(b, `","reason":"`...)
	for i, reason := range o.Reasons {
		if i == maxReasons {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendText(b, reason, 64)
	}
	b = append(b, `","duration_ms":`...)
	b = appendMilliseconds(b, took)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(o.Status), 10)
	b = appendField(b, "request_id", r.ID, maxID)
	route := unknownRoute
	if r.Route != nil {
		route = r.Route.Name
	}
	b = appendField(b, "route", route, maxID)
	b = append(b, `,"session":"`...)
	if o.Session != nil {
		b = hex.AppendEncode(b, o.Session.Key[:8]) // as session.Key.Short
	}
	b = append(b, `","policy_revision":"`...)
	if o.Decision != nil {
		b = AppendText(b, o.Decision.Revision, maxID)
	}
	b = append(b, `","client_ip":"`...)
	b = appendAddr(b, r.Source.Addr.Addr())
	return append(b, "\"}\n"...)
}

// level is error for our own trouble, warn for what was refused, info for what
// is everyday: an allow, or somebody who has yet to sign in.
func level(v authz.Verdict) string {
	switch v {
	case authz.Failed:
		return "error"
	case authz.Denied, authz.Limited:
		return "warn"
	default:
		return "info"
	}
}

// appendMilliseconds writes d with three decimals: a decision takes a few
// microseconds, so whole milliseconds would all be 0.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	b = strconv.AppendInt(b, us/1000, 10)
	return append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}

// appendAddr leaves the zone of an IPv6 address out: it is free text.
func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return a.Unmap().WithZone("").AppendTo(b)
}

func appendField(b []byte, name, value string, limit int) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, `":"`...)
	b = AppendText(b, value, limit)
	return append(b, '"')
}

// plain marks the bytes that a JSON string holds as they are.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// AppendText appends s as the inside of a JSON string, at most limit bytes of
// it. Control characters, C1 included (0x9b opens a terminal sequence), line
// and paragraph separators and bidirectional overrides are escaped, and bytes
// that are no UTF-8 become U+FFFD: a line of this log is one line everywhere
// and shows what it says.
func AppendText(b []byte, s string, limit int) []byte {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
		for i := 0; i < utf8.UTFMax-1 && len(s) > 0; i++ { // not in the middle of a character
			if c, size := utf8.DecodeLastRuneInString(s); c != utf8.RuneError || size != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	start := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		c, size := utf8.DecodeRuneInString(s[i:])
		if c >= 0xa0 && !deceptive(c) && (c != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		b = appendEscaped(b, c)
		i += size
		start = i
	}
	b = append(b, s[start:]...)
	if cut {
		b = append(b, "…"...)
	}
	return b
}

// deceptive reports characters that make a shown line differ from a stored one.
func deceptive(c rune) bool {
	return c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069)
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends a character of the basic plane; all escaped ones are.
func appendEscaped(b []byte, c rune) []byte {
	if c == '"' || c == '\\' {
		return append(b, '\\', byte(c))
	}
	return append(b, '\\', 'u', hexDigits[c>>12&15], hexDigits[c>>8&15], hexDigits[c>>4&15], hexDigits[c&15])
}
