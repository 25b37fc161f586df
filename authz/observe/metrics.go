package observe

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
)

// DefaultPrefix begins the metrics' names unless configured otherwise: the
// dashboards and alerts of the source texts ask for these.
const DefaultPrefix = "pomerium_"

const (
	// unknownRoute stands for a route that Envoy named and the routes file
	// lacks, or none: what a caller says never becomes a label.
	unknownRoute = "unknown"
	// otherReason stands for every reason beyond the cap.
	otherReason = "other"
	// defaultReasons is how many distinct reasons get a series of their own.
	// Policies name them freely, so an error in one could make thousands.
	defaultReasons = 64
)

// buckets reach from a cached decision (under a microsecond) to the second at
// which Envoy gives up. Native histograms would allocate on the hot path.
var buckets = []float64{
	250e-9, 500e-9, 1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6,
	1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1,
}

// MetricsOptions make Metrics.
type MetricsOptions struct {
	// Registerer gets the collectors. Required.
	Registerer prometheus.Registerer
	// Prefix begins every metric's name; "" means DefaultPrefix.
	Prefix string
	// Routes are the names in the routes file.
	Routes []string
	// MaxReasons is how many distinct reasons get series; 0 means 64.
	MaxReasons int
}

// Metrics counts and times decisions. Observe takes no lock and allocates
// nothing once a reason has been seen. Safe for concurrent use.
type Metrics struct {
	total, denied *prometheus.CounterVec
	check         prometheus.Histogram
	panics        prometheus.Counter
	routes        atomic.Pointer[map[string]*routeCounters]
	unknown       *routeCounters

	mu      sync.Mutex // guards what follows and changes of the maps
	reasons map[string]bool
	most    int
}

// routeCounters are one route's counters, looked up beforehand.
type routeCounters struct {
	name     string
	verdicts [authz.Failed + 1]prometheus.Counter
	// denied is replaced whole when a reason is new.
	denied atomic.Pointer[map[string]prometheus.Counter]
}

// NewMetrics registers the collectors.
func NewMetrics(o MetricsOptions) (*Metrics, error) {
	if o.Registerer == nil {
		return nil, errors.New("observe: MetricsOptions.Registerer is missing")
	}
	prefix, err := metricPrefix(o.Prefix)
	if err != nil {
		return nil, err
	}
	if o.MaxReasons <= 0 {
		o.MaxReasons = defaultReasons
	}
	m := &Metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "authorize_total",
			Help: "Decisions, by verdict and route."}, []string{"verdict", "route"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "authorize_deny_total",
			Help: "Decisions other than allow, each counted once under the first of its reasons in alphabetical order."},
			[]string{"reason", "route"}),
		check: prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "check_duration_seconds", Buckets: buckets,
			Help: "How long a decision took, from session to answer."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "check_panics_total",
			Help: "Panics caught in a check, each answered with 503."}),
		reasons: map[string]bool{}, most: o.MaxReasons,
	}
	if err := register(o.Registerer, m.total, m.denied, m.check, m.panics); err != nil {
		return nil, err
	}
	m.unknown = m.newRoute(unknownRoute)
	m.SetRoutes(o.Routes)
	return m, nil
}

// SetRoutes makes names the routes that have series of their own, as after a
// reload of the routes file. Series of routes that went stay until a restart.
func (m *Metrics) SetRoutes(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.routes.Load()
	next := make(map[string]*routeCounters, len(names))
	for _, name := range names {
		var known *routeCounters
		if old != nil {
			known = (*old)[name]
		}
		switch {
		case known != nil:
			next[name] = known
		case name == unknownRoute:
			next[name] = m.unknown
		default:
			next[name] = m.newRoute(name)
		}
	}
	m.routes.Store(&next)
}

// newRoute resolves all verdicts at once, so that each series is there, at 0,
// before the first decision: rates over a series that is born at 1 miss it.
func (m *Metrics) newRoute(name string) *routeCounters {
	c := &routeCounters{name: name}
	for v := range c.verdicts {
		c.verdicts[v] = m.total.WithLabelValues(authz.Verdict(v).String(), name)
	}
	c.denied.Store(&map[string]prometheus.Counter{})
	return c
}

// Observe implements authz.Observer.
func (m *Metrics) Observe(r *authz.Request, o *authz.Outcome, took time.Duration) {
	c := m.unknown
	if r.Route != nil {
		if known := (*m.routes.Load())[r.Route.Name]; known != nil {
			c = known
		}
	}
	v := o.Verdict
	if int(v) >= len(c.verdicts) {
		v = authz.Denied
	}
	c.verdicts[v].Inc()
	m.check.Observe(took.Seconds())
	if v == authz.Allowed {
		return
	}
	reason := otherReason
	if len(o.Reasons) > 0 {
		reason = o.Reasons[0]
	}
	if counter := (*c.denied.Load())[reason]; counter != nil {
		counter.Inc()
	} else {
		m.newReason(c, reason).Inc()
	}
	if o.Err != nil {
		if _, ok := errors.AsType[*authz.PanicError](o.Err); ok {
			m.Panic()
		}
	}
}

// newReason gives a reason its series, or the shared one when there are too
// many or it is no code.
func (m *Metrics) newReason(c *routeCounters, reason string) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	label := otherReason
	if reason != otherReason && reasonCode(reason) && (m.reasons[reason] || len(m.reasons) < m.most) {
		label = strings.Clone(reason) // the request owns it
		m.reasons[label] = true
	}
	old := *c.denied.Load()
	counter := old[label]
	if counter != nil {
		return counter
	}
	next := make(map[string]prometheus.Counter, len(old)+1)
	for k, x := range old {
		next[k] = x
	}
	counter = m.denied.WithLabelValues(label, c.name)
	next[label] = counter
	c.denied.Store(&next)
	return counter
}

// Panic counts a panic that was caught outside the Decider.
func (m *Metrics) Panic() { m.panics.Inc() }

// reasonCode reports whether s is what the policy contract calls a reason:
// [a-z0-9_]{1,64}.
func reasonCode(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

var prefixForm = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)

func metricPrefix(p string) (string, error) {
	if p == "" {
		return DefaultPrefix, nil
	}
	if !prefixForm.MatchString(p) {
		return "", fmt.Errorf("metric prefix %q: only letters, digits and _ are possible, at most 64, not beginning with a digit", p)
	}
	return p, nil
}

// register registers all or none.
func register(r prometheus.Registerer, cs ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for i, c := range cs {
		if err := r.Register(c); err != nil {
			for _, done := range cs[:i] {
				r.Unregister(done)
			}
			return fmt.Errorf("observe: %w", err)
		}
	}
	return nil
}
