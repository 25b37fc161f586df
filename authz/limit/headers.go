package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
)

// Headers are the response fields that tell a client about the limiting charge
// of its request, names in lower case: ratelimit-policy and ratelimit of
// draft-ietf-httpapi-ratelimit-headers-10, and retry-after (RFC 9110, 10.2.3)
// when the request was refused. For example
//
//	ratelimit-policy: "user";q=20;w=2
//	ratelimit: "user";r=0;t=1
//	retry-after: 1
//
// q is the burst, w the seconds in which it fills, r the tokens left. t is, on
// an allow, when the bucket is full again and, on a refusal, when the same
// request would be admitted, as retry-after is. Seconds are rounded up: a
// client that waits as told never comes too early.
func Headers(c authz.Charge, s authz.Spent) []authz.Header {
	name := quote(c.Name)
	window := int64(1)
	if l, err := NewLimit(c.Rate, c.Burst); err == nil {
		window = seconds(l.Fill())
	}
	t := s.Reset
	if !s.Allowed {
		t = s.RetryAfter
	}
	hs := make([]authz.Header, 0, 3)
	hs = append(hs,
		authz.Header{Name: "ratelimit-policy", Value: fmt.Sprintf("%s;q=%d;w=%d", name, c.Burst, window)},
		authz.Header{Name: "ratelimit", Value: fmt.Sprintf("%s;r=%d;t=%d", name, max(0, s.Remaining), seconds(t))})
	if !s.Allowed {
		// A refused client must wait, were it for a nanosecond.
		hs = append(hs, authz.Header{Name: "retry-after", Value: strconv.FormatInt(max(1, seconds(t)), 10)})
	}
	return hs
}

// seconds rounds up.
func seconds(d time.Duration) int64 {
	d = max(0, d)
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}

// quote makes an RFC 9651 string. Bytes that such a string cannot hold are
// percent-encoded, so no name breaks out of its field.
func quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c > 0x7e:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
