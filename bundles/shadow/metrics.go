package shadow

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// What comes of a request that is to be decided in shadow; metric labels.
const (
	resultAgreed    = "agreed"
	resultDisagreed = "disagreed"
	// resultStale: the policies have changed meanwhile.
	resultStale = "stale"
	// resultDropped: too many waited. resultSkipped: it is larger than is kept.
	resultDropped = "dropped"
	resultSkipped = "skipped"
)

type meters struct {
	active      prometheus.Gauge
	decisions   *prometheus.CounterVec
	differences *prometheus.CounterVec
}

func newMeters(prefix string) *meters {
	return &meters{
		active:      prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "policy_shadow_active", Help: "1 while a candidate policy decides beside the live one."}),
		decisions:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "policy_shadow_decisions_total", Help: "Requests that a candidate policy was to decide, by what came of it."}, []string{"result"}),
		differences: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "policy_shadow_differences_total", Help: "Differences between the candidate's decisions and the live ones, by kind."}, []string{"kind"}),
	}
}

func (m *meters) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	return errors.Join(r.Register(m.active), r.Register(m.decisions), r.Register(m.differences))
}

func (m *meters) count(result string, n uint64) {
	if n > 0 {
		m.decisions.WithLabelValues(result).Add(float64(n))
	}
}

func (m *meters) differ(kind string) { m.differences.WithLabelValues(kind).Inc() }
