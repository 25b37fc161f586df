package decisionlog_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe/decisionlog"
)

// Whoever answers uses the lists of a request again for the next one as soon as
// Observe returns, while its record may not have been made yet.
func TestARecordIsOfTheRequestThatWasSeen(t *testing.T) {
	t.Parallel()
	const callers, each = 8, 500
	m := &memory{}
	lines := logged(t, options(m), m, func(l *decisionlog.Log) {
		var all sync.WaitGroup
		for caller := range callers {
			all.Go(func() {
				r, o := asked("")
				headers, extensions := r.Headers, r.Extensions
				for i := range each {
					id := fmt.Sprintf("%d-%d", caller, i)
					*r = authz.Request{Time: instant, ID: id, Method: "GET", Host: "portal.kappa4.com", Path: "/" + id, Headers: append(headers[:0], authz.Header{Name: "x-is", Value: id}), Extensions: extensions}
					extensions["is"] = id
					*o = authz.Outcome{Verdict: authz.Denied, Status: 403, Reasons: []string{"r" + id}, Decision: &authz.Decision{Reasons: []string{"d" + id}}}
					if i%50 == 0 { // too large to be noted: it is recorded at once
						r.Headers = append(r.Headers, authz.Header{Name: "cookie", Value: strings.Repeat("x", 16<<10)})
					}
					l.Observe(r, o, time.Duration(i))
					clear(r.Headers)
					clear(extensions)
					r.Reset()
					*o = authz.Outcome{}
				}
			})
		}
		all.Wait()
	})
	seen := map[string]bool{}
	for _, line := range lines {
		rec, err := decisionlog.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		id := rec.RequestID
		is, _ := rec.Request.Headers.Get("x-is")
		if seen[id] || rec.Request.Path != "/"+id || is != id || rec.Request.Extensions["is"] != id || rec.Reasons[0] != "r"+id || rec.Result.Reasons[0] != "d"+id {
			t.Fatalf("of %s there is %s", id, line)
		}
		seen[id] = true
	}
	if len(seen) != callers*each {
		t.Errorf("%d records of %d decisions", len(seen), callers*each)
	}
}

// A single decision in the night must not wait for others to be recorded with.
func TestALoneDecisionIsWrittenSoon(t *testing.T) {
	t.Parallel()
	wrote := make(chan string, 1)
	l, err := decisionlog.New(options(told{wrote}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(context.WithoutCancel(t.Context())) }()
	r, o := asked("r-1")
	l.Observe(r, o, 0)
	select {
	case line := <-wrote:
		if !strings.Contains(line, "r-1") {
			t.Errorf("written: %s", line)
		}
	case <-time.After(30 * time.Second):
		t.Error("it is not written")
	}
}

// told is a sink that passes on what it is given.
type told struct{ to chan string }

func (s told) Write(_ context.Context, lines []byte) error { s.to <- string(lines); return nil }
func (s told) Idle()                                       {}
func (s told) Close() error                                { return nil }

// While the sink hangs, what comes is bounded by the buffer and counted, however
// much of it is noted only.
func TestEveryDecisionIsKeptOrCountedWhileTheSinkHangs(t *testing.T) {
	t.Parallel()
	m := &memory{hold: make(chan struct{})}
	o, reg := options(m), prometheus.NewRegistry()
	o.Registerer, o.Buffer = reg, 64<<10
	l, err := decisionlog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	const callers, each = 4, 700
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			r, out := asked("r-1")
			for range each {
				l.Observe(r, out, 0)
			}
		})
	}
	all.Wait()
	close(m.hold)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, out := asked("late")
	l.Observe(r, out, 0)
	kept := strings.Count(m.String(), "\n")
	if n, err := dropped(reg, "full"); err != nil || int(n)+kept != callers*each+1 || n < callers*each/2 || strings.Contains(m.String(), "late") {
		t.Errorf("%d kept and %v dropped of %d: %v", kept, n, callers*each+1, err)
	}
}

// A defect in what makes records costs that record, and is counted: it must not
// end the gate.
func TestARecordThatCannotBeMadeIsCounted(t *testing.T) {
	t.Parallel()
	m := &memory{}
	o, reg := options(m), prometheus.NewRegistry()
	o.Registerer = reg
	lines := logged(t, o, m, func(l *decisionlog.Log) {
		r, out := asked("r-1")
		broken := *out.Decision
		broken.Metadata = map[string]any{"x": panics{}}
		l.Observe(r, &authz.Outcome{Verdict: authz.Allowed, Status: 200, Reasons: broken.Reasons, Decision: &broken}, 0)
		l.Observe(r, out, 0)
	})
	if n, err := dropped(reg, "write"); len(lines) != 1 || err != nil || n != 1 {
		t.Errorf("%d records, %v counted: %v", len(lines), n, err)
	}
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("no value of JSON") }
