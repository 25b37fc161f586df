package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

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
	if err := shadow.watch(ctx, s.gateBin, "policies"); err != nil {
		return err
	}
	for _, callers := range []int{1, manyCallers} {
		if err := shadowRun(ctx, r, gate, shadow, callers); err != nil {
			return err
		}
	}
	if err := shadow.watched(ctx, r, s.gateBin); err != nil {
		return err
	}
	reading := *shadow
	reading.name = "reading"
	if err := reading.readsMore(); err != nil {
		return err
	}
	if err := reading.watch(ctx, s.gateBin, "candidate"); err != nil {
		return err
	}
	if err := shadowRun(ctx, r, gate, &reading, manyCallers); err != nil {
		return err
	}
	return reading.watched(ctx, r, s.gateBin)
}

func shadowRun(ctx context.Context, r *report, gate, shadow *contender, callers int) error {
	m, err := interleave(blocks, []*contender{gate, shadow}, func(c *contender) (*burst, error) {
		return c.client.run(ctx, c.calls, callers, blockTime)
	})
	if err != nil {
		return fmt.Errorf("at %d callers: %w", callers, err)
	}
	m.costs(r, callers)
	m.cost(r, callers, shadow, gate, maxShadowCPU)
	m.times(r, callers, shadow, gate, 0, maxShadowP99)
	return nil
}

// watch has a candidate decide beside the policy of a gate.
func (c *contender) watch(ctx context.Context, gateBin, dir string) error {
	start := exec.CommandContext(ctx, gateBin, "policy", "shadow", "start", "-socket", filepath.Join("run", "admin.sock"), "-dir", dir, "-share", "1")
	start.Dir = c.dir
	if out, err := start.CombinedOutput(); err != nil {
		return fmt.Errorf("gate policy shadow start: %w\n%s", err, out)
	}
	return nil
}

// readsMore makes a candidate that decides alike but reads a header, which the
// active policy does not: that the two agree on a request says nothing of the
// next one then, and each is decided.
func (c *contender) readsMore() error {
	to := filepath.Join(c.dir, "candidate")
	if err := os.CopyFS(to, os.DirFS(filepath.Join(c.dir, "policies"))); err != nil {
		return err
	}
	file := filepath.Join(to, "authz.rego")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const rule = "permitted if {\n"
	changed := strings.Replace(string(text), rule, rule+"\tnot input.attributes.request.http.headers[\"user-agent\"] == \"none\"\n", 1)
	if changed == string(text) {
		return errors.New("the shipped policy has no rule permitted")
	}
	return os.WriteFile(file, []byte(changed), 0o600)
}

// watched looks at what came of it: all are compared, and nothing differs.
func (c *contender) watched(ctx context.Context, r *report, gateBin string) error {
	status := exec.CommandContext(ctx, gateBin, "policy", "shadow", "status", "-json", "-socket", filepath.Join("run", "admin.sock"))
	status.Dir = c.dir
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
	r.figure(c.name+"_left_out", 100*float64(did.Dropped+did.Skipped)/float64(did.Compared+did.Dropped+did.Skipped), "%", 0)
	return nil
}
