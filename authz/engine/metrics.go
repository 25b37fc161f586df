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
	by         *prometheus.CounterVec
	byMachine  prometheus.Counter
	byCache    prometheus.Counter
	byOPA      prometheus.Counter
	compared   *prometheus.CounterVec
	rules      *ruleCollector
	active     *prometheus.GaugeVec
	outcomes   *prometheus.GaugeVec
}

func newMeters(prefix string) *meters {
	m := &meters{
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "policy_evaluation_duration_seconds",
			Help: "Time from a request to policy's decision on it, without those from the cache.",
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
		by: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "policy_decisions_total",
			Help: "Decisions by what took them: the machine, its cache, or OPA's evaluator.",
		}, []string{"evaluator"}),
		compared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "policy_comparisons_total",
			Help: "Decisions of the machine that were compared with OPA's evaluator, by outcome.",
		}, []string{"outcome"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "policy_evaluator",
			Help: "1 for the evaluator that the active policy runs on, 0 for the other.",
		}, []string{"evaluator"}),
		outcomes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "policy_comparison_outcomes",
			Help: "Ways in which the blocks of the active policy may end, taken or undefined, by whether an input of the comparison came to them; 0 until it is over.",
		}, []string{"reached"}),
		rules:  newRuleCollector(prefix),
		errors: map[Kind]prometheus.Counter{},
	}
	m.byMachine, m.byCache, m.byOPA = m.by.WithLabelValues(Machine), m.by.WithLabelValues(Cached), m.by.WithLabelValues(OPA)
	for _, o := range []outcome{agreed, inconclusive, disagreed, dropped} {
		m.compared.WithLabelValues(string(o))
	}
	for _, k := range []Kind{Undefined, Malformed, Timeout, Evaluation, BadRequest, Inactive} {
		m.errors[k] = m.all.WithLabelValues(string(k))
	}
	return m
}

func (m *meters) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.duration, m.all, m.generation, m.success, m.timestamp, m.by, m.compared, m.active, m.outcomes, m.rules} {
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

// decided counts a decision that was taken, or failed, by an evaluator.
func (m *meters) decided(by string) {
	switch by {
	case Machine:
		m.byMachine.Inc()
	case Cached:
		m.byCache.Inc()
	default:
		m.byOPA.Inc()
	}
}

func (m *meters) comparison(o outcome) { m.compared.WithLabelValues(string(o)).Inc() }

// evaluator shows what a runs on, if nothing newer is active.
func (m *meters) evaluator(a *activation) {
	if e := m.rules.engine.Load(); e == nil || e.active.Load() != a {
		return
	}
	s := a.state.Load()
	m.outcomes.WithLabelValues("yes").Set(float64(s.Reached))
	m.outcomes.WithLabelValues("no").Set(float64(s.Outcomes - s.Reached))
	for _, by := range []string{OPA, Machine} {
		v := 0.0
		if by == s.Evaluator {
			v = 1
		}
		m.active.WithLabelValues(by).Set(v)
	}
}

func (m *meters) failed(err error) { m.errors[kindOf(err)].Inc() }
