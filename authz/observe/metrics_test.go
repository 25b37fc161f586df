package observe

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
)

func newMetrics(t testing.TB, o MetricsOptions) (*Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	o.Registerer = reg
	m, err := NewMetrics(o)
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

func TestDecisionsAreCountedByVerdictAndRoute(t *testing.T) {
	t.Parallel()
	m, _ := newMetrics(t, MetricsOptions{Routes: []string{"api", "portal"}})
	r, o := sample()
	m.Observe(r, o, 3*time.Microsecond)
	m.Observe(r, &authz.Outcome{Verdict: authz.Denied, Reasons: []string{"outside_business_hours", "role_required"}}, 0)
	m.Observe(&authz.Request{RouteName: "made-up"}, &authz.Outcome{Verdict: authz.Denied, Reasons: []string{"unknown_route"}}, 0)
	m.Observe(&authz.Request{Route: &authz.Route{Name: "gone"}}, &authz.Outcome{Verdict: authz.Failed}, 0)
	if n := series(m.denied); n != 3 {
		t.Errorf("%d series of denials, want 3", n)
	}
	for labels, n := range map[[2]string]float64{{"other", "unknown"}: 1, {"outside_business_hours", "api"}: 1, {"unknown_route", "unknown"}: 1} {
		if got := value(t, m.denied.WithLabelValues(labels[0], labels[1])); got != n {
			t.Errorf("%v: %v, want %v", labels, got, n)
		}
	}
	for labels, n := range map[[2]string]float64{{"allow", "api"}: 1, {"deny", "api"}: 1, {"deny", "unknown"}: 1, {"error", "unknown"}: 1, {"allow", "portal"}: 0} {
		if got := value(t, m.total.WithLabelValues(labels[0], labels[1])); got != n {
			t.Errorf("%v: %v, want %v", labels, got, n)
		}
	}
	if n := series(m.total); n != 3*4 {
		t.Errorf("%d series: every verdict of every route should be there from the start", n)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	m, _ := newMetrics(t, MetricsOptions{Routes: []string{"api"}, MaxReasons: 3})
	r, _ := sample()
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for i := range 200 {
				m.Observe(r, &authz.Outcome{Verdict: authz.Denied, Reasons: []string{fmt.Sprintf("reason_%d_%d", c, i)}}, 0)
			}
		})
	}
	wg.Wait()
	for _, bad := range []string{"", "Upper", "with space", "new\nline", "\xff", strings.Repeat("x", 65)} {
		m.Observe(r, &authz.Outcome{Verdict: authz.Denied, Reasons: []string{bad}}, 0)
	}
	if n := series(m.denied); n != 4 {
		t.Errorf("%d series, want 3 reasons and other", n)
	}
	if got := value(t, m.denied.WithLabelValues("other", "api")); got != 4*200-3+6 {
		t.Errorf("other has %v", got)
	}
}

func TestReasonsAreNotKeptInTheRequestsMemory(t *testing.T) {
	t.Parallel()
	m, _ := newMetrics(t, MetricsOptions{Routes: []string{"api"}})
	r, _ := sample()
	m.Observe(r, &authz.Outcome{Verdict: authz.Denied, Reasons: []string{"role_required"}}, 0)
	m.Observe(r, &authz.Outcome{Verdict: authz.Denied, Reasons: []string{"role_required"}}, 0)
	if got := value(t, m.denied.WithLabelValues("role_required", "api")); got != 2 {
		t.Errorf("counted %v", got)
	}
}

func TestPanicsAreCounted(t *testing.T) {
	t.Parallel()
	m, _ := newMetrics(t, MetricsOptions{})
	m.Observe(&authz.Request{}, &authz.Outcome{Verdict: authz.Failed, Reasons: []string{"internal_error"}, Err: &authz.PanicError{}}, 0)
	m.Observe(&authz.Request{}, &authz.Outcome{Verdict: authz.Failed, Reasons: []string{"policy_error"}, Err: io.EOF}, 0)
	m.Panic()
	if got := value(t, m.panics); got != 2 {
		t.Errorf("counted %v", got)
	}
}

func TestRoutesMayChangeWhileCounting(t *testing.T) {
	t.Parallel()
	m, _ := newMetrics(t, MetricsOptions{Routes: []string{"api"}})
	r, o := sample()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 1000 {
			m.Observe(r, o, 0)
		}
	})
	wg.Go(func() {
		for range 100 {
			m.SetRoutes([]string{"api", "new", unknownRoute})
		}
	})
	wg.Wait()
	if got := value(t, m.total.WithLabelValues("allow", "api")); got != 1000 {
		t.Errorf("counted %v", got)
	}
	m.SetRoutes([]string{"new"})
	m.Observe(r, o, 0)
	if got := value(t, m.total.WithLabelValues("allow", "unknown")); got != 1 {
		t.Errorf("a route that went counts as %v", got)
	}
}

func TestMetricsTakeThePrefixAndRegisterAllOrNothing(t *testing.T) {
	t.Parallel()
	m, reg := newMetrics(t, MetricsOptions{Prefix: "edge_"})
	r, o := sample()
	m.Observe(r, o, 0)
	if n := gathered(t, reg, "edge_authorize_total", "edge_check_duration_seconds"); n != 5 {
		t.Errorf("%d series", n)
	}
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "pomerium_check_panics_total", Help: "x"}))
	if _, err := NewMetrics(MetricsOptions{Registerer: taken}); err == nil {
		t.Fatal("took a name twice")
	}
	if n := gathered(t, taken); n != 1 {
		t.Errorf("%d series are left of a failed start", n)
	}
	if _, err := NewMetrics(MetricsOptions{Registerer: taken, Prefix: "with-dash"}); err == nil {
		t.Error("took a wrong prefix")
	}
	if _, err := NewMetrics(MetricsOptions{}); err == nil {
		t.Error("took no registerer")
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	m, _ := newMetrics(t, MetricsOptions{Routes: []string{"api"}})
	r, o := sample()
	denied := &authz.Outcome{Verdict: authz.Denied, Reasons: []string{"role_required"}}
	m.Observe(r, denied, 0)
	if n := testing.AllocsPerRun(200, func() { m.Observe(r, o, time.Microsecond); m.Observe(r, denied, 0) }); n != 0 {
		t.Errorf("metrics: %v allocations", n)
	}
}

func BenchmarkObserveMetrics(b *testing.B) {
	m, _ := newMetrics(b, MetricsOptions{Routes: []string{"api"}})
	r, o := sample()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Observe(r, o, 3*time.Microsecond)
		}
	})
}
