package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/neosc/gate/session"
)

func ptr[T any](v T) *T { return &v }

func administering(t *testing.T, h *house) {
	admin := session.Person{ID: "usr_admin", Email: "admin@example.com"}
	ctx := session.WithOrigin(t.Context(), session.Origin{Actor: admin, RequestID: "r1"})
	id := h.join(t, "ana@example.com")
	h.forward(recently)
	id.Roles = append(id.Roles, "demo-user") // as a demo gives it
	_, value := h.browse(t, id)
	h.journal.actions()
	acme := h.organization(t, "Acme")
	got, err := h.s.ChangeUser(ctx, id.UserID, session.UserChange{Roles: &[]string{"neosc"}, Name: ptr(" Ana Lopez "), Organization: &acme.ID, MFA: ptr(false)})
	if err != nil || got.SessionsChanged != 1 || got.User.Organization != "Acme" || got.User.OrganizationID != acme.ID || got.User.Name != "Ana Lopez" || got.User.MFA {
		t.Errorf("%+v, error %v", got, err)
	}
	live := h.sees(t, value)
	if live == nil || fmt.Sprintf("%v %s %s %s", live.Roles, live.Name, live.Organization, live.Claims["name"]) != "[demo-user neosc] Ana Lopez Acme Ana Lopez" || live.Claims["mfa_enabled"] != false {
		t.Errorf("the live session is %+v", live)
	}
	for _, e := range h.journal.events {
		if e.Action != session.ActionOrganizationCreated && (e.Actor != admin || e.User.ID != id.UserID || e.RequestID != "r1") {
			t.Errorf("event %+v", e)
		}
	}
	if got := h.journal.actions(); got != "organization_created role_assigned role_revoked user_moved user_changed user_changed" {
		t.Errorf("events: %s", got)
	}
	if _, err := h.s.ChangeUser(ctx, id.UserID, session.UserChange{Name: ptr("Ana Lopez")}); err != nil || h.journal.actions() != "" {
		t.Errorf("a change of nothing told something, or error %v", err)
	}
	if got, err = h.s.ChangeUser(ctx, id.UserID, session.UserChange{Disabled: ptr(true)}); err != nil || got.SessionsEnded != 1 || h.sees(t, value) != nil {
		t.Errorf("%+v, error %v; the session is %v", got, err, h.sees(t, value))
	}
	_, err = h.SignIn(ctx, "ana@example.com", password, "203.0.113.9")
	wantErr(t, err, session.ErrCredentials)
	if _, err = h.s.ChangeUser(ctx, id.UserID, session.UserChange{Disabled: ptr(false)}); err != nil {
		t.Error(err)
	}
	if id, err = h.SignIn(ctx, "ana@example.com", password, "203.0.113.9"); err != nil || id.Organization != "Acme" {
		t.Errorf("%+v, error %v", id, err)
	}
	_, value = h.browse(t, id)
	if got, err = h.s.DeleteUser(ctx, id.UserID); err != nil || got.SessionsEnded != 1 || h.sees(t, value) != nil {
		t.Errorf("%+v, error %v", got, err)
	}
	if got := h.journal.actions(); got != "user_disabled user_enabled user_removed" {
		t.Errorf("events: %s", got)
	}
	_, err = h.s.ChangeUser(ctx, id.UserID, session.UserChange{})
	wantErr(t, err, session.ErrNoUser)
	_, err = h.s.DeleteUser(ctx, id.UserID)
	wantErr(t, err, session.ErrNoUser)
	bob := h.join(t, "bob@example.com")
	for name, c := range map[string]session.UserChange{"Role": {Roles: &[]string{"a,b"}}, "Name": {Name: ptr("a\nb")}} {
		if _, err := h.s.ChangeUser(ctx, bob.UserID, c); !errors.Is(err, session.ErrBadUser) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	_, err = h.s.ChangeUser(ctx, bob.UserID, session.UserChange{Organization: ptr("org_none")})
	wantErr(t, err, session.ErrNoOrganization)
}

// lastAdmins has administrators take away each other's role at once.
func lastAdmins(t *testing.T, h *house) {
	ctx := t.Context()
	var ids []string
	for i := range 4 {
		u, err := h.AddUser(ctx, session.NewUser{Email: fmt.Sprintf("admin%d@example.com", i), Password: password, Roles: []string{"admin"}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, u.ID)
	}
	if _, err := h.s.ChangeUser(ctx, ids[3], session.UserChange{Disabled: ptr(true)}); err != nil {
		t.Fatal(err)
	}
	takes := []func(string) error{
		func(id string) error {
			_, err := h.s.ChangeUser(ctx, id, session.UserChange{Roles: &[]string{"user"}})
			return err
		},
		func(id string) error {
			_, err := h.s.ChangeUser(ctx, id, session.UserChange{Disabled: ptr(true)})
			return err
		},
		func(id string) error { _, err := h.s.DeleteUser(ctx, id); return err },
	}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, take := range takes {
		wg.Go(func() { errs[i] = take(ids[i]) })
	}
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if errors.Is(err, session.ErrLastAdmin) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != 1 {
		t.Errorf("%d of 3 were refused, want the last one: %v", refused, errs)
	}
}

func listing(t *testing.T, h *house) {
	ctx := t.Context()
	acme := h.organization(t, "Acme")
	for i := range 7 {
		u, err := h.AddUser(ctx, session.NewUser{Email: fmt.Sprintf("u%d@example.com", i), Name: fmt.Sprintf("Person %d_%%", i), Password: password})
		if err != nil {
			t.Fatal(err)
		}
		if i >= 5 {
			if _, err := h.s.ChangeUser(ctx, u.ID, session.UserChange{Organization: &acme.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := func(q session.UserQuery) (emails []string, pages int) {
		for {
			p, err := h.s.PageUsers(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, u := range p.Users {
				emails = append(emails, strings.TrimSuffix(u.Email, "@example.com"))
			}
			if q.After = p.Next; p.Next == "" {
				return emails, pages
			}
		}
	}
	for _, c := range []struct {
		q     session.UserQuery
		want  string
		pages int
	}{
		{session.UserQuery{Limit: 3}, "[u0 u1 u2 u3 u4 u5 u6]", 3}, {session.UserQuery{Limit: 7}, "[u0 u1 u2 u3 u4 u5 u6]", 1},
		{session.UserQuery{Organization: acme.ID}, "[u5 u6]", 1}, {session.UserQuery{Search: "PERSON 3"}, "[u3]", 1},
		{session.UserQuery{Search: "4@EX"}, "[u4]", 1}, {session.UserQuery{Search: "3_%"}, "[u3]", 1}, {session.UserQuery{Search: "%%"}, "[]", 1},
	} {
		if got, pages := all(c.q); fmt.Sprint(got) != c.want || pages != c.pages {
			t.Errorf("%+v: %v on %d pages, want %s on %d", c.q, got, pages, c.want, c.pages)
		}
	}
	for _, q := range []session.UserQuery{{Limit: 1001}, {Limit: -1}, {After: "!"}, {Search: "a\x00"}} {
		_, err := h.s.PageUsers(ctx, q)
		wantErr(t, err, session.ErrBadUser)
	}
}

func tenants(t *testing.T, h *house) {
	ctx := t.Context()
	id := h.join(t, "ana@example.com")
	_, value := h.browse(t, id)
	h.journal.actions()
	acme, err := h.s.CreateOrganization(ctx, "  Acme   Corporation ", "Acme.Example")
	if err != nil || acme.Name != "Acme Corporation" || acme.Domain != "acme.example" || acme.UsersCount != 0 || string(acme.Settings) != "{}" {
		t.Errorf("%+v, error %v", acme, err)
	}
	for _, same := range []string{"ACME corporation", "Ａcme Corporation", " default organization"} {
		_, err := h.s.CreateOrganization(ctx, same, "")
		wantErr(t, err, session.ErrOrganizationExists)
	}
	for _, bad := range [][2]string{{"", ""}, {"a\nb", ""}, {strings.Repeat("x", 257), ""}, {"fine", "not a host"}} {
		_, err := h.s.CreateOrganization(ctx, bad[0], bad[1])
		wantErr(t, err, session.ErrBadUser)
	}
	if _, err := h.s.ChangeUser(ctx, id.UserID, session.UserChange{Organization: &acme.ID}); err != nil {
		t.Fatal(err)
	}
	o, err := h.s.ChangeOrganization(ctx, acme.ID, session.OrganizationChange{Name: ptr("Acme GmbH"), Settings: ptr(json.RawMessage(`{ "theme": "dark" }`))})
	if err != nil || o.Name != "Acme GmbH" || string(o.Settings) != `{"theme":"dark"}` || o.UsersCount != 1 || o.Domain != "acme.example" {
		t.Errorf("%+v, error %v", o, err)
	}
	if live := h.sees(t, value); live == nil || live.Organization != "Acme GmbH" {
		t.Errorf("the live session is %+v", live)
	}
	if u, err := h.s.UserByID(ctx, id.UserID); err != nil || u.Organization != "Acme GmbH" {
		t.Errorf("%+v, error %v", u, err)
	}
	if got := h.journal.actions(); got != "organization_created user_moved organization_changed" {
		t.Errorf("events: %s", got)
	}
	for _, bad := range []string{`[]`, `null`, `{`, `{"a":"` + strings.Repeat("x", session.MaxSettings) + `"}`} {
		_, err := h.s.ChangeOrganization(ctx, acme.ID, session.OrganizationChange{Settings: ptr(json.RawMessage(bad))})
		wantErr(t, err, session.ErrBadUser)
	}
	_, err = h.s.ChangeOrganization(ctx, acme.ID, session.OrganizationChange{Name: ptr("default Organization")})
	wantErr(t, err, session.ErrOrganizationExists)
	_, err = h.s.ChangeOrganization(ctx, "org_none", session.OrganizationChange{})
	wantErr(t, err, session.ErrNoOrganization)
	first, err := h.s.PageOrganizations(ctx, session.OrganizationQuery{Limit: 1})
	if err != nil || len(first.Organizations) != 1 || first.Organizations[0].ID != acme.ID || first.Next == "" {
		t.Fatalf("%+v, error %v", first, err)
	}
	second, err := h.s.PageOrganizations(ctx, session.OrganizationQuery{Limit: 1, After: first.Next})
	if err != nil || len(second.Organizations) != 1 || second.Organizations[0].ID != session.DefaultOrganizationID || second.Next != "" || second.Organizations[0].UsersCount != 0 {
		t.Errorf("%+v, error %v", second, err)
	}
	for member, want := range map[string]int{id.UserID: 1, "usr_nobody": 0} {
		if p, err := h.s.PageOrganizations(ctx, session.OrganizationQuery{Member: member}); err != nil || len(p.Organizations) != want {
			t.Errorf("%s sees %+v, error %v", member, p, err)
		}
	}
}

func inviting(t *testing.T, h *house) {
	ctx := t.Context()
	acme := h.organization(t, "Acme")
	h.journal.actions()
	inv, err := h.s.Invite(ctx, session.NewInvitation{Organization: acme.ID, Email: "New@Example.com", Roles: []string{"neosc"}})
	if err != nil || inv.Email != "new@example.com" || inv.Link != "" || !inv.ExpiresAt.Equal(h.now().Add(inviteLife)) {
		t.Fatalf("%+v, error %v", inv, err)
	}
	token := h.out.token(t, "new@example.com", session.InvitationPath)
	_, err = h.s.Register(ctx, session.Registration{Email: "other@example.com", Password: password, Invitation: token}, "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	id, err := h.s.Register(ctx, session.Registration{Email: "new@example.com", Password: password, Invitation: token}, "203.0.113.9")
	if err != nil || !id.EmailVerified || fmt.Sprintf("%v %s", id.Roles, id.Organization) != "[neosc] Acme" {
		t.Errorf("%+v, error %v", id, err)
	}
	_, err = h.s.Register(ctx, session.Registration{Email: "new@example.com", Password: password, Invitation: token}, "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	if got := h.journal.actions(); got != "user_invited register invitation_accepted role_assigned" {
		t.Errorf("events: %s", got)
	}

	// Who has an account joins with it, and only who is invited.
	ana, eve := h.join(t, "ana@example.com"), h.join(t, "eve@example.com")
	_, value := h.browse(t, ana)
	if _, err := h.s.Invite(ctx, session.NewInvitation{Organization: acme.ID, Email: "ana@example.com", Roles: []string{"admin"}}); err != nil {
		t.Fatal(err)
	}
	token = h.out.token(t, "ana@example.com", session.InvitationPath)
	_, err = h.s.AcceptInvitation(ctx, eve.UserID, token)
	wantErr(t, err, session.ErrLink)
	_, err = h.s.Register(ctx, session.Registration{Email: "ana@example.com", Password: password, Invitation: token}, "203.0.113.9")
	wantErr(t, err, session.ErrUserExists)
	if got, err := h.s.AcceptInvitation(ctx, ana.UserID, token); err != nil || got.User.Organization != "Acme" || !slices.Equal(got.User.Roles, []string{"user"}) {
		t.Errorf("%+v, error %v", got, err)
	}
	if live := h.sees(t, value); live == nil || live.Organization != "Acme" {
		t.Errorf("the live session is %+v", live)
	}
	_, err = h.s.AcceptInvitation(ctx, ana.UserID, token)
	wantErr(t, err, session.ErrLink)

	invitedAgain(t, h, acme)
}

// invitedAgain has invitations be replaced and taken back.
func invitedAgain(t *testing.T, h *house, acme session.Organization) {
	ctx := t.Context()
	if _, err := h.s.Invite(ctx, session.NewInvitation{Organization: acme.ID, Email: "x@example.com"}); err != nil {
		t.Fatal(err)
	}
	old := h.out.token(t, "x@example.com", session.InvitationPath)
	inv, err := h.s.Invite(ctx, session.NewInvitation{Organization: acme.ID, Email: "x@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	token := h.out.token(t, "x@example.com", session.InvitationPath)
	if all, err := h.s.Invitations(ctx, acme.ID); err != nil || len(all) != 1 || all[0].ID != inv.ID || !slices.Equal(all[0].Roles, []string{"user"}) {
		t.Errorf("%+v, error %v", all, err)
	}
	_, err = h.s.Register(ctx, session.Registration{Email: "x@example.com", Password: password, Invitation: old}, "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	if err := h.s.RevokeInvitation(ctx, inv.ID); err != nil {
		t.Error(err)
	}
	wantErr(t, h.s.RevokeInvitation(ctx, inv.ID), session.ErrLink)
	_, err = h.s.Register(ctx, session.Registration{Email: "x@example.com", Password: password, Invitation: token}, "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	_, err = h.s.Invite(ctx, session.NewInvitation{Organization: "org_none", Email: "x@example.com"})
	wantErr(t, err, session.ErrNoOrganization)
}

// unaudited shows that what the trail cannot keep is not done.
func unaudited(t *testing.T, h *house) {
	ctx := t.Context()
	id := h.join(t, "ana@example.com")
	if err := h.s.RequestReset(ctx, "ana@example.com", "203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	reset := h.out.token(t, "ana@example.com", session.ResetPath)
	h.journal.fail(errors.New("disk full"))
	for name, call := range map[string]func() error{
		"Register": func() error {
			_, err := h.s.Register(ctx, session.Registration{Email: "b@example.com", Password: password}, "203.0.113.9")
			return err
		},
		"Roles": func() error {
			_, err := h.s.ChangeUser(ctx, id.UserID, session.UserChange{Roles: &[]string{"admin"}})
			return err
		},
		"Delete":       func() error { _, err := h.s.DeleteUser(ctx, id.UserID); return err },
		"Organization": func() error { _, err := h.s.CreateOrganization(ctx, "Acme", ""); return err },
		"Reset":        func() error { _, err := h.s.ResetPassword(ctx, reset, "a brand new password", ""); return err },
		"Change": func() error {
			return h.s.ChangePassword(ctx, id.UserID, password, "a brand new password", "", session.Key{})
		},
		"Invite": func() error {
			_, err := h.s.Invite(ctx, session.NewInvitation{Organization: session.DefaultOrganizationID, Email: "c@example.com"})
			return err
		},
	} {
		if err := call(); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	h.journal.fail(nil)
	if u, err := h.s.UserByID(ctx, id.UserID); err != nil || !slices.Equal(u.Roles, []string{"user"}) {
		t.Errorf("%+v, error %v", u, err)
	}
	if _, err := h.SignIn(ctx, "ana@example.com", password, "203.0.113.9"); err != nil {
		t.Error(err)
	}
	if p, err := h.s.PageOrganizations(ctx, session.OrganizationQuery{}); err != nil || len(p.Organizations) != 1 {
		t.Errorf("%+v, error %v", p, err)
	}
	if _, err := h.s.ResetPassword(ctx, reset, "a brand new password", ""); err != nil {
		t.Errorf("the link is spent by a reset that was not: %v", err)
	}
}
