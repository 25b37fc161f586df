package bundles

import (
	"github.com/prometheus/client_golang/prometheus"
)

// outcome is how an attempt to activate ended.
type outcome string

const (
	activated outcome = "activated"
	refused   outcome = "refused"
	unaltered outcome = "unchanged"
)

// meters are the manager's metrics.
type meters struct {
	attempts *prometheus.CounterVec
	sequence prometheus.Gauge
	expires  prometheus.Gauge
	up       prometheus.Gauge // nil: there is no server
}

func newMeters(prefix string, remote bool) *meters {
	m := &meters{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "policy_activations_total",
			Help: "Attempts to activate a policy set, by outcome: activated, refused or unchanged.",
		}, []string{"outcome"}),
		sequence: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "policy_bundle_sequence",
			Help: "Sequence of the active bundle; 0 if it has none or the policy is no bundle.",
		}),
		expires: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "policy_bundle_signature_expires_timestamp_seconds",
			Help: "When the active bundle's signature ends to hold; 0 if it does not or there is none.",
		}),
	}
	for _, o := range []outcome{activated, refused, unaltered} {
		m.attempts.WithLabelValues(string(o))
	}
	if remote {
		m.up = prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "policy_bundle_server_up",
			Help: "1 if the bundle server answered as it should when it was asked last, else 0.",
		})
	}
	return m
}

func (m *meters) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	all := []prometheus.Collector{m.attempts, m.sequence, m.expires}
	if m.up != nil {
		all = append(all, m.up)
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *meters) outcome(o outcome) { m.attempts.WithLabelValues(string(o)).Inc() }

// active shows the bundle that is active, nil if the policy is none.
func (m *meters) active(b *BundleStatus) {
	m.sequence.Set(0)
	m.expires.Set(0)
	if b == nil {
		return
	}
	m.sequence.Set(float64(b.Sequence))
	if at := b.Signature.ExpiresAt; !at.IsZero() {
		m.expires.Set(float64(at.Unix()))
	}
}

func (m *meters) source(err error) {
	switch {
	case m.up == nil:
	case err == nil:
		m.up.Set(1)
	default:
		m.up.Set(0)
	}
}
