package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// throughBlocks are of edgeBlockTime, for each number of callers and contender.
const throughBlocks = 6

// throughPart says what the edge does as a whole: an Envoy that asks nobody, one
// that asks a stock no-op and one that asks gate, at 1, 16 and 64 callers. All of
// it, callers and upstream too, shares the machine's cores.
func throughPart(ctx context.Context, r *report, s *stand) error {
	gate, err := s.startGate(ctx, gateOptions{name: "gate"})
	if err != nil {
		return err
	}
	noop, err := s.startStock(ctx, "noop", gate.people)
	if err != nil {
		return err
	}
	stop, err := serveUpstream(filepath.Join(gate.dir, "up.sock"))
	if err != nil {
		return err
	}
	defer stop()
	contenders := []*contender{{name: "nobody", people: gate.people}, noop, gate}
	edges := map[*contender]*edge{}
	for _, c := range contenders {
		if edges[c], err = startEdge(ctx, gate.dir, c); err != nil {
			return err
		}
		defer edges[c].stop()
	}
	for _, callers := range []int{1, 16, 64} {
		seen := map[*contender]*through{}
		for block := range throughBlocks + 1 {
			for i := range contenders {
				c := contenders[(block+i)%len(contenders)]
				x, err := look(ctx, edges[c], c, c == gate, callers)
				if err != nil {
					return fmt.Errorf("envoy+%s: %w", c.name, err)
				}
				if block == 0 {
					seen[c] = &through{} // the first warms up
					continue
				}
				seen[c].add(x)
			}
		}
		for _, c := range contenders {
			seen[c].tell(r, "envoy+"+c.name, callers)
		}
	}
	return nil
}

// through are values of blocks: requests a second, times as callers see them in
// µs, and CPU a request of Envoy and of whom it asks.
type through struct{ rps, p50, p99, envoy, server []float64 }

func (x *through) add(y through) {
	x.rps, x.p50, x.p99 = append(x.rps, y.rps...), append(x.p50, y.p50...), append(x.p99, y.p99...)
	x.envoy, x.server = append(x.envoy, y.envoy...), append(x.server, y.server...)
}

func (x *through) tell(r *report, name string, callers int) {
	for _, f := range []struct {
		what   string
		values []float64
		unit   string
	}{
		{"rps", x.rps, "requests/s"}, {"p50", x.p50, "µs"}, {"p99", x.p99, "µs"},
		{"envoy_cpu", x.envoy, "µs/request"}, {"server_cpu", x.server, "µs/request"},
	} {
		r.figure(fmt.Sprintf("%s_%s@%d", name, f.what, callers), median(f.values), f.unit, 0)
	}
}

// look measures one block.
func look(ctx context.Context, e *edge, c *contender, wantIdentity bool, callers int) (x through, err error) {
	envoy, err := e.cpu()
	if err != nil {
		return x, err
	}
	server, err := c.used()
	if err != nil {
		return x, err
	}
	began := time.Now()
	b, err := e.run(ctx, c.people, wantIdentity, callers, edgeBlockTime)
	if err != nil {
		return x, err
	}
	took, n := time.Since(began), float64(b.calls)
	envoyAfter, err := e.cpu()
	if err != nil {
		return x, err
	}
	serverAfter, err := c.used()
	if err != nil {
		return x, err
	}
	return through{
		rps: []float64{n / took.Seconds()}, p50: []float64{micros(b.quantile(0.5))}, p99: []float64{micros(b.quantile(0.99))},
		envoy: []float64{micros(envoyAfter-envoy) / n}, server: []float64{micros(serverAfter-server) / n},
	}, nil
}
