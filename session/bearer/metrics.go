package bearer

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a Verifier. No label has a value that a client could choose.
type metrics struct {
	cached, verified, refused, unavailable prometheus.Counter
	reasons                                map[*refusal]prometheus.Counter
	fetches, questions                     *prometheus.CounterVec
	took                                   *prometheus.HistogramVec
}

func newMetrics(v *Verifier) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: v.o.MetricPrefix + name, Help: help}, labels)
	}
	results := counter("bearer_tokens_total",
		"Access tokens of providers, by what came of them: cached (known already), verified, refused, unavailable (it could not be told).", "result")
	reasons := counter("bearer_refused_total", "Access tokens refused, by reason.", "reason")
	m := &metrics{
		cached: results.WithLabelValues("cached"), verified: results.WithLabelValues("verified"),
		refused: results.WithLabelValues("refused"), unavailable: results.WithLabelValues("unavailable"),
		reasons:   map[*refusal]prometheus.Counter{},
		fetches:   counter("bearer_key_fetches_total", "Fetches of a provider's keys.", "provider", "result"),
		questions: counter("bearer_introspections_total", "Questions to a provider about opaque tokens.", "provider", "result"),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: v.o.MetricPrefix + "bearer_introspection_duration_seconds", Help: "How long a provider took to answer about a token.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"provider"}),
	}
	for _, r := range refusals {
		m.reasons[r] = reasons.WithLabelValues(r.reason)
	}
	if v.o.Registerer == nil {
		return m, nil
	}
	list := []prometheus.Collector{results, reasons, m.fetches, m.questions, m.took,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: v.o.MetricPrefix + "bearer_cached_tokens", Help: "Access tokens remembered."},
			func() float64 { n, _ := v.cache.size(); return float64(n) })}
	for _, x := range v.issuers {
		list = append(list, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: v.o.MetricPrefix + "bearer_keys_age_seconds", Help: "How old the keys of a provider are; 0 before they are first needed.",
			ConstLabels: prometheus.Labels{"provider": x.p.ID},
		}, x.keys.age))
	}
	for _, c := range list {
		if err := v.o.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) fetched(provider string) func(bool) {
	return func(ok bool) { m.fetches.WithLabelValues(provider, result(ok)).Inc() }
}

func (m *metrics) asked(provider string) func(time.Duration, error) {
	return func(took time.Duration, err error) {
		m.questions.WithLabelValues(provider, result(err == nil)).Inc()
		m.took.WithLabelValues(provider).Observe(took.Seconds())
	}
}

func result(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}
