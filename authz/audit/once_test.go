package audit_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
)

// TestWhatComesToPassOnceIsToldOnce: events with the same name are one, from
// however many gates and at once, and the others of their calls are kept.
func TestWhatComesToPassOnceIsToldOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		gates := []*audit.Trail{p.open(t, nil)}
		if p.shared {
			gates = append(gates, p.open(t, nil), p.open(t, nil))
		}
		once := func(n int) session.Event { e := event("nora", n); e.Once = "demo demo-1-a demo_expired"; return e }
		appendAll(t, gates[0], once(0), once(1), event("nora", 2))
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				other := once(3)
				other.Once += "x"
				if err := gates[i%len(gates)].Append(t.Context(), event("nora", 100+i), once(i), other); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		appendAll(t, gates[0], once(4)) // nothing is left of the call
		got, err := gates[0].Entries(t.Context(), session.AuditQuery{User: "nora"})
		if err != nil || len(got) != 15 {
			t.Errorf("%d entries, want 15, error %v", len(got), err)
		}
		n := map[string]int{}
		for _, e := range got {
			n[e.Details["n"]]++
		}
		if n["0"] != 1 || n["3"] != 1 || n["4"] != 0 {
			t.Errorf("%v", n)
		}
		if end, err := verify(t, p, audit.Head{}); err != nil || end.Number != 15 {
			t.Errorf("the trail ends at %d, error %v", end.Number, err)
		}
		long := once(0)
		long.Once = strings.Repeat("a", 201)
		if err := gates[0].Append(t.Context(), long); err == nil {
			t.Error("a name of 201 bytes was taken")
		}
	})
}
