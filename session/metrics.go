package session

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a Manager. No label has a value that a client could choose.
type metrics struct {
	active                                  prometheus.Gauge
	hits, misses, stale                     prometheus.Counter
	created                                 *prometheus.CounterVec
	revoked, swept, houseFailed             prometheus.Counter
	touchWritten, touchDropped, touchFailed prometheus.Counter
}

func newMetrics(r prometheus.Registerer, prefix string) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: prefix + name, Help: help}
	}
	lookups := prometheus.NewCounterVec(counter("session_cache_lookups_total",
		"Sessions looked up, by where they were found: hit (local copy), miss (store), stale (local copy served while the store is away)."), []string{"result"})
	touches := prometheus.NewCounterVec(counter("session_touches_total",
		"Moves of a session's idle end: written, dropped (queue full), failed (store away)."), []string{"result"})
	m := &metrics{
		active:       prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "active_sessions", Help: "Live sessions in the store."}),
		hits:         lookups.WithLabelValues("hit"),
		misses:       lookups.WithLabelValues("miss"),
		stale:        lookups.WithLabelValues("stale"),
		created:      prometheus.NewCounterVec(counter("sessions_created_total", "Sessions begun, by kind."), []string{"kind"}),
		revoked:      prometheus.NewCounter(counter("sessions_revoked_total", "Sessions ended before their time.")),
		swept:        prometheus.NewCounter(counter("sessions_swept_total", "Records removed after their end.")),
		houseFailed:  prometheus.NewCounter(counter("session_housekeeping_failures_total", "Sweeps and counts that the store refused.")),
		touchWritten: touches.WithLabelValues("written"),
		touchDropped: touches.WithLabelValues("dropped"),
		touchFailed:  touches.WithLabelValues("failed"),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.active, lookups, touches, m.created, m.revoked, m.swept, m.houseFailed} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}
