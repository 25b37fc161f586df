package engine

import (
	"context"
	"fmt"
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
	var many *Engine
	activating := time.Hour
	for try := 0; try < 5 && activating > 100*time.Millisecond; try++ { // a busy machine may stand still in one
		many = machineEngine(t, off)
		start = time.Now()
		many.Activate(p)
		activating = min(activating, time.Since(start))
	}
	if s := settled(t, many); s.Evaluator != Machine {
		t.Fatalf("%+v", s)
	}
	comparing := time.Since(start)
	a, b := quickest(t, few, r), quickest(t, many, r)
	for try := 0; try < 5 && b > 2*a; try++ {
		a, b = quickest(t, few, r), quickest(t, many, r)
	}
	t.Logf("compiled in %v, activated in %v, on the machine after %v; %v with few, %v with many", compiling, activating, comparing, a, b)
	if b > 2*a {
		t.Errorf("%v with few entries, %v with many", a, b)
	}
	if activating > 100*time.Millisecond || compiling+comparing > 30*time.Second {
		t.Errorf("compiled in %v, activated in %v, on the machine after %v", compiling, activating, comparing)
	}
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
