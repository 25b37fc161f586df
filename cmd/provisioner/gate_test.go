package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/demo"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/sqlstore"
)

type noTrail struct{}

func (noTrail) Append(context.Context, ...session.Event) error { return nil }

// demos are the gate's own demo sessions, made ready and taken away by the
// provisioner of a house.
func (h *house) demos() (*demo.Service, *session.Manager) {
	h.t.Helper()
	ctx := context.Background()
	db, err := sqlstore.OpenSQLite(ctx, filepath.Join(h.t.TempDir(), "gate.db"))
	h.fine(err)
	h.t.Cleanup(func() { _ = db.Close() })
	grants, err := demo.NewStore(ctx, db, sqlstore.SQLite(), time.Now)
	h.fine(err)
	ring, err := cookie.NewRing()
	h.fine(err)
	sealer, err := cookie.New(ring, "_pomerium", "session")
	h.fine(err)
	quiet := slog.New(slog.DiscardHandler)
	sessions, err := session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer, Grants: grants, Logger: quiet})
	h.fine(err)
	h.t.Cleanup(sessions.Close)
	step := func(name string) demo.Step {
		return demo.Step{DemoStep: h.gate(name), Timeout: 10 * time.Second, Retries: 5, Backoff: 10 * time.Millisecond}
	}
	s, err := demo.New(demo.Options{
		Store: grants, Sessions: sessions, Audit: noTrail{}, Logger: quiet,
		Kinds: []session.WorkspaceKind{{Name: "desktop", MaxDuration: 30 * time.Minute}}, Steps: []demo.Step{step("network"), step("container")},
	})
	h.fine(err)
	run, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { s.Run(run) })
	h.t.Cleanup(func() { stop(); running.Wait() })
	return s, sessions
}

func (h *house) until(s *demo.Service, id, what string, ok func(session.DemoGrant) bool) session.DemoGrant {
	h.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		g, err := s.Grant(h.t.Context(), id)
		if err == nil && ok(g) {
			return g
		}
		if time.Now().After(end) || err == nil && g.Status == session.GrantFailed {
			h.t.Fatalf("it is not %s: %+v, error %v\n%s", what, g, err, h.said())
		}
	}
}

// TestADemoSessionOfTheGate: somebody asks the gate, and has a container, a network
// of its own and a key for as long as the session lasts, and nothing after it.
func TestADemoSessionOfTheGate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run()
	demos, sessions := h.demos()
	who, _, err := sessions.Create(t.Context(), session.Identity{UserID: "ana", Email: "ana@example.com"}, session.Browser, 0)
	h.fine(err)
	g, err := demos.Request(t.Context(), who, session.DemoRequest{WorkspaceType: "desktop"})
	h.fine(err)
	h.until(demos, g.ID, "active", func(g session.DemoGrant) bool { return g.Status == session.GrantActive })
	h.wants("containers", h.states(), "neosc-"+g.ID+" running")
	made := h.engine.Containers()[1].Body
	ends, err := time.Parse(time.RFC3339, made.Labels["io.neosc.demo.expires_at"])
	if left := time.Until(ends); err != nil || left < 29*time.Minute || left > 30*time.Minute {
		t.Errorf("it is told to end in %v, error %v", left, err)
	}
	if n := h.engine.Networks(); len(n) != 1 || made.HostConfig.NetworkMode != n[0].Name {
		t.Errorf("networks %+v", n)
	}
	if env := strings.Join(made.Env, " "); !strings.Contains(env, "NB_SETUP_KEY=") {
		t.Errorf("variables %s", env)
	}
	_, err = demos.End(t.Context(), g.ID, session.Person{ID: "ana"}, "")
	h.fine(err)
	h.until(demos, g.ID, "cleaned", func(g session.DemoGrant) bool { return !g.CleanedAt.IsZero() })
	h.wants("containers", h.states())
	h.wants("peers", h.network.Peers())
	if n := h.engine.Networks(); len(n) > 0 {
		t.Errorf("networks %+v", n)
	}
}
