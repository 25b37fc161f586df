package engine

import "testing"

// BenchmarkBuildInput is our own part of a decision on OPA's evaluator.
func BenchmarkBuildInput(b *testing.B) {
	builder := newBuilder(Edge{SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-"})
	r := fullRequest()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := builder.build(r); err != nil {
			b.Fatal(err)
		}
	}
}
