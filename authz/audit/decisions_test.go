package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
)

// slow is a trail that takes events only when it is let.
type slow struct {
	mu    sync.Mutex
	kept  []session.Event
	let   chan error
	asked chan struct{}
}

func (s *slow) Append(ctx context.Context, events ...session.Event) error {
	s.asked <- struct{}{}
	err := <-s.let
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.kept = append(s.kept, events...)
	}
	return err
}

func newSlow() *slow { return &slow{let: make(chan error, 100), asked: make(chan struct{}, 100)} }

func request(path string) *authz.Request {
	return &authz.Request{Time: noon, Method: "GET", Host: "portal.kappa4.com", Path: path, RouteName: "portal", Session: &session.Session{Identity: session.Identity{UserID: "u1", Email: "ana@kappa4.com"}}}
}

func allowed() *authz.Outcome {
	return &authz.Outcome{Verdict: authz.Allowed, Status: 200, Reasons: []string{"authorized"}}
}

func decisions(t *testing.T, o audit.DecisionsOptions) *audit.Decisions {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	d, err := audit.NewDecisions(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func dropped(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return out
}

func TestDecisionsAreKeptWithoutWhatMayBeSecret(t *testing.T) {
	t.Parallel()
	s := newSlow()
	for range 3 {
		s.let <- nil
	}
	d := decisions(t, audit.DecisionsOptions{Trail: s, All: true})
	denied := &authz.Outcome{Verdict: authz.Denied, Status: 403, Reasons: []string{"role_required"}}
	for _, o := range []*authz.Outcome{allowed(), denied} {
		if err := d.Keep(request("/a/b?token=hunter2"), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if len(s.kept) != 2 || s.kept[0].Action != session.ActionRequestAllowed || s.kept[1].Action != session.ActionRequestDenied || s.kept[1].Details["reasons"] != "role_required" || s.kept[0].Details["path"] != "/a/b" {
		t.Errorf("kept %+v", s.kept)
	}
	if strings.Contains(fmt.Sprint(s.kept), "hunter2") {
		t.Error("the query is in the trail")
	}
}

func TestAFullQueueDropsAndCountsOrRefuses(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{false, true} {
		reg, s := prometheus.NewRegistry(), newSlow()
		d := decisions(t, audit.DecisionsOptions{Trail: s, All: true, Required: required, Queue: 2, Registerer: reg})
		keep := func() error { return d.Keep(request("/"), allowed()) }
		if err := keep(); err != nil {
			t.Fatal(err)
		}
		<-s.asked // the writer holds it, and the queue is empty
		if err := errors.Join(keep(), keep()); err != nil {
			t.Fatal(err)
		}
		err := keep()
		if refused := errors.Is(err, audit.ErrNotKept); refused != required {
			t.Errorf("required %v: %v", required, err)
		}
		if got := dropped(t, reg)["full"]; got != 1 {
			t.Errorf("required %v: %v were counted", required, got)
		}
		for range 4 {
			s.let <- nil
		}
		if err := d.Close(); err != nil || len(s.kept) != 3 {
			t.Errorf("%d kept, %v", len(s.kept), err)
		}
	}
}

func TestATrailThatFailsRefusesWhereItIsRequiredUntilItIsBack(t *testing.T) {
	t.Parallel()
	s := newSlow()
	d := decisions(t, audit.DecisionsOptions{Trail: s, All: true, Required: true})
	if err := d.Keep(request("/"), allowed()); err != nil {
		t.Fatal(err)
	}
	<-s.asked
	s.let <- errors.New("the disk is full")
	<-s.asked // it tries again: the failure is known
	if err := d.Keep(request("/"), allowed()); !errors.Is(err, audit.ErrNotKept) {
		t.Errorf("while it fails: %v", err)
	}
	s.let <- nil
	s.let <- nil
	for d.Keep(request("/"), allowed()) != nil { // the writer is about to know
		t.Log("not yet")
	}
	if err := d.Close(); err != nil || len(s.kept) != 2 {
		t.Errorf("%d kept, %v", len(s.kept), err)
	}
}

func TestStrangersCannotFillTheTrail(t *testing.T) {
	t.Parallel()
	s, reg := newSlow(), prometheus.NewRegistry()
	d := decisions(t, audit.DecisionsOptions{Trail: s, Registerer: reg, Queue: 2000})
	close(s.let)
	go func() {
		for range s.asked {
		}
	}()
	nobody := request("/")
	nobody.Session = nil
	refusal := &authz.Outcome{Verdict: authz.Unauthenticated, Status: 401, Reasons: []string{"unauthenticated"}}
	for range 1000 {
		if err := d.Keep(nobody, refusal); err != nil {
			t.Fatal(err)
		}
	}
	nobody.Time = noon.Add(60e9)
	if err := errors.Join(d.Keep(nobody, refusal), d.Keep(request("/"), allowed()), d.Close()); err != nil {
		t.Fatal(err)
	}
	if len(s.kept) != 601 || s.kept[600].Details["not_kept_before"] != "400" || dropped(t, reg)["strangers"] != 400 {
		t.Errorf("%d kept, the last %v, dropped %v", len(s.kept), s.kept[len(s.kept)-1].Details, dropped(t, reg))
	}
}
