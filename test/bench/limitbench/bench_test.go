package limitbench_test

import (
	"testing"
	"time"

	"github.com/neosc/gate/test/bench/limitbench"
)

// TestRunMeasures keeps the measurement working; the bench command holds the
// figures to their bounds, on a quiet machine.
func TestRunMeasures(t *testing.T) {
	r, err := limitbench.Run(t.Context(), limitbench.Options{Block: 100 * time.Millisecond, Blocks: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r)
	for name, f := range map[string]limitbench.Figure{"plain": r.Plain, "batched": r.Batched} {
		if f.Checks == 0 || f.ClientCPU <= 0 || f.RedisCPU <= 0 || f.P50 <= 0 || f.P99 < f.P50 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
