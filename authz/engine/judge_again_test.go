package engine

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine/machine"
	"pgregory.net/rapid"
)

func testEdge() *Edge {
	e := Edge{Settable: []string{"x-pomerium-*", "x-n"}, ResponseSettable: []string{"x-*"}}
	e = e.withNames([]string{"x-n", "X-N", "x-other", "x-pomerium-email"})
	return &e
}

// someDecisions draws what policies may say: decisions of all kinds, sound ones and
// others, of so few values that two are often alike in part.
func someDecisions(t *rapid.T, label string) map[string]any {
	text := rapid.SampledFrom([]string{"", "a", "b", "a_1", "A", "é", "no\n", "\xff", "u@x.com", "x-n", "cookie", "X-N"})
	name := rapid.SampledFrom([]string{"x-n", "X-N", "x-pomerium-email", "x-other", "host", "", "x y"})
	texts := rapid.SliceOfN(text, 0, 3)
	list := rapid.Map(texts, func(l []string) any { return l })
	headers := rapid.OneOf(
		rapid.Map(rapid.MapOfN(name, text, 0, 3), func(m map[string]string) any {
			out := map[string]any{}
			for k, v := range m {
				out[k] = v
			}
			return out
		}),
		rapid.Just[any](map[string]any{"x-n": []string{"a", "b"}}), rapid.Just[any](map[string]any{"x-n": 1}), rapid.Just[any]([]any{map[string]any{"x-n": "a"}}), list)
	charge := rapid.Custom(func(t *rapid.T) any {
		c := map[string]any{"name": "user", "key": text.Draw(t, "key"), "requests_per_second": rapid.SampledFrom([]any{0.5, 1, 1.0, -1, "1"}).Draw(t, "rate"), "burst": rapid.SampledFrom([]any{20, 20.0, 0}).Draw(t, "burst")}
		if rapid.Bool().Draw(t, "cost") {
			c["cost"] = rapid.SampledFrom([]any{0, 1, 21, 0.5}).Draw(t, "costs")
		}
		return c
	})
	fields := map[string]*rapid.Generator[any]{
		"allowed":                    rapid.SampledFrom([]any{true, false, true, false, "true"}),
		"reasons":                    list,
		"headers":                    headers,
		"response_headers_to_add":    headers,
		"request_headers_to_remove":  list,
		"http_status":                rapid.SampledFrom([]any{200, 401, 403.0, 99, 401.5, "401"}),
		"body":                       rapid.Map(text, func(s string) any { return s }),
		"rate_limits":                rapid.Map(rapid.SliceOfN(charge, 0, 2), func(l []any) any { return l }),
		"stream_until":               rapid.SampledFrom([]any{"2026-03-05T20:00:00-06:00", "2026-03-06T02:00:00Z", 1772762400000000000, "soon", 5}),
		"explain":                    rapid.SampledFrom([]any{true, false, 1}),
		"query_parameters_to_remove": list,
		"query_parameters_to_set":    rapid.Just[any](map[string]any{"q": "v"}),
		"dynamic_metadata":           rapid.SampledFrom([]any{map[string]any{}, map[string]any{"n": 1}}),
		"unknown":                    rapid.Just[any](1),
	}
	out := map[string]any{}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		usual := field == "allowed" || field == "reasons"
		if usual || rapid.IntRange(0, 3).Draw(t, label+field) == 0 {
			out[field] = fields[field].Draw(t, label+field)
		}
	}
	return out
}

// A record that is said to be decided alike is not looked at again: no difference
// may be lost so, and nothing that readDecision refuses may pass.
func TestWhatIsSaidAgainIsTheSameDecision(t *testing.T) {
	t.Parallel()
	edge := testEdge()
	rapid.Check(t, func(t *rapid.T) {
		now := someDecisions(t, "now ")
		then := maps.Clone(now)
		for field, x := range someDecisions(t, "then ") {
			switch rapid.IntRange(0, 9).Draw(t, "change "+field) {
			case 0:
				then[field] = x
			case 1:
				delete(then, field)
			}
		}
		was, ok := decisionOf(t, then, edge)
		if !ok {
			return
		}
		v, err := machine.Of(now)
		if err != nil {
			t.Fatal(err)
		}
		if !says(v, was, edge) {
			return
		}
		is, err := readDecision(v, edge)
		if o := compareDecisions(is, err, was, nil); o != agreed {
			t.Fatalf("said to be the same (%s, %v):\n%+v\n%+v", o, err, is, was)
		}
	})
}

// What the usual decisions say is seen at once: else each costs a decision more.
func TestUsualDecisionsAreSeenToBeTheSame(t *testing.T) {
	t.Parallel()
	edge := testEdge()
	for name, said := range map[string]map[string]any{
		"Allow": {"allowed": true, "reasons": []string{"matched_policy"}, "headers": map[string]any{"x-pomerium-email": "é@x.com", "x-n": "1"},
			"rate_limits": []any{map[string]any{"name": "user", "key": "u", "requests_per_second": 10, "burst": 20}}, "stream_until": "2026-03-05T20:00:00-06:00"},
		"Deny":    {"allowed": false, "reasons": []string{"a", "b"}, "explain": true},
		"StepUp":  {"allowed": false, "reasons": []string{"a"}, "http_status": 401, "explain": false, "body": "no"},
		"Headers": {"allowed": true, "reasons": []string{"a"}, "response_headers_to_add": map[string]any{"x-r": "1"}, "request_headers_to_remove": []string{"cookie", "x-n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			was, ok := decisionOf(t, said, edge)
			v, err := machine.Of(said)
			if !ok || err != nil || !says(v, was, edge) {
				t.Errorf("%+v is not seen (%v)", was, err)
			}
		})
	}
}

// Each field counts, by its value and by being there at all: random decisions seldom
// differ in one alone.
func TestADecisionThatDiffersInOneFieldIsNotTheSame(t *testing.T) {
	t.Parallel()
	edge := testEdge()
	charge := func(key string, burst int) []any {
		return []any{map[string]any{"name": "user", "key": key, "requests_per_second": 10, "burst": burst}}
	}
	whole := map[string]any{"allowed": false, "reasons": []string{"a", "b"}, "http_status": 401, "body": "no", "headers": map[string]any{"x-n": "1"},
		"response_headers_to_add": map[string]any{"x-r": "1"}, "request_headers_to_remove": []string{"cookie"}, "rate_limits": charge("u", 20),
		"stream_until": "2026-03-05T20:00:00-06:00", "explain": true}
	others := map[string][]any{
		"allowed": {true}, "reasons": {[]string{"a"}, []string{"a", "c"}, []string{"a", "b", "c"}}, "http_status": {403}, "body": {"yes"},
		"headers":                   {map[string]any{"x-n": "2"}, map[string]any{"x-pomerium-email": "1"}, map[string]any{"x-n": "1", "x-pomerium-email": "1"}},
		"response_headers_to_add":   {map[string]any{"x-r": "2"}, map[string]any{"x-s": "1"}},
		"request_headers_to_remove": {[]string{"x-n"}, []string{"cookie", "x-n"}}, "rate_limits": {charge("v", 20), charge("u", 21), append(charge("u", 20), charge("v", 20)...)},
		"stream_until": {"2026-03-05T20:00:01-06:00"}, "explain": {false},
	}
	same := func(now, then map[string]any) bool {
		v, err := machine.Of(now)
		if err != nil {
			t.Fatal(err)
		}
		was, ok := decisionOf(t, then, edge)
		if !ok {
			t.Fatalf("%v is refused", then)
		}
		return says(v, was, edge)
	}
	if !same(whole, whole) {
		t.Error("the whole is not the same as itself")
	}
	for field, values := range others {
		for _, x := range values {
			other := maps.Clone(whole)
			if other[field] = x; same(whole, other) || same(other, whole) {
				t.Errorf("%s of %v is taken for that of %v", field, x, whole[field])
			}
		}
		if field != "allowed" && field != "reasons" { // those are always there
			other := maps.Clone(whole)
			if delete(other, field); same(whole, other) || same(other, whole) {
				t.Errorf("without %s it is taken for the same", field)
			}
		}
	}
}

// decisionOf is what readDecision makes of a value, false if it refuses it.
func decisionOf(t interface{ Fatal(...any) }, said map[string]any, edge *Edge) (*authz.Decision, bool) {
	v, err := machine.Of(said)
	if err != nil {
		t.Fatal(err)
	}
	d, err := readDecision(v, edge)
	if err != nil {
		return nil, false
	}
	d.StreamUntil = d.StreamUntil.In(time.UTC) // as it is read from a record
	return d, true
}
