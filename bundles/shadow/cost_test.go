package shadow_test

import (
	"testing"
	"time"

	"github.com/neosc/gate/authz"
)

// TestCostOnThePath: nothing without a candidate, one piece of memory with one.
func TestCostOnThePath(t *testing.T) {
	s := newStand(t, time.Hour)
	r := request("GET", "admin")
	d, err := s.live.Decide(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	o := &authz.Outcome{Verdict: authz.Allowed, Status: 200, Decision: d, Reasons: d.Reasons}
	if n := testing.AllocsPerRun(100, func() { s.Observe(r, o, 0) }); n != 0 {
		t.Errorf("%v allocations without a candidate", n)
	}
	s.start(policy, 1)
	for range 512 { // the slots' own lists
		s.Observe(r, o, 0)
	}
	s.report()
	n := 2.0
	for range 20 { // what the goroutine that compares allocates meanwhile counts as well
		if n = min(n, testing.AllocsPerRun(100, func() { s.Observe(r, o, 0) })); n <= 1 {
			return
		}
	}
	t.Errorf("%v allocations with one, want 1", n)
}

// BenchmarkAll is what it costs on the path and off it.
func BenchmarkAll(b *testing.B) {
	s := newStand(b, time.Hour)
	r := request("GET", "admin")
	d, err := s.live.Decide(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	o := &authz.Outcome{Verdict: authz.Allowed, Status: 200, Decision: d, Reasons: d.Reasons}
	s.start(policy, 1)
	b.ReportAllocs()
	for i := range b.N {
		if i%512 == 511 {
			s.report()
		}
		s.Observe(r, o, 0)
	}
	s.report()
}
