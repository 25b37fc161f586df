package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/prometheus/client_golang/prometheus"
)

func machineEngine(t testing.TB, edit func(*MachineOptions)) *Engine {
	t.Helper()
	m := &MachineOptions{Logger: slog.New(slog.DiscardHandler), Inputs: 40, CacheBytes: 1 << 20, Dir: t.TempDir(), Build: func() (string, error) { return "b", nil }}
	if edit != nil {
		edit(m)
	}
	e, err := New(Options{Registerer: prometheus.NewRegistry(), Machine: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// settled waits until the trial of the active program is over.
func settled(t testing.TB, e *Engine) EvaluatorState {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	s := e.Settled(ctx)
	if s.Pending {
		t.Fatalf("it is still %+v", s)
	}
	return s
}

// told is a log that says when a line with a text has come.
type told struct {
	mu   sync.Mutex
	text bytes.Buffer
	of   string
	came chan struct{}
}

func newTold(of string) *told { return &told{of: of, came: make(chan struct{})} }

func (w *told) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes.Contains(line, []byte(w.of)) && !strings.Contains(w.text.String(), w.of) {
		defer close(w.came)
	}
	return w.text.Write(line)
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func (w *told) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func compiled(t testing.TB, rego string, data map[string]any) *Program {
	t.Helper()
	p, err := Compile(Source{Modules: map[string]string{"a.rego": "package neosc.authz\n\n" + rego}, Data: data, Timeout: 5 * time.Second}, shippedEdge)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestThePolicyMovesToTheMachineOnceCompared(t *testing.T) {
	t.Parallel()
	e := machineEngine(t, nil)
	e.Activate(compiled(t, `decision := {"allowed": input.route.name == "portal", "headers": {"x-session-id": input.session.id}}`, nil))
	s := settled(t, e)
	if s.Evaluator != Machine || s.Inputs < 40 {
		t.Fatalf("%+v", s)
	}
	for range 3 {
		d, err := e.Decide(context.Background(), fullRequest())
		if err != nil || !d.Allowed || d.Headers[0].Value != strings.Repeat("0", 64) || d.Generation != 1 {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if _, n := e.Coverage(); n != 1 {
		t.Errorf("%d evaluations, want one and two from the cache", n)
	}
	e.Activate(compiled(t, `decision := {"allowed": input.route.name == "portal", "headers": {"x-session-id": input.session.id}}`, nil))
	if s := settled(t, e); s.Evaluator != Machine || s.Inputs != 3 && s.Inputs != 0 && s.Inputs > 3 {
		t.Errorf("with a verdict at hand it is %+v", s)
	}
}

func TestAPolicyThatTheTwoDisagreeOnStaysWithOPA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := newTold("moved to OPA")
	e := machineEngine(t, func(m *MachineOptions) {
		m.Dir, m.SampleEvery, m.CacheBytes, m.Logger = dir, 1, 0, slog.New(slog.NewTextHandler(log, nil))
	})
	p := compiled(t, `decision := {"allowed": true, "headers": {"x-session-id": input.attributes.request.http.headers["x-csrf-token"]}}`, nil)
	e.Activate(p)
	settled(t, e)
	other, err := newFast(compiled(t, `decision := {"allowed": false, "headers": {"x-a": input.attributes.request.http.headers["x-csrf-token"]}}`, nil))
	if err != nil {
		t.Fatal(err)
	}
	a := e.active.Load()
	a.fast.Store(newRunner(other, 0, newFacts(other.machine.Rules())))
	r := fullRequest()
	r.Headers = append(r.Headers, authz.Header{Name: "x-csrf-token", Value: "hush-hush"})
	if _, err := e.Decide(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	<-log.came
	s := e.Evaluator()
	if d, err := e.Decide(context.Background(), r); err != nil || !d.Allowed || !strings.Contains(s.Why, "disagreed") {
		t.Fatalf("%+v, %v, %+v", d, err, s)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "policy-disagreement-*.json"))
	if len(files) != 1 {
		t.Fatalf("kept %q", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Masked bool
		Input  Input
		Clock  time.Time
	}
	if err := json.Unmarshal(text, &kept); err != nil || !kept.Masked || !kept.Clock.Equal(r.Time) || kept.Input.Route.Name != "portal" {
		t.Errorf("%v, %s", err, text)
	}
	if bytes.Contains(text, []byte("hush-hush")) {
		t.Errorf("a secret is kept: %s", text)
	}
	// The next start of this build does not trust the machine with it either.
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "hush-hush") || !strings.Contains(log.String(), "moved to OPA") {
		t.Errorf("the log says %s", log)
	}
	again := machineEngine(t, func(m *MachineOptions) { m.Dir = dir })
	again.Activate(p)
	if s := settled(t, again); s.Evaluator != OPA || !strings.Contains(s.Why, "disagreed") {
		t.Errorf("after a restart it is %+v", s)
	}
}

func TestAPanicOfTheMachineIsDecidedByOPA(t *testing.T) {
	t.Parallel()
	e := machineEngine(t, nil)
	e.Activate(compiled(t, `decision := input.route.name == "portal"`, nil))
	settled(t, e)
	a := e.active.Load()
	broken := *a.fast.Load().fast
	broken.slots = nil
	a.fast.Store(newRunner(&broken, 0, newFacts(nil)))
	for range 2 {
		if d, err := e.Decide(context.Background(), fullRequest()); err != nil || !d.Allowed {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if s := settled(t, e); s.Evaluator != OPA || !strings.Contains(s.Why, "panicked") {
		t.Errorf("it is %+v", s)
	}
}

func TestTheMachineRefusesWhatTheInputDocumentRefuses(t *testing.T) {
	t.Parallel()
	p := compiled(t, `decision := input.route.name == "portal"`, nil)
	f, err := newFast(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/a%zz", "/a%4", "/a?x=%zz", "/a?x=1;y=2", "/" + strings.Repeat("a", maxPath), strings.Repeat("/a", maxPathSegments+1),
		"/?" + strings.Repeat("a&", maxQueryValues+1), "/%", "/?%", "/", "//", "/a?b=c", "/a%20b", strings.Repeat("/", 5000), "/?" + strings.Repeat("a", 5000),
	} {
		r := fullRequest()
		r.Path = path
		frame := f.machine.Frame()
		j, err := f.decide(context.Background(), frame, r)
		want, wantErr := p.Decide(context.Background(), r)
		if o := compareDecisions(j.decision, err, want, wantErr); o != agreed {
			t.Errorf("%.40q: %v %v, want %v %v", path, j.decision, err, want, wantErr)
		}
		frame.Release()
	}
}
