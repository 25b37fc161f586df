package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/neosc/gate/test/idp/hostile"
	"github.com/neosc/gate/test/redistest"
)

// The bounds of a Check, as ratios of server CPU to a stock grpc-go no-op on
// the same socket type, but where another unit is named.
const (
	maxAtOne    = 1.0  // at 1 caller
	maxAtMany   = 0.8  // at 16 and 64 callers
	maxOfTuned  = 1.0  // of a no-op with the same options
	maxP99      = 1.1  // of the no-op's at 16 callers
	maxRedis    = 1.1  // with limits in Redis
	maxBearer   = 1.05 // of the same gate's with cookies
	maxCached   = 1.0  // of the gate that evaluates each time
	maxEnvoy    = 0.9  // behind Envoy
	maxAdded    = 1.05 // of the time that the no-op adds behind Envoy
	maxAllocs   = 60   // allocations a Check
	maxOwn      = 5    // of which ours
	manyCallers = 16
)

const (
	blocks    = 20
	blockTime = 250 * time.Millisecond
)

// checkParts measure what a Check costs gate with everything on: session by
// real cookie, policy, limit, access and decision logs, metrics. The unit is a
// stock grpc-go no-op. Blocks of all servers take turns.
func checkParts() []part {
	return []part{
		{"cpu", onStand(checkCPU)}, {"map", onStand(checkMap)}, {"ways", onStand(checkWays)}, {"allocations", onStand(checkAllocations)},
		{"envoy", onStand(checkEnvoy)}, {"opa", onStand(checkOPA)},
	}
}

// onStand gives a part a folder with the two programs, and cleans up after it.
func onStand(measure func(ctx context.Context, r *report, s *stand) error) func(context.Context, *report) error {
	return func(ctx context.Context, r *report) error {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s := &stand{dir: dir}
		defer s.stop()
		if s.stockBin, err = build(ctx, dir, "stock", "./test/bench/stock"); err != nil {
			return err
		}
		if s.gateBin, err = build(ctx, dir, "gate", "./cmd/gate"); err != nil {
			return err
		}
		return measure(ctx, r, s)
	}
}

// startChecked starts a gate that evaluates each time, and what it is measured
// against.
func (s *stand) startChecked(ctx context.Context) (noop, tuned, gate *contender, err error) {
	if gate, err = s.startGate(ctx, gateOptions{name: "gate"}); err != nil {
		return nil, nil, nil, err
	}
	if noop, err = s.startStock(ctx, "noop", gate.people); err != nil {
		return nil, nil, nil, err
	}
	tuned, err = s.startStock(ctx, "tuned", gate.people, "-tuned")
	return noop, tuned, gate, err
}

// checkCPU evaluates each time.
func checkCPU(ctx context.Context, r *report, s *stand) error {
	noop, tuned, gate, err := s.startChecked(ctx)
	if err != nil {
		return err
	}
	return compareChecks(ctx, r, noop, tuned, gate)
}

// checkMap is checkCPU with headers in a map, as every Envoy sends them unless it
// is told otherwise: to both sides, so that a stock server is measured as people
// run it.
func checkMap(ctx context.Context, r *report, s *stand) error {
	noop, tuned, gate, err := s.startChecked(ctx)
	if err != nil {
		return err
	}
	if err := withMaps(ctx, &noop, &tuned, &gate); err != nil {
		return err
	}
	return compareChecks(ctx, r, noop, tuned, gate)
}

// boundsOf are those of a check's CPU and p99, 0 for none, against the no-op's.
func boundsOf(callers int) (cpu, p99 float64) {
	switch callers {
	case 1:
		return maxAtOne, 0
	case manyCallers:
		return maxAtMany, maxP99
	}
	return maxAtMany, 0
}

// compareChecks measures at 1, 16 and 64 callers.
func compareChecks(ctx context.Context, r *report, noop, tuned, gate *contender) error {
	for _, callers := range []int{1, manyCallers, 64} {
		m, err := interleave(blocks, []*contender{noop, tuned, gate}, func(c *contender) (*burst, error) {
			return c.client.run(ctx, c.calls, callers, blockTime)
		})
		if err != nil {
			return fmt.Errorf("at %d callers: %w", callers, err)
		}
		most, p99 := boundsOf(callers)
		m.costs(r, callers)
		m.cost(r, callers, gate, noop, most)
		m.cost(r, callers, gate, tuned, maxOfTuned)
		m.times(r, callers, gate, noop, 0, p99)
	}
	return nil
}

// checkWays compares ways to come to the same decision: evaluated or
// remembered, by cookie or token, limits here or in Redis.
func checkWays(ctx context.Context, r *report, s *stand) error {
	redis, err := redistest.Socket()
	if err != nil {
		return err
	}
	defer func() { _ = redis.Close() }()
	world := hostile.Start()
	defer world.Close()
	issuer := world.Issuer("bench")
	gate, err := s.startGate(ctx, gateOptions{name: "gate", more: "accounts: {passwords: on}\nproviders:\n" + issuer.Provider("")})
	if err != nil {
		return err
	}
	cached, err := s.startGate(ctx, gateOptions{name: "cached", cache: true})
	if err != nil {
		return err
	}
	shared, err := s.startGate(ctx, gateOptions{name: "redis", more: fmt.Sprintf("limits: {store: redis, redis: %q}\n", redis.URL)})
	if err != nil {
		return err
	}
	noop, err := s.startStock(ctx, "noop", gate.people)
	if err != nil {
		return err
	}
	bearer, err := gate.withTokens(ctx, issuer)
	if err != nil {
		return err
	}
	m, err := interleave(blocks, []*contender{noop, gate, cached, shared, bearer}, func(c *contender) (*burst, error) {
		return c.client.run(ctx, c.calls, manyCallers, blockTime)
	})
	if err != nil {
		return err
	}
	m.costs(r, manyCallers)
	m.cost(r, manyCallers, cached, gate, maxCached)
	m.cost(r, manyCallers, shared, noop, maxRedis)
	m.cost(r, manyCallers, bearer, gate, maxBearer)
	return nil
}

// checkAllocations counts what a Check leaves to the collector, and what of it
// is ours: a server that does nothing but take and give bytes, with the same
// options, makes the rest.
func checkAllocations(ctx context.Context, r *report, s *stand) error {
	gate, err := s.startGate(ctx, gateOptions{name: "gate"})
	if err != nil {
		return err
	}
	bare, err := s.startStock(ctx, "bare", gate.people, "-bare", "-stats", filepath.Join(s.dir, "stats.sock"))
	if err != nil {
		return err
	}
	bare.stats = unixClient(filepath.Join(s.dir, "stats.sock"))
	counts := map[*contender]float64{}
	for _, c := range []*contender{gate, bare} {
		if counts[c], err = c.allocations(ctx); err != nil {
			return err
		}
	}
	r.figure("gate_allocations@16", counts[gate], "allocations/check", maxAllocs)
	r.figure("bare_allocations@16", counts[bare], "allocations/check", 0)
	r.figure("own_allocations@16", counts[gate]-counts[bare], "allocations/check", maxOwn)
	return nil
}

// checkOPA is what the same rules cost with OPA's evaluator in a stock server.
func checkOPA(ctx context.Context, r *report, s *stand) error {
	gate, err := s.startGate(ctx, gateOptions{name: "gate"})
	if err != nil {
		return err
	}
	sessions := filepath.Join(s.dir, "sessions.json")
	if err := writeSessions(sessions, gate.people); err != nil {
		return err
	}
	opa, err := s.startStock(ctx, "opa", gate.people, "-policies", filepath.Join(gate.dir, "policies"), "-sessions", sessions)
	if err != nil {
		return err
	}
	noop, err := s.startStock(ctx, "noop", gate.people)
	if err != nil {
		return err
	}
	m, err := interleave(blocks, []*contender{noop, opa, gate}, func(c *contender) (*burst, error) {
		return c.client.run(ctx, c.calls, manyCallers, blockTime)
	})
	if err != nil {
		return err
	}
	m.costs(r, manyCallers)
	m.cost(r, manyCallers, opa, noop, 0)
	m.cost(r, manyCallers, gate, opa, 0)
	return nil
}
