package decisionlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe/decisionlog"
	"github.com/neosc/gate/session"
)

var instant = time.Date(2026, 3, 5, 18, 0, 0, 123456789, time.UTC)

// asked is a request with something in every place.
func asked(id string) (*authz.Request, *authz.Outcome) {
	s := &session.Session{
		Key: session.Key{1, 2}, Kind: session.Browser, ExpiresAt: instant.Add(time.Hour), IdleExpiresAt: instant.Add(time.Hour),
		Identity: session.Identity{
			Provider: "local", UserID: "u-1", Email: "ana@kappa4.com", EmailVerified: true, Name: "Ana \"A\"", Organization: "1", Roles: []string{"admin", "neosc"},
			Groups: []string{"ops"}, AMR: []string{"mfa", "pwd"}, AuthenticatedAt: instant.Add(-time.Minute),
			Claims: map[string]any{"neosc:demo_session_id": "d1", "api_token": "s3cr3t-claim", "n": json.Number("1.50"), "deep": map[string]any{"a/b": []any{true, nil}, "password": "s3cr3t-deep"}},
		},
	}
	r := &authz.Request{
		Time: instant, ID: id, Method: "GET", Scheme: "https", Host: "portal.kappa4.com", Protocol: "HTTP/2",
		Path: "/a%20b/c?x=1&token=s3cr3t-query&x=2&code=s3cr3t-code",
		Headers: authz.Headers{
			{Name: "accept", Value: "text/html"}, {Name: "cookie", Value: "_pomerium=s3cr3t-cookie"}, {Name: "authorization", Value: "Bearer s3cr3t-bearer"},
			{Name: "x-pomerium-jwt-assertion", Value: "s3cr3t-assertion"}, {Name: "x-two", Value: "1"}, {Name: "x-two", Value: "2"},
			{Name: "referer", Value: "https://x/?token=s3cr3t-referer"}, {Name: "user-agent", Value: "odd\x01\u2028\"\\é"},
		},
		Route:     &authz.Route{Name: "portal", PassIdentityHeaders: true, Policy: map[string]any{"rate_limit": true, "n": 3.5}},
		RouteName: "portal", Extensions: map[string]string{"route": "portal", "b": "c"},
		Source: authz.Peer{Addr: netip.MustParseAddrPort("203.0.113.9:4711"), Principal: "spiffe://x"}, Destination: authz.Peer{Addr: netip.MustParseAddrPort("[::1]:443")}, Session: s,
		Certificate: &authz.Certificate{Subject: "CN=a", Issuer: "CN=b", DNSNames: []string{"a"}, Fingerprint: "ff", Serial: "1", NotBefore: instant.Add(-time.Hour), NotAfter: instant.Add(time.Hour)},
	}
	rules := []authz.Rule{{Name: "neosc.authz.a", At: "a.rego:1"}, {Name: "neosc.authz.b", At: "a.rego:2"}}
	d := &authz.Decision{
		Allowed: true, Reasons: []string{"matched_policy"}, Headers: []authz.Header{{Name: "x-a", Value: "1"}, {Name: "x-b", Value: "2"}, {Name: "x-a", Value: "3"}},
		RemoveRequestHeaders: []string{"x-gone"}, ResponseHeaders: []authz.Header{{Name: "x-r", Value: "r"}}, Body: "b", QuerySet: []authz.QueryParameter{{Name: "q", Value: "v"}},
		QueryRemove: []string{"z"}, Metadata: map[string]any{"m": []any{"x"}}, Charges: []authz.Charge{{Name: "user", Key: "u-1", Rate: 0.5, Burst: 20, Cost: 1}},
		StreamUntil: instant.Add(time.Minute), Explain: true, Revision: "rev-1", Generation: 7,
		Trace: authz.Trace{Rules: rules, Held: [4]uint64{2}, Until: instant.Add(time.Minute).UnixNano()},
	}
	return r, &authz.Outcome{Verdict: authz.Allowed, Status: 200, Reasons: d.Reasons, Decision: d, Session: s, Charge: &d.Charges[0], Spent: authz.Spent{Remaining: 19}}
}

// memory is a sink in memory.
type memory struct {
	mu sync.Mutex
	bytes.Buffer
	hold chan struct{} // nil does not hold
	fail error
}

func (m *memory) Write(_ context.Context, lines []byte) error {
	if m.hold != nil {
		<-m.hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		m.Buffer.Write(lines)
	}
	return m.fail
}

func (m *memory) Idle()        {}
func (m *memory) Close() error { return nil }

func options(sink decisionlog.Sink) decisionlog.Options {
	return decisionlog.Options{Sink: sink, Allows: 1, Entrypoint: "data.neosc.authz.decision", IdentityPrefix: "x-pomerium-",
		Labels: map[string]string{"app": "gate"}, Logger: slog.New(slog.DiscardHandler)}
}

// logged returns the records of some decisions.
func logged(t *testing.T, o decisionlog.Options, m *memory, observe func(*decisionlog.Log)) []string {
	t.Helper()
	l, err := decisionlog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	observe(l)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(m.String(), "\n"), "\n")
}

func one(t *testing.T, r *authz.Request, o *authz.Outcome) string {
	t.Helper()
	m := &memory{}
	lines := logged(t, options(m), m, func(l *decisionlog.Log) { l.Observe(r, o, 12340*time.Nanosecond) })
	if len(lines) != 1 {
		t.Fatalf("%d records", len(lines))
	}
	return lines[0]
}

// event has the members of OPA's EventV1 (v1/plugins/logs of OPA 1.22), and no
// others.
type event struct {
	Labels      map[string]string `json:"labels"`
	DecisionID  string            `json:"decision_id"`
	Bundles     map[string]struct{ Revision string }
	Path        string         `json:"path"`
	Input       any            `json:"input"`
	Result      any            `json:"result"`
	Erased      []string       `json:"erased"`
	Masked      []string       `json:"masked"`
	Error       any            `json:"error"`
	RequestedBy string         `json:"requested_by"`
	Timestamp   time.Time      `json:"timestamp"`
	Metrics     map[string]any `json:"metrics"`
	RequestID   uint64         `json:"req_id"`
	Custom      map[string]any `json:"custom"`
}

func TestARecordHasOPAsForm(t *testing.T) {
	t.Parallel()
	line := ask(t)
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	var e event
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%v\n%s", err, line)
	}
	if e.Labels["app"] != "gate" || len(e.DecisionID) != 36 || e.Path != "neosc/authz/decision" || e.Bundles["policy"].Revision != "rev-1" || !e.Timestamp.Equal(instant) ||
		e.RequestID != 1 || e.RequestedBy != "203.0.113.9" || e.Metrics["timer_server_handler_ns"] != float64(12340) || e.Custom["generation"] != float64(7) {
		t.Errorf("read as %+v", e)
	}
	if strings.Contains(line, "s3cr3t") {
		t.Errorf("a secret is in %s", line)
	}
	for _, want := range []string{"/input/attributes/request/http/headers/cookie", "/input/attributes/request/http/headers/authorization", "/input/attributes/request/http/headers/x-pomerium-jwt-assertion"} {
		if !strings.Contains(strings.Join(e.Erased, " "), want) {
			t.Errorf("erased lacks %s: %v", want, e.Erased)
		}
	}
	for _, want := range []string{"/input/attributes/request/http/path", "/input/parsed_query/token", "/input/parsed_query/code", "/input/session/claims/api_token", "/input/session/claims/deep/password", "/input/attributes/request/http/headers/referer"} {
		if !strings.Contains(strings.Join(e.Masked, " "), want) {
			t.Errorf("masked lacks %s: %v", want, e.Masked)
		}
	}
}

// ask is the record of a request.
func ask(t *testing.T) string {
	t.Helper()
	r, o := asked("r-1")
	return one(t, r, o)
}

func TestARecordIsReadAsItWas(t *testing.T) {
	t.Parallel()
	r, o := asked("r-1")
	rec, err := decisionlog.Parse(one(t, r, o))
	if err != nil {
		t.Fatal(err)
	}
	want := *o.Decision
	want.Trace = authz.Trace{}
	want.Headers = []authz.Header{{Name: "x-a", Value: "1"}, {Name: "x-a", Value: "3"}, {Name: "x-b", Value: "2"}}
	if !reflect.DeepEqual(*rec.Result, want) {
		t.Errorf("result\n%+v, want\n%+v", *rec.Result, want)
	}
	got := rec.Request
	if !got.Time.Equal(r.Time) || got.ID != "r-1" || got.Host != r.Host || got.Path != "/a%20b/c?x=1&token=masked&x=2&code=masked" || got.Source != r.Source || got.Destination != r.Destination ||
		!reflect.DeepEqual(got.Extensions, r.Extensions) || got.Route.Name != "portal" || !got.Route.PassIdentityHeaders || got.Route.Policy["rate_limit"] != true {
		t.Errorf("request %+v", got)
	}
	if ua, _ := got.Headers.Get("user-agent"); ua != "odd\x01\u2028\"\\é" {
		t.Errorf("user agent %q", ua)
	}
	if two, n := got.Headers.Get("x-two"); two != "1, 2" || n != 1 {
		t.Errorf("a repeated header is %q", two)
	}
	if _, n := got.Headers.Get("cookie"); n > 0 {
		t.Error("a cookie is recorded")
	}
	if !reflect.DeepEqual(got.Certificate, r.Certificate) {
		t.Errorf("certificate %+v", got.Certificate)
	}
	a, b := *got.Session, *r.Session
	if a.Identity.Claims["api_token"] != authz.Masked || a.Identity.Claims["n"] != json.Number("1.50") {
		t.Errorf("claims %v", a.Identity.Claims)
	}
	a.Identity.Claims, b.Identity.Claims = nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("session\n%+v, want\n%+v", a, b)
	}
	if rec.Verdict != "allow" || rec.Status != 200 || rec.RequestID != "r-1" || rec.Route != "portal" || rec.User != "u-1" || rec.Generation != 7 || rec.Took != 12340*time.Nanosecond ||
		!reflect.DeepEqual(rec.Rules, []string{"neosc.authz.b a.rego:2"}) || rec.Horizon != "2026-03-05T18:01:00.123456789Z" || rec.Limit == nil || rec.Limit.Remaining != 19 {
		t.Errorf("record %+v", rec)
	}
}

func TestRefusalsAreKeptAlwaysAndAllowsByTheirShare(t *testing.T) {
	t.Parallel()
	keep := func() map[string]bool {
		m := &memory{}
		o := options(m)
		o.Allows = 0.25
		kept := map[string]bool{}
		for _, line := range logged(t, o, m, func(l *decisionlog.Log) {
			for i := range 2000 {
				r, out := asked(fmt.Sprintf("allow-%d", i))
				l.Observe(r, out, 0)
				if i%10 == 0 {
					r.ID = fmt.Sprintf("deny-%d", i)
					l.Observe(r, &authz.Outcome{Verdict: authz.Denied, Status: 403, Reasons: []string{"role_required"}}, 0)
				}
			}
		}) {
			r, err := decisionlog.Parse(line)
			if err != nil {
				t.Fatal(err)
			}
			kept[r.RequestID] = true
		}
		return kept
	}
	first, second := keep(), keep()
	if !reflect.DeepEqual(first, second) {
		t.Error("another choice the second time")
	}
	allows := 0
	for id := range first {
		if strings.HasPrefix(id, "allow") {
			allows++
		}
	}
	if len(first)-allows != 200 || allows < 400 || allows > 600 {
		t.Errorf("%d refusals of 200 and %d allows of 2000 are kept", len(first)-allows, allows)
	}
}

func TestWhatDoesNotFitIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	m := &memory{hold: make(chan struct{})}
	o, reg := options(m), prometheus.NewRegistry()
	o.Registerer, o.Buffer, o.Linger = reg, 64<<10, time.Nanosecond
	l, err := decisionlog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r, out := asked("r-1")
	for range 500 {
		l.Observe(r, out, 0)
	}
	close(m.hold)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := strings.Count(m.String(), "\n")
	if n, err := dropped(reg, "full"); err != nil || int(n)+kept != 500 || kept == 0 || n == 0 {
		t.Errorf("%d kept and %v dropped of 500: %v", kept, n, err)
	}
}

// dropped returns the counter of a cause.
func dropped(reg *prometheus.Registry, cause string) (float64, error) {
	all, err := reg.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range all {
		if f.GetName() != "pomerium_decision_log_dropped_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == cause {
				return m.GetCounter().GetValue(), nil
			}
		}
	}
	return 0, io.EOF
}

func TestAFileIsTurnedOverAndBounded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "d.ndjson")
	if err := os.WriteFile(file, []byte("{\"cut\":"), 0o600); err != nil { // by a kill, say
		t.Fatal(err)
	}
	sink, err := decisionlog.NewFile(decisionlog.FileOptions{Path: file, MaxBytes: 16 << 10, Files: 4, Sync: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	l, err := decisionlog.New(options(sink))
	if err != nil {
		t.Fatal(err)
	}
	r, o := asked("r-1")
	for i := range 100 {
		r.ID = fmt.Sprint("r-", i)
		l.Observe(r, o, 0)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := decisionlog.Files(file)
	if err != nil || len(files) != 4 || files[3] != file || files[0] != file+".3" {
		t.Fatalf("files %v, %v", files, err)
	}
	last := -1
	err = decisionlog.Scan(t.Context(), file, func(line decisionlog.Line) error {
		rec, err := decisionlog.Parse(string(line.Text))
		if err != nil {
			return fmt.Errorf("%s:%d: %w", line.File, line.Number, err)
		}
		var n int
		if _, err := fmt.Sscanf(rec.RequestID, "r-%d", &n); err != nil || last >= 0 && n != last+1 {
			return fmt.Errorf("%d after %d: %v", n, last, err)
		}
		last = n
		return nil
	})
	if err != nil || last != 99 {
		t.Errorf("the newest is %d: %v", last, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 16<<10 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
}
