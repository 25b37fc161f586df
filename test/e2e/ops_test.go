package e2e

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

func TestEveryPromisedMetricMovesWithTraffic(t *testing.T) {
	t.Parallel()
	// With OPA's evaluator, since to compare the machine with it keeps all threads, for
	// minutes where everything is tested at once.
	d := kit.StartDemo(t, kit.DemoOptions{Env: []string{"GATE_POLICY_ENGINE=opa"}})
	ops := d.Ops(t)
	if v := kit.Value(kit.Metrics(t, ops)["pomerium_active_sessions"]); v != 0 {
		t.Errorf("pomerium_active_sessions is %v before anybody came", v)
	}
	neosc := d.SignedIn(t, "neosc")
	d.SignedIn(t, "user")
	if reply := d.Stranger(t).SignIn(t, "user@"+kit.Domain, "not the password", d.Origin("portal")+"/"); reply.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a wrong password got %s", reply.Status)
	}
	neosc.Get(t, d.Origin("portal")+"/")
	neosc.Get(t, d.Origin("admin.portal")+"/")
	d.Stranger(t).Get(t, d.Origin("portal")+"/")
	within(t, 30*time.Second, "pomerium_active_sessions counts two", func() bool {
		return kit.Value(kit.Metrics(t, ops)["pomerium_active_sessions"]) == 2
	})
	m := kit.Metrics(t, ops)
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"pomerium_authenticate_total", nil, 3},
		{"pomerium_authenticate_success_total", nil, 2},
		{"pomerium_authorize_total", []string{"verdict", "allow", "route", "portal"}, 1},
		{"pomerium_authorize_total", []string{"verdict", "deny", "route", "admin"}, 1},
		{"pomerium_authorize_deny_total", []string{"reason", "role_required", "route", "admin"}, 1},
		{"pomerium_authorize_deny_total", []string{"reason", "unauthenticated", "route", "portal"}, 1},
		{"pomerium_policy_errors_total", nil, 0},
		{"pomerium_policy_generation", nil, 1},
		{"pomerium_policy_last_activation_success", nil, 1},
		{"pomerium_check_panics_total", nil, 0},
		{"pomerium_access_log_dropped_total", nil, 0},
	} {
		if f := m[c.name]; f == nil {
			t.Errorf("%s is not there", c.name)
		} else if got := kit.Value(f, c.labels...); got != c.want {
			t.Errorf("%s %v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	for _, name := range []string{"pomerium_policy_evaluation_duration_seconds", "pomerium_check_duration_seconds", "pomerium_access_log_lines_total",
		"pomerium_limit_spends_total", "pomerium_limit_buckets", "go_goroutines", "process_open_fds"} {
		if kit.Value(m[name]) <= 0 {
			t.Errorf("%s is missing or 0", name)
		}
	}
	if b := m["pomerium_policy_evaluation_duration_seconds"].GetMetric()[0].GetHistogram().GetBucket(); b[0].GetUpperBound() >= 1e-6 || b[len(b)-1].GetUpperBound() < 1 {
		t.Errorf("evaluation is timed from %v to %v s, want from below a microsecond to a second", b[0].GetUpperBound(), b[len(b)-1].GetUpperBound())
	}
	d.Run(t, "session", "revoke", "-email", "user@"+kit.Domain)
	within(t, 30*time.Second, "pomerium_active_sessions counts one", func() bool {
		return kit.Value(kit.Metrics(t, ops)["pomerium_active_sessions"]) == 1
	})
	for name, f := range m {
		for _, x := range f.GetMetric() {
			for _, l := range x.GetLabel() {
				if strings.Contains(l.GetValue(), "@") {
					t.Errorf("%s has the label %s=%q: people are no labels", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
	// With one core there is nothing to choose.
	within(t, 2*time.Minute, "one thread does once nothing else than checks is left", func() bool {
		time.Sleep(300 * time.Millisecond) // to be asked for metrics keeps it busy
		f := kit.Metrics(t, ops)["pomerium_procs_changes_total"]
		return f == nil && runtime.NumCPU() == 1 || kit.Value(f, "why", "quiet") > 0 && kit.Value(f, "why", "busy") > 0
	})
	healthAndProfiles(t, d, ops)
}

func healthAndProfiles(t *testing.T, d *kit.Demo, ops string) {
	t.Helper()
	if status, body := kit.OpsGet(t, ops+"/healthz", ""); status != http.StatusOK {
		t.Errorf("/healthz answers %d %s", status, body)
	}
	status, r := kit.Readyz(t, ops)
	for _, part := range []string{"policy", "database"} {
		if ready, detail := r.Part(part); !ready || detail != "" {
			t.Errorf("/readyz says of %s: %v %q", part, ready, detail)
		}
	}
	if status != http.StatusOK || !r.Ready {
		t.Errorf("/readyz answers %d %+v", status, r)
	}
	if status, body := kit.OpsGet(t, ops+"/debug/pprof/cmdline", ""); status != http.StatusOK {
		t.Errorf("profiles on loopback answer %d %s", status, body)
	}
	// A page that points its own name at 127.0.0.1 asks from here too.
	if status, _ := kit.OpsGet(t, ops+"/debug/pprof/heap", "rebound.example"); status != http.StatusForbidden {
		t.Errorf("a heap profile asked for under a foreign name answers %d, want 403", status)
	}
	// None of it is on the public port.
	p := d.SignedIn(t, "admin")
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/"} {
		reply := p.Get(t, d.Origin("gate")+path)
		if reply.StatusCode != http.StatusNotFound {
			t.Errorf("%s on the public port answers %s", path, reply.Status)
		}
	}
}
