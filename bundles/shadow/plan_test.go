package shadow_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/shadow"
)

// newFastStand has the live policy on the machine, which remembers.
func newFastStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, reg: prometheus.NewRegistry()}
	var err error
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if s.live, err = engine.New(engine.Options{Machine: &engine.MachineOptions{Logger: log, Inputs: 50, CacheBytes: 1 << 20}}); err != nil {
		t.Fatal(err)
	}
	s.live.Activate(compile(t, policy))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if state := s.live.Settled(ctx); state.Evaluator != engine.Machine {
		t.Fatalf("not on the machine: %+v", state)
	}
	if s.Shadow, err = shadow.New(shadow.Options{Live: s.live, Logger: log, Registerer: s.reg, Every: time.Hour}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// turns asks the same again and again, with a turn after each.
func (s *stand) turns(r *authz.Request, n int) shadow.Report {
	s.t.Helper()
	var out shadow.Report
	for range n {
		s.ask(r)
		out = s.report()
	}
	return out
}

func TestWhatIsDecidedAgainIsKnownToAgree(t *testing.T) {
	t.Parallel()
	s := newFastStand(t)
	s.start(changed(t, `["role_required"]`, `["not_for_you"]`), 1)
	r := request("GET", "admin")
	if got := s.turns(r, 9); got.Compared != 9 || got.Agreed != 9 {
		t.Errorf("report %+v", got)
	}
	if s.Known() == 0 {
		t.Error("each was decided")
	}
	if got := s.results(); got["agreed"] != 9 {
		t.Errorf("metrics %v", got)
	}
	other := request("GET", "guest")
	if got := s.turns(other, 9); got.Compared != 18 || got.Agreed != 9 || got.Disagreed != 9 {
		t.Errorf("report %+v", got)
	}
}

// TestWhatTheCandidateReadsBesideIsNotTakenForKnown: its decision may be another
// while the live one is the very same.
func TestWhatTheCandidateReadsBesideIsNotTakenForKnown(t *testing.T) {
	t.Parallel()
	s := newFastStand(t)
	s.start(changed(t, `open if "admin" in input.session.roles`, "open if {\n\t\"admin\" in input.session.roles\n\tnot input.attributes.request.http.headers.accept == \"no\"\n}"), 1)
	r := request("GET", "admin")
	s.turns(r, 5)
	r.Headers[0].Value = "no"
	if got := s.turns(r, 5); got.Compared != 10 || got.Agreed != 5 || got.Disagreed != 5 {
		t.Errorf("report %+v", got)
	}
}

// TestWhatIsKnownEnds with the candidate's own horizon, while the live decision
// holds for ever; and is looked at again in any case.
func TestWhatIsKnownEnds(t *testing.T) {
	t.Parallel()
	s := newFastStand(t)
	s.start(changed(t, `open if "admin" in input.session.roles`, "open if {\n\t\"admin\" in input.session.roles\n\ttime.now_ns() < time.parse_rfc3339_ns(\"2026-03-05T18:00:00.5Z\")\n}"), 1)
	r := request("GET", "admin")
	s.turns(r, 6)
	if s.Known() == 0 {
		t.Error("each was decided")
	}
	r.Time = noon.Add(499 * time.Millisecond)
	if got := s.turns(r, 3); got.Agreed != 9 {
		t.Errorf("report %+v", got)
	}
	r.Time = noon.Add(500 * time.Millisecond)
	if got := s.turns(r, 3); got.Agreed != 9 || got.Disagreed != 3 {
		t.Errorf("report %+v", got)
	}
	r.Time = noon.Add(-time.Hour)
	if before := s.Known(); s.turns(r, 1).Agreed != 10 || s.Known() != before {
		t.Error("what is known of an instant is taken for one before it")
	}
}

func TestWhatIsKnownEndsWithThePolicy(t *testing.T) {
	t.Parallel()
	s := newFastStand(t)
	s.start(policy, 1)
	s.turns(request("GET", "admin"), 6)
	s.live.Activate(compile(t, changed(t, `"burst": 20`, `"burst": 5`)))
	if got := s.turns(request("GET", "admin"), 6); got.Compared != 6 || got.Disagreed != 6 {
		t.Errorf("report %+v", got)
	}
}
