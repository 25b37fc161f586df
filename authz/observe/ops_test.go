package observe

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func opsServer(t *testing.T, h *Health, profiles bool) http.Handler {
	t.Helper()
	m, reg := newMetrics(t, MetricsOptions{Routes: []string{"api"}})
	r, o := sample()
	m.Observe(r, o, 0)
	handler, err := OpsHandler(OpsOptions{Health: h, Gatherer: reg, Profiles: profiles})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// ask makes a request as if from the given address.
func ask(h http.Handler, method, target, from string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const here = "127.0.0.1:5000"

func TestReadinessSaysWhatIsNotReady(t *testing.T) {
	t.Parallel()
	h := NewHealth(HealthOptions{})
	ops := opsServer(t, h, false)
	if w := ask(ops, "GET", "http://127.0.0.1/readyz", here); w.Code != 200 {
		t.Errorf("without checks: %d", w.Code)
	}
	trouble := errors.New("no policy is active yet")
	h.Add("store", func(context.Context) error { return nil })
	h.Add("policy", func(context.Context) error { return trouble })
	w := ask(ops, "GET", "http://127.0.0.1/readyz", here)
	var got Report
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 503 || got.Ready || len(got.Parts) != 2 ||
		got.Parts[0] != (PartReport{Name: "policy", Detail: trouble.Error()}) || got.Parts[1] != (PartReport{Name: "store", Ready: true}) {
		t.Errorf("%d %+v", w.Code, got)
	}
	h.Add("policy", func(context.Context) error { return nil })
	if w := ask(ops, "GET", "http://127.0.0.1/readyz", here); w.Code != 200 {
		t.Errorf("after the mend: %d %s", w.Code, w.Body)
	}
	h.Ending("the gate is stopping")
	w = ask(ops, "GET", "http://127.0.0.1/readyz", here)
	if w.Code != 503 || !strings.Contains(w.Body.String(), "the gate is stopping") {
		t.Errorf("while stopping: %d %s", w.Code, w.Body)
	}
	if w := ask(ops, "GET", "http://127.0.0.1/healthz", here); w.Code != 200 {
		t.Errorf("alive, yet %d", w.Code)
	}
}

func TestDegradedPartStaysReadyAndSaysSo(t *testing.T) {
	t.Parallel()
	h := NewHealth(HealthOptions{})
	h.Add("policy", func(context.Context) error { return Degraded(errors.New("the new policy was refused")) })
	h.Add("store", func(context.Context) error { return Degraded(nil) })
	got := h.Report(t.Context())
	if !got.Ready || got.Parts[0] != (PartReport{Name: "policy", Ready: true, Detail: "the new policy was refused"}) || got.Parts[1] != (PartReport{Name: "store", Ready: true}) {
		t.Errorf("%+v", got)
	}
}

func TestHangingCheckIsBoundedAndStartedOnce(t *testing.T) {
	t.Parallel()
	h := NewHealth(HealthOptions{Limit: 500 * time.Millisecond}) // on a busy machine a quick check may take a while
	hold := make(chan struct{})
	var runs atomic.Int32
	h.Add("store", func(context.Context) error { runs.Add(1); <-hold; return nil })
	h.Add("quick", func(context.Context) error { return nil })
	h.Add("bad", func(context.Context) error { panic("boom") })
	for range 3 {
		got := h.Report(t.Context())
		if got.Ready || got.Parts[1].Name != "quick" || !got.Parts[1].Ready ||
			!strings.Contains(got.Parts[2].Detail, "no answer for") || !strings.Contains(got.Parts[0].Detail, "boom") {
			t.Errorf("%+v", got)
		}
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("the hanging check was started %d times", n)
	}
	close(hold)
}

func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	w := ask(opsServer(t, NewHealth(HealthOptions{}), false), "GET", "http://ops/metrics", "192.0.2.1:1")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `pomerium_authorize_total{route="api",verdict="allow"} 1`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestProfilesAreForThisMachine(t *testing.T) {
	t.Parallel()
	ops := opsServer(t, NewHealth(HealthOptions{}), true)
	for _, c := range []struct {
		name, target, from string
		want               int
	}{
		{"Loopback", "http://127.0.0.1:9464/debug/pprof/", here, 200},
		{"Name", "http://localhost/debug/pprof/cmdline", "[::1]:9", 200},
		{"MappedV4", "http://[::1]:9464/debug/pprof/symbol", "[::ffff:127.0.0.1]:9", 200},
		{"Elsewhere", "http://127.0.0.1/debug/pprof/", "192.0.2.1:9", 403},
		{"ReboundName", "http://evil.example/debug/pprof/heap", here, 403},
		{"NoAddress", "http://127.0.0.1/debug/pprof/", "@", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			if w := ask(ops, "GET", c.target, c.from); w.Code != c.want {
				t.Errorf("%d, want %d", w.Code, c.want)
			}
		})
	}
	if w := ask(opsServer(t, NewHealth(HealthOptions{}), false), "GET", "http://127.0.0.1/debug/pprof/", here); w.Code != 404 {
		t.Errorf("switched off, yet %d", w.Code)
	}
	if w := ask(ops, "POST", "http://127.0.0.1/readyz", here); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestOpsHandlerNeedsItsParts(t *testing.T) {
	t.Parallel()
	if _, err := OpsHandler(OpsOptions{Gatherer: prometheus.NewRegistry()}); err == nil {
		t.Error("took no health")
	}
	if _, err := OpsHandler(OpsOptions{Health: NewHealth(HealthOptions{})}); err == nil {
		t.Error("took no gatherer")
	}
}
