package limit_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

// FuzzCharge: whatever a policy asks for is either refused with ErrInvalid and
// charged nothing, or judged; and the headers stay within their fields.
func FuzzCharge(f *testing.F) {
	f.Add("user", "alice", 10.0, 20, 1, int64(0))
	f.Add("", "", math.NaN(), -1, -1, int64(math.MinInt64))
	f.Add("a\"\r\nSet-Cookie: x", "k", math.Inf(1), 1<<40, 1<<40, int64(math.MaxInt64))
	f.Add("n", strings.Repeat("k", 300), 5e-324, 1_000_000, 1_000_000, int64(1))
	f.Add("n", "k", 0.1286008230452675, 1_000_000, 1_000_000, int64(1e18))
	f.Fuzz(func(t *testing.T, name, key string, rate float64, burst, cost int, at int64) {
		l, err := limit.NewLocal(limit.Options{MaxKeys: 64})
		if err != nil {
			t.Fatal(err)
		}
		c := authz.Charge{Name: name, Key: key, Rate: rate, Burst: burst, Cost: cost}
		now := start.Add(time.Duration(at))
		s, err := l.Spend(context.Background(), now, []authz.Charge{c})
		for _, h := range limit.Headers(c, s) {
			if strings.ContainsAny(h.Value, "\r\n\x00") || !utf8.ValidString(h.Value) {
				t.Fatalf("header %q", h.Value)
			}
		}
		if err != nil {
			if !errors.Is(err, limit.ErrInvalid) || s.Allowed || l.Len() != 0 {
				t.Fatalf("%+v, %v, %d buckets", s, err, l.Len())
			}
			return
		}
		if !s.Allowed || s.Remaining != burst-cost || s.Reset < 0 || s.Reset > limit.MaxFill || s.RetryAfter != 0 {
			t.Fatalf("a full bucket of %d, cost %d: %+v", burst, cost, s)
		}
		for range 3 {
			s, err = l.Spend(context.Background(), now, []authz.Charge{c})
			if err != nil || s.Remaining < 0 || s.RetryAfter < 0 || s.RetryAfter > limit.MaxFill || s.Allowed == (s.RetryAfter > 0) {
				t.Fatalf("%+v, %v", s, err)
			}
		}
	})
}
