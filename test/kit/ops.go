package kit

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var opsLine = regexp.MustCompile(`(?m)^metrics\s+(http://\S+)/metrics$`)

// Ops is the base address of this demo's /metrics, /healthz and /readyz.
func (d *Demo) Ops(t testing.TB) string {
	t.Helper()
	m := opsLine.FindStringSubmatch(d.Output())
	if m == nil {
		t.Fatalf("gate dev did not say where its metrics are:\n%s", d.Output())
	}
	return m[1]
}

// Metrics reads /metrics of an ops address, by name.
func Metrics(t testing.TB, ops string) map[string]*dto.MetricFamily {
	t.Helper()
	status, body := OpsGet(t, ops+"/metrics", "")
	if status != http.StatusOK {
		t.Fatalf("/metrics answered %d\n%s", status, body)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// Value sums the counters, gauges or histogram counts of a family whose labels
// are among those given as name, value, …; 0 when there is none.
func Value(f *dto.MetricFamily, labels ...string) float64 {
	sum := 0.0
	for _, m := range f.GetMetric() {
		have := map[string]string{}
		for _, l := range m.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && have[labels[i]] == labels[i+1]
		}
		if fits {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// Ready is what /readyz answers.
type Ready struct {
	Ready bool
	Parts []struct {
		Name, Detail string
		Ready        bool
	}
}

// Part returns what is said of one part: whether it is ready, and the detail.
func (r Ready) Part(name string) (ready bool, detail string) {
	for _, p := range r.Parts {
		if p.Name == name {
			return p.Ready, p.Detail
		}
	}
	return false, "not reported"
}

// Readyz asks an ops address for its readiness.
func Readyz(t testing.TB, ops string) (status int, r Ready) {
	t.Helper()
	status, body := OpsGet(t, ops+"/readyz", "")
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("/readyz: %v\n%s", err, body)
	}
	return status, r
}

// OpsGet asks with a Host header of its own, or the address's where host is "".
func OpsGet(t testing.TB, url, host string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}
