package audit

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// metrics of a Trail. Actions are the gate's own words, never a client's.
type metrics struct {
	events *prometheus.CounterVec
	failed prometheus.Counter
	took   prometheus.Histogram
	shared prometheus.Histogram
	last   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, prefix string) (*metrics, error) {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "audit_events_total", Help: "Events written to the audit trail, by action and outcome.",
		}, []string{"action", "outcome"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "audit_failures_total", Help: "Events that could not be written to the audit trail; what they told of was refused, but for ends of sessions.",
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "audit_append_duration_seconds", Help: "How long callers waited until their events were on disk.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		shared: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "audit_batch_entries", Help: "Entries that shared one transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "audit_last_number", Help: "Number of the entry that this gate wrote last."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.events, m.failed, m.took, m.shared, m.last} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) appended(events []session.Event, err error, took time.Duration) {
	m.took.Observe(took.Seconds())
	if err != nil {
		m.failed.Add(float64(len(events)))
		return
	}
	for _, e := range events {
		m.events.WithLabelValues(string(e.Action), string(e.Outcome)).Inc()
	}
}

func (m *metrics) written(number uint64, n int) {
	m.last.Set(float64(number))
	m.shared.Observe(float64(n))
}

// notaryMetrics of a Notary.
type notaryMetrics struct {
	signed, exported, failed, pruned prometheus.Counter
	last                             prometheus.Gauge
}

func newNotaryMetrics(reg prometheus.Registerer, prefix string) (*notaryMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	m := &notaryMetrics{
		signed:   counter("audit_checkpoints_total", "Checkpoints of the audit trail that were signed."),
		exported: counter("audit_checkpoints_exported_total", "Checkpoints that left the trail's database."),
		failed:   counter("audit_checkpoint_failures_total", "Rounds in which no checkpoint could be signed or exported; at the first the log says why."),
		pruned:   counter("audit_pruned_entries_total", "Entries that retention took out."),
		last:     prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "audit_checkpoint_number", Help: "Number of the entry of the last checkpoint that this gate signed."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.signed, m.exported, m.failed, m.pruned, m.last} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}
