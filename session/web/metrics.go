package web

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is how a sign-in ended: a metric label and a word of the log.
type outcome string

const (
	outcomeSuccess     outcome = "success"
	outcomeCredentials outcome = "credentials"
	outcomeGuesses     outcome = "too_many_guesses"
	outcomeBusy        outcome = "busy"
	outcomeFactor      outcome = "second_factor"
	outcomeForm        outcome = "form_refused"
	outcomeUnavailable outcome = "unavailable"
)

// local is the provider label of accounts of the gate's own.
const local = "local"

type metrics struct {
	total, success, outcomes *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, prefix string) (metrics, error) {
	m := metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "authenticate_total", Help: "Sign-ins that ended, by provider.",
		}, []string{"provider"}),
		success: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "authenticate_success_total", Help: "Sign-ins that gave a session, by provider.",
		}, []string{"provider"}),
		// Of its own, so that success by total needs no aggregation: both have
		// the same labels.
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "authenticate_outcomes_total", Help: "Sign-ins that ended, by provider and outcome.",
		}, []string{"provider", "outcome"}),
	}
	for _, o := range []outcome{outcomeSuccess, outcomeCredentials, outcomeGuesses, outcomeBusy, outcomeFactor, outcomeForm, outcomeUnavailable} {
		m.outcomes.WithLabelValues(local, string(o)) // from zero on, so that a rate sees the first one
	}
	m.total.WithLabelValues(local)
	m.success.WithLabelValues(local)
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.total, m.success, m.outcomes} {
		if err := reg.Register(c); err != nil {
			return metrics{}, fmt.Errorf("register metric: %w", err)
		}
	}
	return m, nil
}

func (m metrics) count(provider string, o outcome) {
	m.total.WithLabelValues(provider).Inc()
	m.outcomes.WithLabelValues(provider, string(o)).Inc()
	if o == outcomeSuccess {
		m.success.WithLabelValues(provider).Inc()
	}
}
