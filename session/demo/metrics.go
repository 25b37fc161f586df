package demo

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

type metrics struct {
	active   *prometheus.GaugeVec
	started  *prometheus.CounterVec
	ended    *prometheus.CounterVec
	refused  *prometheus.CounterVec
	lag      prometheus.Histogram
	cleaned  prometheus.Histogram
	failures *prometheus.CounterVec
	orphans  *prometheus.CounterVec
	trouble  prometheus.Counter
	oldest   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, prefix string) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	m := &metrics{
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "demo_sessions", Help: "Demo sessions that have not ended, by their state, and those whose things are being taken away (cleaning).",
		}, []string{"status"}),
		started: counter("demo_sessions_started_total", "Demo sessions that began, by their kind of workspace.", "kind"),
		ended:   counter("demo_sessions_ended_total", "Demo sessions that ended, by why: expired, revoked, failed or refused.", "cause"),
		refused: counter("demo_requests_refused_total", "Requests for a demo session that were one too many, by whose: user, organization, address or all.", "cap"),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "demo_cleanup_lag_seconds", Help: "Time from the end of a demo session to the beginning of its clean-up.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		cleaned: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "demo_cleanup_seconds", Help: "Time from the end of a demo session until all that was made for it was gone.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800, 7200},
		}),
		failures: counter("demo_step_failures_total", "Steps of demo sessions that failed, each try counted, by step and phase.", "step", "phase"),
		orphans:  counter("demo_orphans_removed_total", "Things that no live demo session owns and that were taken away, by the step that found them.", "step"),
		trouble: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "demo_work_failures_total", Help: "Times that due work on demo sessions could not be claimed or written down.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "demo_cleanup_oldest_seconds", Help: "How long ago the first of those demo sessions ended whose things are not all gone; 0 if there is none.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.active, m.started, m.ended, m.refused, m.lag, m.cleaned, m.failures, m.orphans, m.trouble, m.oldest} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}

// begin has all that will be counted be there from the start: a counter that first
// appears as 1 is none that has risen to whoever watches it.
func (m *metrics) begin(o *Options) {
	for _, s := range []string{"pending", "starting", "active", "cleaning"} {
		m.active.WithLabelValues(s)
	}
	for _, c := range []string{"expired", "revoked", "failed", "refused"} {
		m.ended.WithLabelValues(c)
	}
	for _, c := range []string{"user", "organization", "address", "all"} {
		m.refused.WithLabelValues(c)
	}
	for _, k := range o.Kinds {
		m.started.WithLabelValues(k.Name)
	}
	for _, s := range o.stepNames() {
		m.failures.WithLabelValues(s, session.PhaseStart)
		m.failures.WithLabelValues(s, session.PhaseEnd)
		m.orphans.WithLabelValues(s)
	}
}
