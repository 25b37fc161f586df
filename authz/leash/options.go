package leash

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// Sessions say who a stream belongs to by now. session.Manager implements it.
// Safe for concurrent use.
type Sessions interface {
	// Watch registers f for every change of a session; it must not block.
	Watch(f func(session.Change)) (stop func())
	// Live returns a session that is live at now and until when it is, unless
	// it is used before: session.ErrInvalid if it is over,
	// session.ErrUnavailable if it cannot be told.
	Live(ctx context.Context, k session.Key, now time.Time) (*session.Session, time.Time, error)
	// Current asks the store itself, whatever local copies say:
	// session.ErrNotFound if the session is over.
	Current(ctx context.Context, k session.Key) (*session.Session, error)
	// FreshUntil is until when changes made by other gates are known to be
	// heard; shared is false where there are no others.
	FreshUntil() (until time.Time, shared bool)
}

// Judge judges a request again. authz.Decider implements it.
type Judge interface {
	Rejudge(ctx context.Context, r *authz.Request) *authz.Outcome
	// Recertify looks at the request's client certificate alone.
	Recertify(r *authz.Request) *authz.Outcome
}

// Defaults of Options.
const (
	DefaultMaxStreams = 20_000 // as many as Envoy lets clients connect
	DefaultPerSession = 2_000
	DefaultMaxBytes   = 128 << 20
)

// Options make a Server; Sessions, Judge, Routes, Tickets, Revision and Logger
// are required.
type Options struct {
	Sessions Sessions
	Judge    Judge
	Routes   authz.Routes
	Tickets  *Tickets
	Logger   *slog.Logger
	// Revision names the active policy; when it changes, every stream is judged
	// again. It must be quick.
	Revision func() string
	// Lists counts the changes of the lists of revoked client certificates; when it
	// grows, every stream that one opened is judged again. It must be quick; nil
	// means that there are none.
	Lists func() uint64
	// Grace is how long after session.FeedPromise streams are still held while
	// the store of sessions cannot be heard or asked. Above 0 it forfeits the
	// promise that a revoked session is dead within a second.
	Grace time.Duration
	// MaxStreams are held at once, PerSession of one session, and Strangers of
	// nobody, so that a flood of them starves nobody who is signed in. MaxBytes is
	// how much is kept of all of them to be judged again: a KiB or two each, and
	// with a client certificate as much again; at most 48 KiB. 0 means the defaults;
	// of Strangers half of MaxStreams. What is beyond is refused with 503.
	MaxStreams, PerSession, Strangers, MaxBytes int
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

func (o *Options) complete() error {
	switch {
	case o.Sessions == nil:
		return errors.New("leash: Options.Sessions is missing")
	case o.Judge == nil:
		return errors.New("leash: Options.Judge is missing")
	case o.Routes == nil:
		return errors.New("leash: Options.Routes is missing")
	case o.Tickets == nil:
		return errors.New("leash: Options.Tickets is missing")
	case o.Revision == nil:
		return errors.New("leash: Options.Revision is missing")
	case o.Logger == nil:
		return errors.New("leash: Options.Logger is missing")
	case o.Grace < 0 || min(o.MaxStreams, o.PerSession, o.Strangers, o.MaxBytes) < 0:
		return errors.New("leash: none of Options.Grace, MaxStreams, PerSession, Strangers and MaxBytes may be negative")
	}
	o.MaxStreams = cmp.Or(o.MaxStreams, DefaultMaxStreams)
	o.PerSession = cmp.Or(o.PerSession, DefaultPerSession)
	o.Strangers = cmp.Or(o.Strangers, (o.MaxStreams+1)/2)
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	o.MetricPrefix = cmp.Or(o.MetricPrefix, "pomerium_")
	if o.Lists == nil {
		o.Lists = func() uint64 { return 1 }
	}
	return nil
}

// Causes of letting go, as metrics, logs and Envoy's response code details
// ("leash_revoked") show them.
const (
	causeRevoked  = "revoked"  // the session was ended or is not there any more
	causeExpired  = "expired"  // stream_until or the session's own end
	causeDenied   = "denied"   // policy denies it by now
	causeError    = "error"    // policy failed
	causeStore    = "store"    // the store could not be heard or asked in time
	causeShutdown = "shutdown" // this gate ends
)

var causes = []string{causeRevoked, causeExpired, causeDenied, causeError, causeStore, causeShutdown}

// Why a stream was not taken.
const (
	refusedTicket = "ticket" // none, a forged, an old or another request's
	refusedFull   = "full"
	refusedOver   = "over" // the session or the stream's time was over before it began
)

type metrics struct {
	open    prometheus.Gauge
	cut     *prometheus.CounterVec
	refused *prometheus.CounterVec
	lag     prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, prefix string) (*metrics, error) {
	m := &metrics{
		open:    prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "leash_streams", Help: "Live streams that are held."}),
		cut:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "leash_cut_total", Help: "Streams that were cut, by cause."}, []string{"cause"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "leash_refused_total", Help: "Streams that were not taken, by cause."}, []string{"cause"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "leash_lag_seconds",
			Help:    "From when a gate heard of a stream's end, or its instant, to the cut.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}}),
	}
	for _, c := range causes {
		m.cut.WithLabelValues(c)
	}
	for _, c := range []string{refusedTicket, refusedFull, refusedOver, causeStore} {
		m.refused.WithLabelValues(c)
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.open, m.cut, m.refused, m.lag} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
