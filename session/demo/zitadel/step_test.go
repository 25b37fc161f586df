package zitadel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/demo/zitadel"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/test/zitadelfake"
)

const (
	ana, ben     = "349573018273640011", "349573018273640012"
	org, project = "349573018273640001", "349573018273640002"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

func private(t *testing.T, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "private")
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stand starts a fake Zitadel that knows ana and ben, and a step with the key of
// its service user.
func stand(t *testing.T) (*zitadelfake.Server, *zitadel.Step) {
	t.Helper()
	z := zitadelfake.Start(t, clock, ana, ben)
	return z, newStep(t, z, memstore.New())
}

func newStep(t *testing.T, z *zitadelfake.Server, notes session.Notes) *zitadel.Step {
	t.Helper()
	s, err := zitadel.New(zitadel.Options{
		Issuer: z.URL, OrganizationID: org, ProjectID: project, KeyFile: private(t, string(z.KeyFile())), Notes: notes, Clock: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	zitadel.SettleFast(s)
	return s
}

func grant(z *zitadelfake.Server, n int, who string) session.DemoGrant {
	return session.DemoGrant{ID: fmt.Sprintf("demo-1772705730-%04d", n), Role: fmt.Sprintf("demo-user-%d", 10000+n), Issuer: z.URL, Subject: who, UserID: "idp-" + who}
}

func wantRoles(t *testing.T, z *zitadelfake.Server, who string, want ...string) {
	t.Helper()
	if got := z.RolesOf(who, project); !slices.Equal(got, want) {
		t.Errorf("%s has %v, want %v", who, got, want)
	}
}

func TestAGrantsRoleComesAndGoesWithIt(t *testing.T) {
	z, s := stand(t)
	g := grant(z, 1, ana)
	for range 2 { // twice is as once
		if err := s.Start(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		wantRoles(t, z, ana, g.Role)
	}
	owned, err := s.Owned(t.Context())
	if err != nil || len(owned) != 1 || owned[0].ID != g.ID || owned[0].Role != g.Role {
		t.Fatalf("owned: %+v, %v", owned, err)
	}
	for range 2 {
		if err := s.End(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	if n, roles := z.Grants(), z.Roles(project); len(n) != 0 || len(roles) != 0 {
		t.Errorf("left: %+v, %v", n, roles)
	}
}

func TestWhatAPersonHadBeforeStays(t *testing.T) {
	z, s := stand(t)
	z.Put(zitadelfake.Grant{User: ana, Organization: org, Project: project, Roles: []string{"neosc", "viewer"}})
	z.Put(zitadelfake.Grant{User: ana, Organization: "other", Project: project, Roles: []string{"neosc"}})
	z.Put(zitadelfake.Grant{User: ana, Organization: org, Project: "other", Roles: []string{"admin"}})
	before := z.Grants()
	g := grant(z, 1, ana)
	if err := s.Start(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	wantRoles(t, z, ana, g.Role, "neosc", "neosc", "viewer")
	if err := s.End(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if after := z.Grants(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("after the grant %+v, before it %+v", after, before)
	}
}

// Grants of one person that begin and end at once, by several gates that share
// a store and a Zitadel whose lists lag: updates replace all roles, so that one
// could take away another's.
func TestGrantsOfOnePersonAtOnceLoseNoRoles(t *testing.T) {
	z := zitadelfake.Start(t, clock, ana, ben)
	z.Put(zitadelfake.Grant{User: ana, Organization: org, Project: project, Roles: []string{"neosc"}})
	z.Lag(2)
	notes := memstore.New()
	steps := []*zitadel.Step{newStep(t, z, notes), newStep(t, z, notes), newStep(t, z, notes)}
	const grants = 9
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := func(f func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		for i := range grants {
			wg.Go(func() {
				for { // who calls steps tries again
					err := f(i)
					if err == nil {
						return
					}
					if errors.Is(err, session.ErrStepRefused) || ctx.Err() != nil {
						t.Errorf("grant %d: %v", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	all(func(i int) error { return steps[i%3].Start(ctx, grant(z, i, ana)) })
	want := []string{"neosc"}
	for i := range grants {
		want = append(want, grant(z, i, ana).Role)
	}
	slices.Sort(want)
	wantRoles(t, z, ana, want...)
	// The first five end while others begin.
	all(func(i int) error {
		if i < 5 {
			return steps[i%3].End(ctx, grant(z, i, ana))
		}
		return steps[i%3].Start(ctx, grant(z, 100+i, ana))
	})
	want = []string{"neosc"}
	for i := 5; i < grants; i++ {
		want = append(want, grant(z, i, ana).Role, grant(z, 100+i, ana).Role)
	}
	slices.Sort(want)
	wantRoles(t, z, ana, want...)
	all(func(i int) error {
		if i < 5 {
			return nil
		}
		return errors.Join(steps[i%3].End(ctx, grant(z, i, ana)), steps[(i+1)%3].End(ctx, grant(z, 100+i, ana)))
	})
	wantRoles(t, z, ana, "neosc")
	if roles := z.Roles(project); !slices.Equal(roles, []string{"neosc"}) {
		t.Errorf("roles left: %v", roles)
	}
}

func TestStartsThatCannotWorkAreRefusedForGood(t *testing.T) {
	z, s := stand(t)
	z.Put(zitadelfake.Grant{User: ben, Organization: org, Project: project, Inactive: true, Roles: []string{"neosc"}})
	z.PutRole(project, "demo-user-666", "an administrator's own", "")
	good := grant(z, 1, ana)
	for name, change := range map[string]func(*session.DemoGrant){
		"UnknownPerson":     func(g *session.DemoGrant) { g.Subject = "349573018273649999" },
		"Deactivated":       func(g *session.DemoGrant) { g.Subject = ben },
		"NoSubject":         func(g *session.DemoGrant) { g.Subject = "" },
		"RoleOfAnother":     func(g *session.DemoGrant) { g.Role = "admin" },
		"RoleWithoutDigits": func(g *session.DemoGrant) { g.Role = "demo-user" },
		"RoleAlreadyThere":  func(g *session.DemoGrant) { g.Role = "demo-user-666" },
		"OddID":             func(g *session.DemoGrant) { g.ID = "x" },
	} {
		g := good
		change(&g)
		if err := s.Start(t.Context(), g); !errors.Is(err, session.ErrStepRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	z.Fail(func(string, int) *zitadelfake.Fault {
		return &zitadelfake.Fault{Status: 403, Code: "permission_denied"}
	})
	if err := s.Start(t.Context(), good); !errors.Is(err, session.ErrStepRefused) {
		t.Errorf("a service user who may not: %v", err)
	}
	wantRoles(t, z, ben, "neosc")
}

// What ends must never be more than a grant's own role.
func TestRolesOfOthersAreNeverTakenAway(t *testing.T) {
	z, s := stand(t)
	z.Put(zitadelfake.Grant{User: ana, Organization: org, Project: project, Roles: []string{"admin", "demo-user", "demo-user-7", "demo-user-8"}})
	z.PutRole(project, "demo-user-8", "demo-1772705730-0001", "another gate's")
	before := fmt.Sprint(z.Grants(), z.Roles(project))
	for _, role := range []string{"admin", "demo-user", "demo-user-", "demo-user-7x", "", "demo-user-7\n"} {
		if err := s.End(t.Context(), session.DemoGrant{ID: "demo-1772705730-0001", Role: role, Issuer: z.URL, Subject: ana}); !errors.Is(err, session.ErrStepRefused) {
			t.Errorf("%q: %v", role, err)
		}
	}
	for _, role := range []string{"demo-user-7", "demo-user-8"} { // an administrator's, another gate's
		if err := s.End(t.Context(), session.DemoGrant{ID: "demo-1772705730-0001", Role: role, Issuer: z.URL, Subject: ana}); err != nil {
			t.Errorf("%q: %v", role, err)
		}
	}
	if owned, err := s.Owned(t.Context()); err != nil || len(owned) != 0 {
		t.Errorf("owned: %+v, %v", owned, err)
	}
	if after := fmt.Sprint(z.Grants(), z.Roles(project)); after != before {
		t.Errorf("after %s, before %s", after, before)
	}
}

func TestAnOrphanIsRemovedByItsRoleAlone(t *testing.T) {
	z, s := stand(t)
	z.Put(zitadelfake.Grant{User: ben, Organization: org, Project: project, Roles: []string{"neosc"}})
	for i := range 250 { // more than a page
		z.PutRole(project, fmt.Sprintf("demo-user-%d", 20000+i), fmt.Sprintf("demo-1772705730-%04d", 20000+i), "neosc-gate-demo")
	}
	for i, who := range []string{ana, ben} {
		if err := s.Start(t.Context(), grant(z, i, who)); err != nil {
			t.Fatal(err)
		}
	}
	owned, err := s.Owned(t.Context())
	if err != nil || len(owned) != 252 {
		t.Fatalf("%d owned, %v", len(owned), err)
	}
	for _, g := range owned[:5] {
		if err := s.End(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	if owned, err = s.Owned(t.Context()); err != nil || len(owned) != 247 {
		t.Fatalf("%d owned, %v", len(owned), err)
	}
	wantRoles(t, z, ana)
	wantRoles(t, z, ben, "neosc")
}

func TestPeopleOfOtherProvidersAreNoneOfZitadels(t *testing.T) {
	z, s := stand(t)
	for _, issuer := range []string{"", "https://other.example"} {
		g := grant(z, 1, ana)
		g.Issuer = issuer
		if err := errors.Join(s.Start(t.Context(), g), s.End(t.Context(), g)); err != nil {
			t.Error(err)
		}
	}
	if calls := z.Calls(); len(calls) != 0 {
		t.Errorf("asked: %v", calls)
	}
}
