package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
)

// count is n, or a tenth of it where all is slow.
func count(n int) int {
	if slow {
		return n / 10
	}
	return n
}

// grown is the shipped policy with 10,000 routes and 100,000 entries of data.
func grown(tb testing.TB) *Program {
	tb.Helper()
	src := shippedSource(tb)
	neosc := src.Data["neosc"].(map[string]any)
	routes, roles := neosc["routes"].(map[string]any), map[string]any{"user": "read"}
	for i := range count(10_000) {
		routes[fmt.Sprintf("route-%d", i)] = map[string]any{"roles": map[string]any{"user": "read"}}
	}
	for i := range count(90_000) {
		roles[fmt.Sprintf("role-%d", i)] = "read"
	}
	routes["api"].(map[string]any)["roles"] = roles
	p, err := Compile(src, shippedEdge)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// quickest is how long a decision takes by itself, evaluated each time.
func quickest(tb testing.TB, e *Engine, r *authz.Request) time.Duration {
	tb.Helper()
	best := time.Hour
	for range 60 {
		start := time.Now()
		for range 40 {
			if _, err := e.Decide(context.Background(), r); err != nil {
				tb.Fatal(err)
			}
		}
		best = min(best, time.Since(start)/40)
	}
	return best
}

// With 10,000 routes and 100,000 entries the engine decides as fast as with few,
// on the machine and while OPA's evaluator still has to.
func TestManyRoutesAndMuchDataDecideAsFast(t *testing.T) {
	off := func(m *MachineOptions) { m.CacheBytes, m.Build = 0, nil }
	r := fullRequest()
	r.Route = &authz.Route{Name: "api", PassIdentityHeaders: true, Policy: map[string]any{"rate_limit": true}}
	r.RouteName = "api"
	few := machineEngine(t, off)
	few.Activate(shippedProgram(t))
	if s := settled(t, few); s.Evaluator != Machine {
		t.Fatalf("%+v", s)
	}
	start := time.Now()
	p := grown(t)
	compiling := time.Since(start)
	many := machineEngine(t, off)
	start = time.Now()
	many.Activate(p)
	activating := time.Since(start)
	if s := settled(t, many); s.Evaluator != Machine {
		t.Fatalf("%+v", s)
	}
	comparing := time.Since(start)
	a, b := quickest(t, few, r), quickest(t, many, r)
	t.Logf("compiled in %v, activated in %v, on the machine after %v; %v with few, %v with many", compiling, activating, comparing, a, b)
	if b > 2*a {
		t.Errorf("%v with few entries, %v with many", a, b)
	}
	if activating > 100*time.Millisecond || compiling+comparing > 30*time.Second {
		t.Errorf("compiled in %v, activated in %v, on the machine after %v", compiling, activating, comparing)
	}
}

// Fifty activations of such policies while requests are judged: nobody waits for
// one, none fails, none gets parts of two.
func TestActivationsOfLargePoliciesUnderLoad(t *testing.T) {
	big := map[string]any{}
	for i := range count(100_000) {
		big[fmt.Sprintf("entry-%d", i)] = i
	}
	var programs []*Program
	for n := range 3 {
		src := Source{
			Modules:  map[string]string{"a.rego": fmt.Sprintf("package neosc.authz\n\ndecision := {\"allowed\": data.big[\"entry-7777\"] == 7777, \"reasons\": [sprintf(\"n_%%d\", [data.n])], \"headers\": {\"x-session-id\": \"n_%d\"}}", n)},
			Data:     map[string]any{"n": n, "big": big},
			Revision: fmt.Sprintf("n_%d", n), Timeout: 5 * time.Second,
		}
		p, err := Compile(src, shippedEdge)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	e := machineEngine(t, func(m *MachineOptions) { m.Inputs, m.Build = 10, nil })
	e.Activate(programs[0])
	var done atomic.Bool
	var decided atomic.Uint64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for last := uint64(0); !done.Load(); decided.Add(1) {
				d, err := e.Decide(context.Background(), fullRequest())
				if err != nil {
					t.Error(err)
					return
				}
				want := fmt.Sprintf("n_%d", (d.Generation-1)%3)
				if !d.Allowed || d.Revision != want || d.Reasons[0] != want || d.Headers[0].Value != want || d.Generation < last {
					t.Errorf("%+v after generation %d", d, last)
					return
				}
				last = d.Generation
			}
		})
	}
	for n := 1; n <= 50; n++ {
		e.Activate(programs[n%3])
		if n%25 == 0 {
			if s := settled(t, e); s.Evaluator != Machine {
				t.Errorf("after %d it is %+v", n, s)
			}
		}
	}
	done.Store(true)
	wg.Wait()
	t.Logf("%d decisions", decided.Load())
}

// A plan that the machine does not take is OPA's to run, and says so.
func TestAPlanThatTheMachineDoesNotTake(t *testing.T) {
	t.Parallel()
	log := newTold("policy runs on OPA's evaluator")
	e := machineEngine(t, func(m *MachineOptions) { m.Logger = textLog(log) })
	p := compiled(t, `decision := input.route.name == "portal"`, nil)
	p.entry = "neosc/authz/nowhere" // OPA makes no plan for that
	e.Activate(p)
	s := settled(t, e)
	if s.Evaluator != OPA || s.Pending || s.Why == "" {
		t.Fatalf("%+v", s)
	}
	<-log.came
	if d, err := e.Decide(context.Background(), fullRequest()); err != nil || !d.Allowed {
		t.Errorf("%+v, %v", d, err)
	}
	if rules, n := e.Coverage(); rules != nil || n != 0 {
		t.Errorf("%v, %d", rules, n)
	}
}
