package redislimit

import (
	"cmp"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
)

// by is who decided.
type by int

const (
	byRedis  by = iota // Redis
	byMemory           // what Redis said before, or a charge that is invalid
	byLocal            // the limiter in this process, instead of Redis
	byAllow            // on_error: allow
	byDeny             // on_error: deny
	deciders
)

// metrics may be nil: then nothing is counted.
type metrics struct {
	decisions [deciders][3]prometheus.Counter // by who; allowed, refused, error
	ok, bad   prometheus.Counter
	seconds   prometheus.Histogram
	checks    prometheus.Histogram
}

func newMetrics(o *Options, keys, down func() int) (*metrics, error) {
	r := o.Registerer
	if r == nil {
		return nil, nil
	}
	prefix := cmp.Or(o.MetricPrefix, "pomerium_")
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "limit_decisions_total",
		Help: "Requests judged by the shared rate limiter, by who decided (redis, memory of its answers, local take-over, on_error allow or deny) and result.",
	}, []string{"by", "result"})
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "limit_redis_calls_total",
		Help: "Script calls to Redis for rate limits, by result.",
	}, []string{"result"})
	m := &metrics{
		ok:  calls.WithLabelValues("ok"),
		bad: calls.WithLabelValues("error"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    prefix + "limit_redis_call_duration_seconds",
			Help:    "How long script calls to Redis took.",
			Buckets: []float64{50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 1},
		}),
		checks: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    prefix + "limit_redis_call_checks",
			Help:    "How many requests shared a script call.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
		}),
	}
	for i, who := range [deciders]string{"redis", "memory", "local", "allow", "deny"} {
		for j, result := range [3]string{"allowed", "refused", "error"} {
			m.decisions[i][j] = decisions.WithLabelValues(who, result)
		}
	}
	remembered := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: prefix + "limit_remembered_buckets",
		Help: "Buckets of which Redis' last answer is remembered.",
	}, func() float64 { return float64(keys()) })
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: prefix + "limit_redis_down",
		Help: "Shards of Redis (one, or 64 in a cluster) that are passed by because they do not answer in time.",
	}, func() float64 { return float64(down()) })
	return m, errors.Join(r.Register(decisions), r.Register(calls), r.Register(m.seconds), r.Register(m.checks),
		r.Register(remembered), r.Register(open))
}

func (m *metrics) decided(who by, s authz.Spent, err error) {
	if m == nil {
		return
	}
	result := 1
	if err != nil {
		result = 2
	} else if s.Allowed {
		result = 0
	}
	m.decisions[who][result].Inc()
}

func (m *metrics) call(n int, took time.Duration, err error) {
	if m == nil {
		return
	}
	if err != nil {
		m.bad.Inc()
	} else {
		m.ok.Inc()
	}
	m.seconds.Observe(took.Seconds())
	m.checks.Observe(float64(n))
}
