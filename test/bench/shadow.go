package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"

	watched "github.com/neosc/gate/bundles/shadow"
)

// What a candidate in shadow of all requests may cost, as ratios to the same gate
// without one.
const (
	maxShadowCPU = 1.15
	// maxShadowP99 is nothing, but for what two runs of one gate differ by.
	maxShadowP99 = 1.1
)

// shadowPart measures what a candidate costs that decides all requests beside
// the active policy, which is the same one: nothing differs, as it mostly does
// not. The decisions of the active one are remembered, as they are by default:
// beside those that are evaluated each time it costs less of the whole.
func shadowPart(ctx context.Context, r *report, s *stand) error {
	gate, err := s.startGate(ctx, gateOptions{name: "gate", cache: true})
	if err != nil {
		return err
	}
	shadow, err := s.startGate(ctx, gateOptions{name: "shadow", cache: true})
	if err != nil {
		return err
	}
	watch := exec.CommandContext(ctx, s.gateBin, "policy", "shadow", "start", "-socket", filepath.Join("run", "admin.sock"), "-dir", "policies", "-share", "1")
	watch.Dir = shadow.dir
	if out, err := watch.CombinedOutput(); err != nil {
		return fmt.Errorf("gate policy shadow start: %w\n%s", err, out)
	}
	for _, callers := range []int{1, manyCallers} {
		m, err := interleave(blocks, []*contender{gate, shadow}, func(c *contender) (*burst, error) {
			return c.client.run(ctx, c.calls, callers, blockTime)
		})
		if err != nil {
			return fmt.Errorf("at %d callers: %w", callers, err)
		}
		m.costs(r, callers)
		m.cost(r, callers, shadow, gate, maxShadowCPU)
		m.times(r, callers, shadow, gate, 0, maxShadowP99)
	}
	status := exec.CommandContext(ctx, s.gateBin, "policy", "shadow", "status", "-json", "-socket", filepath.Join("run", "admin.sock"))
	status.Dir = shadow.dir
	out, err := status.Output()
	if err != nil {
		return fmt.Errorf("gate policy shadow status: %w", err)
	}
	var did watched.Report
	if err := json.Unmarshal(out, &did); err != nil {
		return fmt.Errorf("gate policy shadow status: %w", err)
	}
	if did.Compared == 0 || did.Disagreed > 0 {
		return fmt.Errorf("one policy beside itself: %d compared, %d differ", did.Compared, did.Disagreed)
	}
	r.figure("shadow_left_out", 100*float64(did.Dropped+did.Skipped)/float64(did.Compared+did.Dropped+did.Skipped), "%", 0)
	return nil
}
