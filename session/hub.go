package session

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// FeedPromise is how long after the last proof that a feed is alive copies
	// may be served: no revoked session lives longer than this.
	FeedPromise = time.Second
	// FeedPing is how often a feed asks for that proof.
	FeedPing = 200 * time.Millisecond
	// Pauses before a feed connects again.
	firstPause, longestPause = 20 * time.Millisecond, 500 * time.Millisecond
)

// Hub is what the feeds of all stores have in common: who watches, until when
// copies are fresh, and connecting again after a break. A store embeds it to
// implement Feed and brings the listening. Safe for concurrent use.
type Hub struct {
	log    *slog.Logger
	up     prometheus.Gauge
	breaks prometheus.Counter
	lag    prometheus.Histogram
	fresh  atomic.Pointer[time.Time]

	mu       sync.Mutex
	watchers map[int]func(Key)
	next     int
}

// NewHub returns a Hub. reg, which may be nil, takes its metrics: whether
// changes are heard, and how often that broke off.
func NewHub(log *slog.Logger, reg prometheus.Registerer, metricPrefix string) (*Hub, error) {
	h := &Hub{
		log: log, watchers: make(map[int]func(Key)),
		up:     prometheus.NewGauge(prometheus.GaugeOpts{Name: metricPrefix + "session_feed_up", Help: "1 while changes of sessions by other gates are heard, else 0."}),
		breaks: prometheus.NewCounter(prometheus.CounterOpts{Name: metricPrefix + "session_feed_breaks_total", Help: "Times that hearing of changes of sessions broke off or could not begin."}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metricPrefix + "session_feed_lag_seconds", Help: "How old changes of sessions may be that are only now known to have been heard: the most that a revocation by another gate takes.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .2, .3, .5, .75, 1},
		}),
	}
	if reg == nil {
		return h, nil
	}
	for _, c := range []prometheus.Collector{h.up, h.breaks, h.lag} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return h, nil
}

// Watch implements Feed. stop must not be called from f.
func (h *Hub) Watch(f func(Key)) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := h.next
	h.next++
	h.watchers[id] = f
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, id)
	}
}

// FreshUntil implements Feed. It is zero before the feed was first up and
// after Run; when the feed breaks it stands still.
func (h *Hub) FreshUntil() time.Time {
	if t := h.fresh.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Tell passes on which record changed; the zero Key means that any may have.
func (h *Hub) Tell(k Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watchers {
		w(k)
	}
}

// Begin says that every change from now on is heard, and has all copies of
// before dropped.
func (h *Hub) Begin() {
	h.Tell(Key{})
	h.log.Info("changes of sessions by other gates are heard")
}

// Heard says that all changes made before at have been passed on: copies may
// be served until FeedPromise later.
func (h *Hub) Heard(at time.Time) {
	until := at.Add(FeedPromise)
	h.fresh.Store(&until)
	h.up.Set(1)
	h.lag.Observe(max(0, time.Since(at).Seconds()))
}

// Run calls listen, which connects, calls Begin and then Heard again and again
// until its connection fails, and calls it anew until ctx is done.
func (h *Hub) Run(ctx context.Context, listen func(context.Context) error) {
	defer h.fresh.Store(nil)
	pause := firstPause
	for {
		began := time.Now()
		err := listen(ctx)
		h.up.Set(0)
		if ctx.Err() != nil {
			return
		}
		h.breaks.Inc()
		if time.Since(began) > 2*FeedPromise {
			pause = firstPause
		}
		if pause == firstPause {
			h.log.Warn("changes of sessions by other gates are not heard; after a second local copies are not served", "error", err)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		pause = min(2*pause, longestPause)
	}
}
