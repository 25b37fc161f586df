package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/route"
)

const (
	manyRoutes  = 10_000
	manyEntries = 100_000
)

// manyRoutesFile is a routes file of so many routes; each tells policy which
// version of the file it is of.
func manyRoutesFile(tb testing.TB, version int) *route.File {
	tb.Helper()
	var b strings.Builder
	b.WriteString("gate: http://gate.test:8080\nlisten: 127.0.0.1:8080\nupstreams:\n  app: 'app.internal:3000'\nhosts:\n- origin: http://gate.test:8080\n  routes:\n  - {name: gate, prefix: /, upstream: gate}\n")
	for i := range manyRoutes {
		if i%10 == 0 {
			fmt.Fprintf(&b, "- origin: http://h%d.test:8080\n  routes:\n", i/10)
		}
		path := fmt.Sprintf("/app/%d", i)
		if i%10 == 9 {
			path = "/"
		}
		fmt.Fprintf(&b, "  - {name: route-%d, prefix: %s, upstream: app, pass_identity_headers: true, policy: {file: f_%d}}\n", i, path, version)
	}
	f, err := route.Parse("routes.yaml", []byte(b.String()))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// manyOf is a bundle of so many routes and entries that says in four places
// which generation it is of: in a rule, in data, at the route and at an entry.
func manyOf(tb testing.TB, n int) *Program {
	tb.Helper()
	routes, entries := map[string]any{}, map[string]any{}
	for i := range manyRoutes {
		routes[fmt.Sprintf("route-%d", i)] = map[string]any{"n": n, "entry": fmt.Sprintf("entry-%d", i*7)}
	}
	for i := range manyEntries {
		entries[fmt.Sprintf("entry-%d", i)] = n
	}
	p, err := Compile(Source{
		Modules: map[string]string{"a.rego": fmt.Sprintf(`package neosc.authz

route := data.routes[input.route.name]

default decision := false

decision := {
	"allowed": true,
	"reasons": {sprintf("n_%%d", [data.n]), sprintf("n_%%d", [route.n]), sprintf("n_%%d", [data.entries[route.entry]])},
	"headers": {"x-session-id": "n_%d", "x-neosc-file": input.route.policy.file, "x-neosc-route": input.route.name},
}`, n)},
		Data:     map[string]any{"n": n, "routes": routes, "entries": entries},
		Revision: fmt.Sprintf("n_%d", n), Timeout: 20 * time.Second,
	}, shippedEdge)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// wholeOf says what is wrong with a decision that should be of one generation of
// the policy and of the routes file that r's route is of.
func wholeOf(d *authz.Decision, err error, r *authz.Request) string {
	if err != nil {
		return err.Error()
	}
	n := fmt.Sprintf("n_%d", (d.Generation-1)%3)
	if !d.Allowed || d.Revision != n || len(d.Reasons) != 1 || d.Reasons[0] != n || len(d.Headers) != 3 {
		return fmt.Sprintf("%+v", d)
	}
	for i, want := range []string{r.Route.Policy["file"].(string), r.Route.Name, n} {
		if d.Headers[i].Value != want {
			return fmt.Sprintf("%+v, want %s", d, want)
		}
	}
	return ""
}

// Fifty activations of bundles of 10,000 routes and 100,000 entries, and as many
// of a routes file of 10,000 routes, while requests on all of these routes are
// judged: none fails, none gets parts of two.
func TestActivationsOfLargePoliciesUnderLoad(t *testing.T) {
	programs := []*Program{manyOf(t, 0), nil, nil}
	files := []*route.File{manyRoutesFile(t, 0), manyRoutesFile(t, 1)}
	live := route.NewLive(files[0])
	e := machineEngine(t, func(m *MachineOptions) { m.Inputs, m.Build = 10, nil })
	e.Activate(programs[0])
	var done atomic.Bool
	var decided atomic.Uint64
	var wg sync.WaitGroup
	met, failed := make(chan struct{}), make(chan struct{}, 2)
	for i := range 2 {
		wg.Go(func() {
			names := rand.New(rand.NewPCG(uint64(i), 7))
			for last := uint64(0); !done.Load(); decided.Add(1) {
				r := fullRequest()
				r.RouteName = fmt.Sprintf("route-%d", names.IntN(manyRoutes))
				r.Route = live.RouteAt(r.RouteName, files[names.IntN(2)].Revision()) // what Envoy matched by
				d, err := e.Decide(context.Background(), r)
				if wrong := wholeOf(d, err, r); wrong != "" || d.Generation < last {
					t.Errorf("after generation %d: %s", last, wrong)
					failed <- struct{}{}
					return
				}
				select {
				case met <- struct{}{}:
				case <-time.After(time.Millisecond): // the comparison gives way to who asks all the time
				}
				last = d.Generation
			}
		})
	}
	for n := 1; n <= 50 && !t.Failed(); n++ {
		if programs[n%3] == nil { // compiled while requests are judged
			programs[n%3] = manyOf(t, n%3)
		}
		live.Swap(files[n%2])
		e.Activate(programs[n%3])
		if n%25 == 0 {
			if s := settled(t, e); s.Evaluator != Machine {
				t.Errorf("after %d it is %+v", n, s)
			}
		}
		for range 20 { // requests meet each of them
			select {
			case <-met:
			case <-failed:
			}
		}
	}
	done.Store(true)
	wg.Wait()
	t.Logf("%d decisions", decided.Load())
}
