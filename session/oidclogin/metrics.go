package oidclogin

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.HistogramVec
	keys     *prometheus.GaugeVec
	logouts  *prometheus.CounterVec
	// of refreshes
	refreshes  *prometheus.CounterVec
	refreshing *prometheus.HistogramVec
	locked     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, prefix string) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "provider_request_duration_seconds", Help: "How long providers took to answer, by provider, endpoint and outcome (ok, refused, failed).",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"provider", "endpoint", "outcome"}),
		keys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "provider_keys_fetched_timestamp_seconds", Help: "When a provider's keys were fetched last; their age is time() less this.",
		}, []string{"provider"}),
		logouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "provider_logouts_total", Help: "Logout tokens that providers sent, by provider and outcome (ended, replayed, refused, failed).",
		}, []string{"provider", "outcome"}),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "provider_refreshes_total", Help: "Refreshes of sessions by provider and outcome: renewed, refused (the session ended), lost (the answer did not come; the session ends with its access token), away (tried again later), superseded (another gate was first), failed.",
		}, []string{"provider", "outcome"}),
		refreshing: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "provider_refresh_duration_seconds", Help: "How long refreshes took that reached for the provider, by provider.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"provider"}),
		locked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "provider_refresh_locked_total", Help: "Times that a refresh was left to whoever holds its lock, by provider. No request waits for it.",
		}, []string{"provider"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.keys, m.logouts, m.refreshes, m.refreshing, m.locked} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metric: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) asked(provider, endpoint string, status int, err error, took time.Duration) {
	outcome := "ok"
	switch {
	case err != nil || status >= 500:
		outcome = "failed"
	case status >= 400:
		outcome = "refused"
	}
	m.requests.WithLabelValues(provider, endpoint, outcome).Observe(took.Seconds())
}

func (m *metrics) keysFetched(provider string, at time.Time) {
	m.keys.WithLabelValues(provider).Set(float64(at.Unix()))
}

func (m *metrics) loggedOut(provider, outcome string) {
	m.logouts.WithLabelValues(provider, outcome).Inc()
}

// refreshed counts a refresh, and how long it took if it reached the provider.
func (m *metrics) refreshed(provider string, o outcome, sent bool, took time.Duration) {
	if o == locked {
		m.locked.WithLabelValues(provider).Inc()
		return
	}
	m.refreshes.WithLabelValues(provider, string(o)).Inc()
	if sent {
		m.refreshing.WithLabelValues(provider).Observe(took.Seconds())
	}
}
