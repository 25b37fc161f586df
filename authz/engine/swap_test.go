package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/prometheus/client_golang/prometheus"
)

// agreeing returns a policy that says n in two places, by data and by rule.
func agreeing(n int) engine.Source {
	src := rego(fmt.Sprintf(`decision := {"allowed": true, "reasons": [sprintf("n_%%d", [data.neosc.n])], "headers": {"x-session-id": "n_%d"}}`, n))
	src.Data = map[string]any{"neosc": map[string]any{"n": n}}
	src.Revision = fmt.Sprintf("n_%d", n)
	return src
}

func TestNoDecisionMixesGenerations(t *testing.T) {
	var programs []*engine.Program
	for n := range 8 {
		programs = append(programs, mustCompile(t, agreeing(n)))
	}
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.Activate(programs[0])
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var last uint64
			for {
				select {
				case <-done:
					return
				default:
				}
				d, err := e.Decide(context.Background(), testRequest())
				if err != nil {
					t.Error(err)
					return
				}
				want := fmt.Sprintf("n_%d", (d.Generation-1)%8)
				if d.Revision != want || d.Reasons[0] != want || d.Headers[0].Value != want || d.Generation < last {
					t.Errorf("generation %d after %d: %+v", d.Generation, last, d)
					return
				}
				last = d.Generation
			}
		})
	}
	for n := 1; n < 400; n++ {
		if g := e.Activate(programs[n%8]); g != uint64(n+1) {
			t.Fatalf("activation %d has generation %d", n, g)
		}
		if _, err := e.Decide(context.Background(), testRequest()); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
}

// Fifty activations while requests are judged: the machine and its cache take
// over in the midst of it, and no decision is of two generations or fails.
func TestActivationsOnTheMachineUnderLoadMixNothing(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Options{Machine: &engine.MachineOptions{Logger: slog.New(slog.DiscardHandler), Inputs: 10, SampleEvery: 50, CacheBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	e.Activate(mustCompile(t, agreeing(1)))
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for last := uint64(0); !done.Load(); {
				d, err := e.Decide(context.Background(), testRequest())
				want := ""
				if err == nil {
					want = fmt.Sprintf("n_%d", d.Generation)
				}
				if err != nil || d.Revision != want || d.Reasons[0] != want || d.Headers[0].Value != want || d.Generation < last {
					t.Errorf("%+v, %v after generation %d", d, err, last)
					return
				}
				last = d.Generation
			}
		})
	}
	onMachine := 0
	for n := 2; n <= 51; n++ {
		e.Activate(mustCompile(t, agreeing(n)))
		if n%25 == 0 {
			e.Settled(context.Background())
		}
		if e.Evaluator().Evaluator == engine.Machine {
			onMachine++
		}
	}
	done.Store(true)
	wg.Wait()
	if onMachine < 2 {
		t.Errorf("%d of 50 programs came to run on the machine; the last: %+v", onMachine, e.Evaluator())
	}
}

func TestEngineWithoutAProgramRefuses(t *testing.T) {
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Decide(context.Background(), testRequest())
	if x, ok := errors.AsType[*engine.Error](err); !ok || x.Kind != engine.Inactive {
		t.Errorf("got %v", err)
	}
	if p, g := e.Active(); p != nil || g != 0 {
		t.Errorf("got %v, %d", p, g)
	}
}

func TestEngineCounts(t *testing.T) {
	reg := prometheus.NewRegistry()
	e, err := engine.New(engine.Options{Registerer: reg, MetricPrefix: "neosc_"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.New(engine.Options{Registerer: reg, MetricPrefix: "neosc_"}); err == nil {
		t.Error("two engines share one registry")
	}
	gauge := func(name string) float64 {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("there is no metric %s", name)
		return 0
	}
	e.Activate(mustCompile(t, rego(`decision if input.route.name == "none"`)))
	_, _ = e.Decide(context.Background(), testRequest())
	bad := testRequest()
	bad.Path = "/%"
	if _, err := e.Decide(context.Background(), bad); !errors.Is(err, authz.ErrBadRequest) {
		t.Errorf("got %v", err)
	}
	if g, s := gauge("neosc_policy_generation"), gauge("neosc_policy_last_activation_success"); g != 1 || s != 1 {
		t.Errorf("generation %v, success %v", g, s)
	}
	e.ActivationRefused()
	if s := gauge("neosc_policy_last_activation_success"); s != 0 {
		t.Errorf("success is %v after a refusal", s)
	}
	if gauge("neosc_policy_last_activation_timestamp_seconds") == 0 {
		t.Error("no timestamp")
	}
	families, _ := reg.Gather()
	for _, f := range families {
		switch f.GetName() {
		case "neosc_policy_evaluation_duration_seconds":
			if n := f.GetMetric()[0].GetHistogram().GetSampleCount(); n != 2 {
				t.Errorf("%d evaluations timed, want 2", n)
			}
		case "neosc_policy_errors_total":
			if n := len(f.GetMetric()); n != 6 {
				t.Errorf("%d kinds of errors are counted, want all 6 from the start", n)
			}
			for _, m := range f.GetMetric() {
				kind, want := m.GetLabel()[0].GetValue(), 0.0
				if kind == "undefined" || kind == "bad_request" {
					want = 1
				}
				if m.GetCounter().GetValue() != want {
					t.Errorf("%s: %v", kind, m.GetCounter().GetValue())
				}
			}
		}
	}
}
