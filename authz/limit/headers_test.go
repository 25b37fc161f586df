package limit_test

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/limit"
)

func TestHeaders(t *testing.T) {
	cases := map[string]struct {
		charge authz.Charge
		spent  authz.Spent
		want   string
	}{
		"Allowed": {user("a"), authz.Spent{Allowed: true, Remaining: 5, Reset: 1500 * time.Millisecond},
			`ratelimit-policy: "user";q=20;w=2|ratelimit: "user";r=5;t=2`},
		"Refused": {user("a"), authz.Spent{RetryAfter: 70 * time.Millisecond, Reset: 2 * time.Second},
			`ratelimit-policy: "user";q=20;w=2|ratelimit: "user";r=0;t=1|retry-after: 1`},
		"WholeSecond": {user("a"), authz.Spent{RetryAfter: time.Second},
			`ratelimit-policy: "user";q=20;w=2|ratelimit: "user";r=0;t=1|retry-after: 1`},
		"OneNanosecondMore": {user("a"), authz.Spent{RetryAfter: time.Second + 1},
			`ratelimit-policy: "user";q=20;w=2|ratelimit: "user";r=0;t=2|retry-after: 2`},
		"OddWindow": {authz.Charge{Name: "o", Rate: 3, Burst: 10}, authz.Spent{Allowed: true, Remaining: 9},
			`ratelimit-policy: "o";q=10;w=4|ratelimit: "o";r=9;t=0`},
		"Quoted": {authz.Charge{Name: "a\"b\\c\r\nd é", Rate: 1, Burst: 1}, authz.Spent{Allowed: true},
			`ratelimit-policy: "a\"b\\c%0D%0Ad %C3%A9";q=1;w=1|ratelimit: "a\"b\\c%0D%0Ad %C3%A9";r=0;t=0`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, h := range limit.Headers(c.charge, c.spent) {
				got = append(got, h.Name+": "+h.Value)
			}
			if g := strings.Join(got, "|"); g != c.want {
				t.Errorf("got  %s\nwant %s", g, c.want)
			}
		})
	}
}

// TestHeadersAreStructuredFields: whatever the limit is called, the value is
// one RFC 9651 item with integer parameters.
func TestHeadersAreStructuredFields(t *testing.T) {
	item := regexp.MustCompile(`^"([\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"(;[a-z]=[0-9]{1,15})+$`)
	rapid.Check(t, func(t *rapid.T) {
		c := authz.Charge{Name: string(rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "name")), Rate: 10, Burst: 20}
		s := authz.Spent{RetryAfter: time.Duration(rapid.Int64Range(0, int64(limit.MaxFill)).Draw(t, "retry"))}
		for _, h := range limit.Headers(c, s)[:2] {
			if !item.MatchString(h.Value) {
				t.Fatalf("%s: %s", h.Name, h.Value)
			}
		}
	})
}

// TestWaitingAsToldIsNeverTooEarly: who waits Retry-After seconds is admitted.
func TestWaitingAsToldIsNeverTooEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, err := limit.NewLocal(limit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := drawCharge(t, "user")
		c.Cost = 1
		now := start
		for {
			s, err := l.Spend(context.Background(), now, []authz.Charge{c})
			if err != nil {
				t.Fatal(err)
			}
			if s.Allowed {
				now = now.Add(time.Microsecond / 3)
				continue
			}
			hs := limit.Headers(c, s)
			wait, err := time.ParseDuration(hs[2].Value + "s")
			if err != nil || wait < s.RetryAfter || wait >= s.RetryAfter+time.Second && wait > time.Second {
				t.Fatalf("%v for %v", hs, s.RetryAfter)
			}
			if s, err := l.Spend(context.Background(), now.Add(wait), []authz.Charge{c}); err != nil || !s.Allowed {
				t.Fatalf("after %v: %+v, %v", wait, s, err)
			}
			return
		}
	})
}

// broken is a limiter in trouble that is set to admit then.
type broken struct{ strict bool }

func (b broken) Spend(context.Context, time.Time, []authz.Charge) (authz.Spent, error) {
	if b.strict {
		return authz.Spent{Allowed: true}, errors.New("out of reach")
	}
	return authz.Spent{Allowed: true, Limiting: -1}, nil
}

func (b broken) Strict() authz.Limiter { return broken{strict: true} }

func TestGuesses(t *testing.T) {
	g := limit.NewGuesses(newLocal(t, limit.Options{}))
	for i := range 5 {
		if ok, _, err := g.Take(t.Context(), start, "sign_in", "alice", 1.0/60, 5); !ok || err != nil {
			t.Fatalf("guess %d: %v, %v", i, ok, err)
		}
	}
	if ok, retry, err := g.Take(t.Context(), start, "sign_in", "alice", 1.0/60, 5); ok || err != nil || retry.Round(time.Second) != time.Minute {
		t.Errorf("guess 6: %v, %v, %v, want refused for a minute", ok, retry, err)
	}
	if ok, _, err := g.Take(t.Context(), start, "sign_in", "alice", 0, 5); ok || !errors.Is(err, limit.ErrInvalid) {
		t.Errorf("rate 0: %v, %v", ok, err)
	}
	if ok, _, err := limit.NewGuesses(broken{}).Take(t.Context(), start, "n", "k", 1, 1); ok || err == nil {
		t.Errorf("limiter out of reach: %v, %v, want refused", ok, err)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	l := newLocal(t, limit.Options{Registerer: reg, MaxKeys: 1})
	one := authz.Charge{Name: "n", Key: "k", Rate: 1, Burst: 1, Cost: 1}
	spend(t, l, start, one)
	spend(t, l, start, one)
	one.Rate = -1
	_, _ = l.Spend(t.Context(), start, []authz.Charge{one})
	want := map[string]float64{
		"pomerium_limit_buckets local":              1,
		"pomerium_limit_spends_total local allowed": 1,
		"pomerium_limit_spends_total local full":    0,
		"pomerium_limit_spends_total local invalid": 1,
		"pomerium_limit_spends_total local refused": 1,
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("metrics %v, want %v", got, want)
	}
	if _, err := limit.NewLocal(limit.Options{Registerer: reg}); err == nil {
		t.Error("a second limiter of the same name was registered")
	}
	if _, err := limit.NewLocal(limit.Options{MaxKeys: -1}); err == nil {
		t.Error("MaxKeys -1 was taken")
	}
}
