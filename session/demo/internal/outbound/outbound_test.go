package outbound

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/neosc/gate/session"
)

// A name that stands for another address than loopback gets nothing over plain http.
func TestPlainHTTPStaysOnLoopback(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "192.0.2.1:80": false, "[2001:db8::1]:80": false, "nonsense": false} {
		if err := onlyLoopback("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func FuzzRetryAfterIsBounded(f *testing.F) {
	for _, v := range []string{"", "1", "-1", "99999999999999999999", "Thu, 05 Mar 2026 12:01:00 GMT", "Thu, 05 Mar 1026 12:01:00 GMT"} {
		f.Add(v)
	}
	now := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, v string) {
		if d := retryAfter(v, now); d < 0 || d > session.MaxStepDelay {
			t.Fatalf("%q is %v", v, d)
		}
	})
}

func FuzzWordsFitErrors(f *testing.F) {
	f.Add("a\x00b\nc\xff")
	f.Fuzz(func(t *testing.T, s string) {
		w := Words(s)
		if len(w) > 200 || !utf8.ValidString(w) || strings.ContainsFunc(w, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q is %q", s, w)
		}
	})
}
