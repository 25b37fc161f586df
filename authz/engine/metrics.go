package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meters are the engine's metrics.
type meters struct {
	duration   prometheus.Histogram
	errors     map[Kind]prometheus.Counter
	all        *prometheus.CounterVec
	generation prometheus.Gauge
	success    prometheus.Gauge
	timestamp  prometheus.Gauge
}

func newMeters(prefix string) *meters {
	m := &meters{
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "policy_evaluation_duration_seconds",
			Help: "Time from a request to policy's decision on it.",
			// A compiled program takes single microseconds, OPA's evaluator about a
			// hundred, and the timeout is 50 ms.
			Buckets: []float64{
				2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4,
				1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1,
			},
		}),
		all: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "policy_errors_total",
			Help: "Decisions that policy could not take, by kind.",
		}, []string{"kind"}),
		generation: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "policy_generation",
			Help: "Number of the active policy's activation in this process; 0 before the first.",
		}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "policy_last_activation_success",
			Help: "1 if the last policy that was offered is active, 0 if it was refused.",
		}),
		timestamp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "policy_last_activation_timestamp_seconds",
			Help: "When the active policy was activated.",
		}),
		errors: map[Kind]prometheus.Counter{},
	}
	for _, k := range []Kind{Undefined, Malformed, Timeout, Evaluation, BadRequest, Inactive} {
		m.errors[k] = m.all.WithLabelValues(string(k))
	}
	return m
}

func (m *meters) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.duration, m.all, m.generation, m.success, m.timestamp} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *meters) activated(generation uint64, now time.Time) {
	m.generation.Set(float64(generation))
	m.success.Set(1)
	m.timestamp.Set(float64(now.UnixMilli()) / 1e3)
}

func (m *meters) failed(err error) { m.errors[kindOf(err)].Inc() }
