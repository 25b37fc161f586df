package audit_test

import (
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// Gates' clocks differ, and what waits in a queue is added late.
func TestEntriesThatWereAddedOutOfOrderAreFoundByTheirTimes(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		tr := p.open(t, nil)
		for _, minute := range []int{0, 30, 21, 29, 60, 52, 61} {
			appendAll(t, tr, event("ana", 60*minute))
		}
		for name, tt := range map[string]struct {
			since, until int // minutes; -1: none
			want         int
		}{
			"Since":   {29, -1, 5},
			"Until":   {-1, 30, 3},
			"Between": {21, 53, 4},
			"After":   {100, -1, 0},
			"Before":  {-1, 0, 0},
			"All":     {0, 100, 7},
		} {
			q := session.AuditQuery{}
			if tt.since >= 0 {
				q.Since = noon.Add(time.Duration(tt.since) * time.Minute)
			}
			if tt.until >= 0 {
				q.Until = noon.Add(time.Duration(tt.until) * time.Minute)
			}
			for _, q.User = range []string{"", "ana"} {
				if got, err := tr.Entries(t.Context(), q); err != nil || len(got) != tt.want {
					t.Errorf("%s of %q: %d entries, %v, want %d", name, q.User, len(got), err, tt.want)
				}
			}
		}
	})
}
