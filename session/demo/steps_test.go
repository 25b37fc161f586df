package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// withThings gives a house steps that begin in this order; failures are tried
// again at once.
func withThings(retries int, things ...*thing) func(*house, *Options) {
	return func(h *house, o *Options) {
		for _, f := range things {
			f.log = h.log
			o.Steps = append(o.Steps, Step{DemoStep: f, Timeout: patience, Retries: retries, Backoff: time.Millisecond})
		}
	}
}

func stepsInOrder(t *testing.T, on database) {
	container, peer, role := newThing("container", nil), newThing("peer", nil), newThing("role", nil)
	began := time.Now()
	peer.on = func(_ context.Context, phase string, g session.DemoGrant) error {
		// By the database's clock, which is this machine's.
		if lasts := g.ExpiresAt.Sub(began); phase == session.PhaseStart && (lasts < 29*time.Minute || lasts > 40*time.Minute) {
			t.Errorf("it is to be made for what ends at %v", g.ExpiresAt)
		}
		return nil
	}
	reg := prometheus.NewRegistry()
	h := newHouse(t, on, withThings(0, container, peer, role), func(_ *house, o *Options) {
		o.EndOrder, o.Registerer = []string{"role", "container", "peer"}, reg
	})
	measured := func(name string) (series int, of uint64) {
		t.Helper()
		all, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.GetName() == "pomerium_demo_"+name {
				return len(f.GetMetric()), f.GetMetric()[0].GetHistogram().GetSampleCount()
			}
		}
		return 0, 0
	}
	// What is counted is there before it happens, or its first time is not seen.
	for name, want := range map[string]int{"step_failures_total": 6, "orphans_removed_total": 3, "sessions_started_total": 2, "requests_refused_total": 4, "sessions_ended_total": 4} {
		if n, _ := measured(name); n != want {
			t.Errorf("%d series of %s, want %d", n, name, want)
		}
	}
	h.runs(h.Service)
	s := h.signIn("nora")
	g := h.ask(s, session.DemoRequest{})
	if g.Status != session.GrantStarting {
		t.Fatalf("%+v", g)
	}
	g = h.is(g.ID, session.GrantActive)
	h.until(g.ID, "told", func(session.DemoGrant) bool { return len(h.now(s).Roles) == 3 })
	if _, err := h.End(t.Context(), g.ID, session.Person{ID: "nora"}, ""); err != nil {
		t.Fatal(err)
	}
	g = h.cleaned(g.ID)
	want := []string{"start container", "start peer", "start role", "end role", "end container", "end peer"}
	if got := h.log.list(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i, x := range g.Steps {
		if x.Phase+" "+x.Name != want[i] || x.State != session.StepDone || x.Attempts != 1 || x.At.IsZero() {
			t.Errorf("%+v", x)
		}
	}
	if got := h.trail.of(g.ID); !slices.Equal(got, []string{"demo_requested nora", "demo_started ", "demo_revoked nora", "demo_cleaned "}) {
		t.Errorf("the trail: %q", got)
	}
	if _, n := measured("cleanup_lag_seconds"); n != 1 {
		t.Errorf("the beginning of the clean-up is measured %d times", n)
	}
}

func startThatFails(t *testing.T, on database) {
	for name, fault := range map[string]error{"Again": errors.New("no room"), "ForGood": fmt.Errorf("%w: no such image", session.ErrStepRefused), "Panic": nil} {
		t.Run(name, func(t *testing.T) { t.Parallel(); startThatFailsBy(t, on, name, fault) })
	}
}

func startThatFailsBy(t *testing.T, on database, name string, fault error) {
	one, two := newThing("one", nil), newThing("two", nil)
	tries := 0
	two.on = func(_ context.Context, phase string, _ session.DemoGrant) error {
		if phase != session.PhaseStart {
			return nil
		}
		if tries++; fault == nil {
			panic("a defect")
		}
		return fault
	}
	h := newHouse(t, on, withThings(2, one, two), func(_ *house, o *Options) {
		o.Steps[1].Timeout = time.Millisecond // what may still be under way is waited for
	})
	h.runs(h.Service)
	s := h.signIn("nora")
	g := h.cleaned(h.ask(s, session.DemoRequest{}).ID)
	want := 3
	if name == "ForGood" {
		want = 1
	}
	if g.Status != session.GrantFailed || g.Reason == "" || tries != want || g.Steps[1].Attempts != want || g.Steps[1].State != session.StepFailed || one.owns(g.ID) || len(h.now(s).Roles) != 1 {
		t.Errorf("%s: %d tries, %+v", name, tries, g)
	}
	if got := h.trail.of(g.ID); !slices.Equal(got, []string{"demo_requested nora", "demo_failed ", "demo_cleaned "}) {
		t.Errorf("the trail: %q", got)
	}
}

// endThatFails: a failed end holds up no other, and is tried until it is done.
func endThatFails(t *testing.T, on database) {
	one, two := newThing("one", nil), newThing("two", nil)
	var mu sync.Mutex
	fails, away := 4, 0
	two.on = func(_ context.Context, phase string, g session.DemoGrant) error {
		mu.Lock()
		defer mu.Unlock()
		if phase == session.PhaseEnd && fails > 0 {
			if fails--; one.owns(g.ID) && fails < 3 {
				away++
			}
			return errors.New("the identity provider is away")
		}
		return nil
	}
	h := newHouse(t, on, withThings(0, one, two))
	h.runs(h.Service)
	s := h.signIn("nora")
	g := h.is(h.ask(s, session.DemoRequest{}).ID, session.GrantActive)
	if _, err := h.End(t.Context(), g.ID, session.Person{ID: "nora"}, ""); err != nil || len(h.now(s).Roles) != 1 {
		t.Fatalf("roles %q, error %v", h.now(s).Roles, err) // dead at the gate at once
	}
	g = h.cleaned(g.ID)
	if one.owns(g.ID) || two.owns(g.ID) || away != 0 || g.Status != session.GrantRevoked {
		t.Errorf("%+v, held up %d times", g, away)
	}
}

// revokedWhileStarting: what a step makes although the grant has ended meanwhile
// is taken away as well.
func revokedWhileStarting(t *testing.T, on database) {
	f := newThing("container", nil)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.on = func(_ context.Context, phase string, _ session.DemoGrant) error {
		if phase == session.PhaseStart {
			once.Do(func() { close(begun) })
			<-goOn
		}
		return nil
	}
	h := newHouse(t, on, withThings(0, f), func(_ *house, o *Options) { o.Steps[0].Timeout = 500 * time.Millisecond })
	h.runs(h.Service)
	s := h.signIn("nora")
	g := h.ask(s, session.DemoRequest{})
	<-begun
	if _, err := h.End(t.Context(), g.ID, session.Person{ID: "nora"}, ""); err != nil {
		t.Fatal(err)
	}
	// The first clean-up finds nothing; only then is the container made.
	h.until(g.ID, "ended once", func(session.DemoGrant) bool { return slices.Contains(h.log.list(), "end container") })
	close(goOn)
	g = h.cleaned(g.ID)
	if f.owns(g.ID) || g.Status != session.GrantRevoked || len(h.now(s).Roles) != 1 {
		t.Errorf("%+v, left behind: %t", g, f.owns(g.ID))
	}
}

func orphans(t *testing.T, on database) {
	f := newThing("container", nil)
	h := newHouse(t, on, withThings(0, f))
	h.runs(h.Service)
	g := h.is(h.ask(h.signIn("nora"), session.DemoRequest{}).ID, session.GrantActive)
	f.has["demo-1-00000000000000ff"] = true
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.owns("demo-1-00000000000000ff") || !f.owns(g.ID) {
		t.Errorf("%v", f.has)
	}
	if got := h.trail.of("demo-1-00000000000000ff"); !slices.Equal(got, []string{"demo_orphan_removed "}) {
		t.Errorf("the trail: %q", got)
	}
	// One that cannot be taken away is no hindrance to others, and is tried again.
	stuck := "demo-1-00000000000000aa"
	f.mu.Lock()
	f.on = func(_ context.Context, _ string, g session.DemoGrant) error {
		if g.ID == stuck {
			return errors.New("it is in use")
		}
		return nil
	}
	for _, id := range []string{stuck, "demo-1-00000000000000bb", "demo-1-00000000000000cc"} {
		f.has[id] = true
	}
	f.mu.Unlock()
	if err := h.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "it is in use") {
		t.Errorf("error %v", err)
	}
	if !f.owns(stuck) || f.owns("demo-1-00000000000000bb") || f.owns("demo-1-00000000000000cc") {
		t.Errorf("%v", f.has)
	}
	// One gate sweeps for all.
	turns := 0
	for range 3 {
		if mine, err := h.store.takeTurn(t.Context(), "t", time.Hour); err != nil {
			t.Error(err)
		} else if mine {
			turns++
		}
	}
	if turns != 1 {
		t.Errorf("%d turns, want 1", turns)
	}
}

// oneWinner has several move one grant at once.
func oneWinner(t *testing.T, on database) {
	h := newHouse(t, on)
	other := h.another()
	for range 5 {
		g := h.ask(h.signIn("nora"), session.DemoRequest{WorkspaceType: "lab"})
		var all sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 8 {
			all.Go(func() {
				s := h.Service
				if i%2 == 0 {
					s = other
				}
				_, err := s.Decide(context.Background(), g.ID, i%3 == 0, session.Person{ID: fmt.Sprint(i)}, "why not")
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !errors.Is(err, session.ErrDemoState) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		moves := 0
		for _, a := range h.trail.of(g.ID) {
			if a[:9] == "demo_appr" || a[:9] == "demo_refu" {
				moves++
			}
		}
		if won != 1 || moves != 1 {
			t.Errorf("%d winners, %d events", won, moves)
		}
		if _, err := h.End(t.Context(), g.ID, session.Person{ID: "nora"}, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// aGateThatDied: another one goes on where a gate stopped, and what the dead one
// would still write does not count.
func aGateThatDied(t *testing.T, on database) {
	f := newThing("container", nil)
	h := newHouse(t, on, withThings(0, f), func(_ *house, o *Options) { o.Visibility = 50 * time.Millisecond })
	g := h.ask(h.signIn("nora"), session.DemoRequest{})
	end := time.Now().Add(patience)
	var claimed []job
	for len(claimed) == 0 && time.Now().Before(end) {
		var err error
		if claimed, err = h.claim(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}
	if len(claimed) != 1 {
		t.Fatal("it is not due")
	}
	h.runs(h.another(withThings(0, f)))
	h.is(g.ID, session.GrantActive)
	err := h.fails(t.Context(), claimed[0].row, "as the dead one would")
	wantErr(t, err, errLost)
	if got, err := h.Grant(t.Context(), g.ID); err != nil || got.Status != session.GrantActive {
		t.Errorf("%+v, error %v", got, err)
	}
}
