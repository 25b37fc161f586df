package zitadel_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/claims"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/demo"
	"github.com/neosc/gate/session/demo/zitadel"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/test/zitadelfake"
)

// gate is grants with a Zitadel, as a gate has them.
type gate struct {
	*demo.Service
	zitadel  *zitadelfake.Server
	sessions *session.Manager
	actions  *zitadel.Actions
	calls    int
}

type noTrail struct{}

func (noTrail) Append(context.Context, ...session.Event) error { return nil }

func openGate(t *testing.T, lasts time.Duration) *gate {
	t.Helper()
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	grants, err := demo.NewStore(t.Context(), db, sqlstore.SQLite(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cookie.New(ring, "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{zitadel: zitadelfake.Start(t, time.Now, ana)}
	notes, quiet := memstore.New(), slog.New(slog.DiscardHandler)
	if g.sessions, err = session.NewManager(session.Options{Store: notes, Sealer: sealer, Grants: grants, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.sessions.Close)
	step, err := zitadel.New(zitadel.Options{
		Issuer: g.zitadel.URL, OrganizationID: org, ProjectID: project, KeyFile: private(t, string(g.zitadel.KeyFile())), Notes: notes,
	})
	if err != nil {
		t.Fatal(err)
	}
	zitadel.SettleFast(step)
	g.Service, err = demo.New(demo.Options{
		Store: grants, Sessions: g.sessions, Audit: noTrail{}, Logger: quiet, Sweep: time.Hour,
		Kinds: []session.WorkspaceKind{{Name: "desktop", Title: "Desktop", MaxDuration: lasts}},
		Steps: []demo.Step{{DemoStep: step, Timeout: 20 * time.Second, Retries: 5, Backoff: 10 * time.Millisecond}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.actions, err = zitadel.NewActions(zitadel.ActionsOptions{
		Targets: []zitadel.Target{{Issuer: g.zitadel.URL, KeysFile: private(t, oneKey)}}, Logger: quiet,
		Active: func(ctx context.Context, issuer, subject string) (session.DemoGrant, bool, error) {
			return grants.ActiveGrant(ctx, claims.UserID(issuer, subject))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	zitadel.Patient(g.actions)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return g
}

// signIn begins ana's session, as one that began at the Zitadel.
func (g *gate) signIn(t *testing.T) *session.Session {
	t.Helper()
	s, _, err := g.sessions.Create(t.Context(), session.Identity{
		Provider: "zitadel_onprem", Issuer: g.zitadel.URL, Subject: ana, UserID: claims.UserID(g.zitadel.URL, ana), Email: "ana@kappa4.com", EmailVerified: true,
		Roles: []string{"user"}, Claims: map[string]any{"sub": ana},
	}, session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// demoOf is the grant that a session's claims speak of, "" if none.
func (g *gate) demoOf(t *testing.T, s *session.Session) string {
	t.Helper()
	now, err := g.sessions.Find(t.Context(), s.Key)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := now.Identity.Claims[session.ClaimDemoSession].(string)
	if slices.Contains(now.Identity.Roles, session.RoleDemo) != (id != "") {
		t.Errorf("roles %v with the claim %q", now.Identity.Roles, id)
	}
	return id
}

// asked is what Zitadel is told of ana now.
func (g *gate) asked(t *testing.T) string {
	t.Helper()
	h := &house{Actions: g.actions}
	// Spaces make it another call than the one before, which may be of this second.
	g.calls++
	body := append(zitadelfake.Payload("preuserinfo", ana, org), bytes.Repeat([]byte(" "), g.calls)...)
	status, said := h.call(body, zitadelfake.Sign(time.Now(), body, oneKey))
	if status != 200 {
		t.Fatalf("%d", status)
	}
	return said
}

func (g *gate) until(t *testing.T, id, what string, ok func(session.DemoGrant) bool) session.DemoGrant {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		d, err := g.Grant(t.Context(), id)
		if err == nil && ok(d) {
			return d
		}
		if time.Now().After(end) {
			t.Fatalf("it is not %s: %+v, %v", what, d, err)
		}
	}
}

// The identity provider is away when a grant ends: the grant is dead at the gate
// at once, and its role is removed at the provider once that is back.
func TestAnIdentityProviderThatIsAwayAtTheEndKeepsNothingAlive(t *testing.T) {
	t.Parallel()
	g := openGate(t, 30*time.Minute)
	s := g.signIn(t)
	d, err := g.Request(t.Context(), s, session.DemoRequest{WorkspaceType: "desktop"})
	if err != nil {
		t.Fatal(err)
	}
	d = g.until(t, d.ID, "active", func(d session.DemoGrant) bool { return d.Status == session.GrantActive })
	g.until(t, d.ID, "told to the session", func(session.DemoGrant) bool { return g.demoOf(t, s) == d.ID })
	wantRoles(t, g.zitadel, ana, d.Role)

	g.zitadel.Away(true)
	if _, err := g.End(t.Context(), d.ID, session.Person{ID: "admin"}, "enough"); err != nil {
		t.Fatal(err)
	}
	g.until(t, d.ID, "tried at the provider more than once", func(d session.DemoGrant) bool {
		return slices.ContainsFunc(d.Steps, func(s session.GrantStep) bool { return s.Phase == session.PhaseEnd && s.Attempts > 1 })
	})
	if got := g.demoOf(t, s); got != "" {
		t.Errorf("the session still has the claims of %s", got)
	}
	if said := g.asked(t); said != "{}" {
		t.Errorf("a token made now would say %s", said)
	}
	wantRoles(t, g.zitadel, ana, d.Role)

	g.zitadel.Away(false)
	g.until(t, d.ID, "cleaned", func(d session.DemoGrant) bool { return !d.CleanedAt.IsZero() })
	if grants, roles := g.zitadel.Grants(), g.zitadel.Roles(project); len(grants) != 0 || len(roles) != 0 {
		t.Errorf("left at the provider: %+v, %v", grants, roles)
	}
}

func TestZitadelIsToldOfAGrantWhileItLasts(t *testing.T) {
	t.Parallel()
	g := openGate(t, 30*time.Minute)
	if said := g.asked(t); said != "{}" {
		t.Errorf("before: %s", said)
	}
	d, err := g.Request(t.Context(), g.signIn(t), session.DemoRequest{WorkspaceType: "desktop"})
	if err != nil {
		t.Fatal(err)
	}
	d = g.until(t, d.ID, "active", func(d session.DemoGrant) bool { return d.Status == session.GrantActive })
	want := `{"append_claims":[{"key":"neosc:demo_session_id","value":"` + d.ID + `"},{"key":"neosc:demo_expires_at","value":"` +
		d.ExpiresAt.UTC().Format(time.RFC3339) + `"},{"key":"neosc:workspace_type","value":"desktop"},{"key":"neosc:max_duration","value":1800}]}`
	if said := g.asked(t); said != want {
		t.Errorf("while it lasts: %s, want %s", said, want)
	}
}

// What a gate made that was killed before it could write it down, or that was
// restored from before, is found by its group and taken away.
func TestRolesThatNoGrantHasAreSweptAtZitadel(t *testing.T) {
	t.Parallel()
	g := openGate(t, 30*time.Minute)
	d, err := g.Request(t.Context(), g.signIn(t), session.DemoRequest{WorkspaceType: "desktop"})
	if err != nil {
		t.Fatal(err)
	}
	d = g.until(t, d.ID, "active", func(d session.DemoGrant) bool { return d.Status == session.GrantActive })
	g.zitadel.PutRole(project, "demo-user-77", "demo-1772705730-77aa", "neosc-gate-demo")
	g.zitadel.Put(zitadelfake.Grant{User: ben, Organization: org, Project: project, Roles: []string{"demo-user-77", "neosc"}})
	if err := g.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, g.zitadel, ana, d.Role)
	wantRoles(t, g.zitadel, ben, "neosc")
	if roles := g.zitadel.Roles(project); !slices.Equal(roles, []string{d.Role, "neosc"}) {
		t.Errorf("roles: %v", roles)
	}
}
