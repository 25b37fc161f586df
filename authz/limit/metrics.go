package limit

import (
	"cmp"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
)

// metrics may be nil: then nothing is counted.
type metrics struct {
	allowed, refused, invalid, full prometheus.Counter
}

func newMetrics(o Options, keys func() int) (*metrics, error) {
	if o.Registerer == nil {
		return nil, nil
	}
	if o.Name == "" {
		o.Name = "local"
	}
	prefix := cmp.Or(o.MetricPrefix, "pomerium_")
	labels := prometheus.Labels{"limiter": o.Name}
	spends := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name:        prefix + "limit_spends_total",
		Help:        "Requests whose charges an in-process limiter judged, by result.",
		ConstLabels: labels,
	}, []string{"result"})
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        prefix + "limit_buckets",
		Help:        "Buckets that an in-process limiter holds.",
		ConstLabels: labels,
	}, func() float64 { return float64(keys()) })
	if err := errors.Join(o.Registerer.Register(spends), o.Registerer.Register(held)); err != nil {
		return nil, err
	}
	return &metrics{
		allowed: spends.WithLabelValues("allowed"),
		refused: spends.WithLabelValues("refused"),
		invalid: spends.WithLabelValues("invalid"),
		full:    spends.WithLabelValues("full"),
	}, nil
}

func (m *metrics) count(s authz.Spent, err error) {
	switch {
	case m == nil:
	case errors.Is(err, ErrInvalid):
		m.invalid.Inc()
	case err != nil:
		m.full.Inc()
	case s.Allowed:
		m.allowed.Inc()
	default:
		m.refused.Inc()
	}
}
