package main

import (
	"fmt"
	"time"
)

// measured are the blocks of contenders that took turns, so that a change of
// the machine's mood falls on all of them.
type measured struct {
	contenders []*contender
	of         map[*contender]*samples
}

// samples are one value a block, in µs: CPU of the server per call, and times as
// callers see them.
type samples struct{ cpu, p50, p99 []float64 }

// interleave runs n blocks of each contender, after one that warms up. Who is
// first changes from round to round.
func interleave(n int, cs []*contender, run func(c *contender) (*burst, error)) (*measured, error) {
	m := &measured{cs, map[*contender]*samples{}}
	for _, c := range cs {
		m.of[c] = &samples{}
	}
	for block := range n + 1 {
		for i := range cs {
			c := cs[(block+i)%len(cs)]
			before, err := c.used()
			if err != nil {
				return nil, err
			}
			b, err := run(c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			after, err := c.used()
			if err != nil {
				return nil, err
			}
			if block == 0 {
				continue
			}
			s := m.of[c]
			s.cpu = append(s.cpu, micros(after-before)/float64(b.calls))
			s.p50 = append(s.p50, micros(b.quantile(0.5)))
			s.p99 = append(s.p99, micros(b.quantile(0.99)))
		}
	}
	return m, nil
}

// used is the CPU time of the contender's server, none where there is none.
func (c *contender) used() (time.Duration, error) {
	if c.process == nil {
		return 0, nil
	}
	return c.cpu()
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// costs prints what each took, cost the ratio of two.
func (m *measured) costs(r *report, callers int) {
	for _, c := range m.contenders {
		r.figure(fmt.Sprintf("%s_cpu@%d", c.name, callers), median(m.of[c].cpu), "µs/check", 0)
	}
}

func (m *measured) cost(r *report, callers int, a, b *contender, bound float64) {
	r.ratio(fmt.Sprintf("%s/%s_cpu@%d", a.name, b.name, callers), ratios(m.of[a].cpu, m.of[b].cpu), bound)
}

// times prints the ratios of medians and 99th percentiles.
func (m *measured) times(r *report, callers int, a, b *contender, p50, p99 float64) {
	r.ratio(fmt.Sprintf("%s/%s_p50@%d", a.name, b.name, callers), ratios(m.of[a].p50, m.of[b].p50), p50)
	r.ratio(fmt.Sprintf("%s/%s_p99@%d", a.name, b.name, callers), ratios(m.of[a].p99, m.of[b].p99), p99)
}

func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}
