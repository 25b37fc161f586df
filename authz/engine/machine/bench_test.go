package machine

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

func benchInputs() map[string]map[string]any {
	demo := map[string]any{
		"neosc:demo_session_id": "demo-1234567890-abc", "neosc:demo_expires_at": "2026-03-04T18:30:00Z", "neosc:workspace_type": "linux",
	}
	c := newChooser(2)
	make := func(route, method, path string, segments, roles []any, settings, claims map[string]any) map[string]any {
		in := c.input()
		in["parsed_path"] = segments
		in["attributes"] = map[string]any{
			"source":            map[string]any{"address": map[string]any{"socketAddress": map[string]any{"address": "203.0.113.9", "portValue": 4711}}},
			"request":           map[string]any{"http": map[string]any{"id": "7d4f", "method": method, "path": path, "host": "portal.kappa4.com", "scheme": "https", "protocol": "HTTP/1.1", "headers": map[string]any{"accept": "text/html", "user-agent": "test"}}},
			"contextExtensions": map[string]any{"route": route},
		}
		in["route"] = map[string]any{"name": route, "policy": settings, "identity_headers": map[string]any{"prefix": "x-pomerium-"}}
		in["session"] = map[string]any{
			"id": "5c1e", "user": map[string]any{"id": "user-7", "email": "ana@kappa4.com", "email_verified": true, "name": "Ana"},
			"roles": roles, "groups": []any{"field", "ops"}, "claims": claims, "provider": "local",
			"authenticated_at": "2026-03-04T17:00:00Z", "expires_at": "2026-03-05T01:00:00Z", "amr": []any{"pwd"}, "kind": "browser",
		}
		return in
	}
	none := map[string]any{}
	both := map[string]any{"business_hours": true, "rate_limit": true}
	return map[string]map[string]any{
		"PortalAllSettings": make("portal", "GET", "/a", []any{"a"}, []any{"neosc"}, both, demo),
		"APIRead":           make("api", "GET", "/a", []any{"a"}, []any{"user"}, none, none),
		"APIReadOnly":       make("api", "POST", "/a", []any{"a"}, []any{"user"}, none, none),
		"WorkspaceDemo":     make("workspace", "GET", "/", []any{""}, []any{"demo-user"}, none, demo),
		"GateAPISelf":       make("gate-api", "DELETE", "/api/sessions/5c1e", []any{"api", "sessions", "5c1e"}, []any{"user"}, none, none),
	}
}

var noon = time.Date(2026, 3, 4, 18, 0, 0, 0, time.UTC)

func BenchmarkMachine(b *testing.B) {
	p := shipped(b, nil)
	for name, input := range benchInputs() {
		p.agree(b, input, noon)
		in, err := Of(input)
		if err != nil {
			b.Fatal(err)
		}
		f := p.program.Frame()
		f.Fill(in)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.arena.reset()
				if _, _, err := p.program.Run(context.Background(), f, noon); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStock is what OPA's evaluator takes for the same inputs, which are in
// its own representation already.
func BenchmarkStock(b *testing.B) {
	p := shipped(b, nil)
	for name, input := range benchInputs() {
		in, err := ast.InterfaceToValue(input)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.stock.Eval(context.Background(), rego.EvalParsedInput(in), rego.EvalTime(noon)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAgainstStock takes turns with OPA's evaluator, a millisecond or so
// each, and reports the median of how many times as fast the machine is.
func BenchmarkAgainstStock(b *testing.B) {
	p := shipped(b, nil)
	for name, input := range benchInputs() {
		in, err := Of(input)
		if err != nil {
			b.Fatal(err)
		}
		stock, f := ast.MustInterfaceToValue(input), p.program.Frame()
		f.Fill(in)
		b.Run(name, func(b *testing.B) {
			var ratios, own []float64
			for b.Loop() {
				start := time.Now()
				for range 10 {
					if _, err := p.stock.Eval(context.Background(), rego.EvalParsedInput(stock), rego.EvalTime(noon)); err != nil {
						b.Fatal(err)
					}
				}
				middle := time.Now()
				for range 400 {
					f.arena.reset()
					if _, _, err := p.program.Run(context.Background(), f, noon); err != nil {
						b.Fatal(err)
					}
				}
				took := float64(time.Since(middle)) / 400
				own = append(own, took)
				ratios = append(ratios, float64(middle.Sub(start))/10/took)
			}
			slices.Sort(ratios)
			slices.Sort(own)
			b.ReportMetric(ratios[len(ratios)/2], "times")
			b.ReportMetric(own[len(own)/2], "ns/decision")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkCold empties the caches before each decision, as the rest of a server
// does: what counts then is how much memory a decision touches. It reports the
// median.
func BenchmarkCold(b *testing.B) {
	p := shipped(b, nil)
	others := make([]byte, 4<<20) // eight times a core's own caches
	for name, input := range benchInputs() {
		in, err := Of(input)
		if err != nil {
			b.Fatal(err)
		}
		f := p.program.Frame()
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				f.arena.reset()
				f.Fill(in)
				for i := 0; i < len(others); i += 64 {
					others[i]++
				}
				start := time.Now()
				if _, _, err := p.program.Run(context.Background(), f, noon); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "ns/decision")
			b.ReportMetric(0, "ns/op")
		})
	}
}
