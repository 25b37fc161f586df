package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func byOperators(ctx context.Context) context.Context {
	return session.WithOrigin(ctx, session.Origin{Actor: session.Operator()})
}

// forgotten notes whose second factors were removed.
type forgotten struct {
	of   []string
	fail error
}

func (f *forgotten) RemoveFactors(_ context.Context, id string) error {
	f.of = append(f.of, id)
	return f.fail
}

func TestOperatorsMayTakeWhatAdministratorsMayNot(t *testing.T) {
	t.Parallel()
	f := &forgotten{}
	h := newHouse(t, nil, func(o *ServiceOptions) { o.Factors = f })
	ctx := byOperators(t.Context())
	ada, err := h.s.AddUser(ctx, session.NewUser{Email: "Ada@example.com", Password: password, Roles: []string{RoleAdmin}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.s.AddUser(ctx, session.NewUser{Email: "ada@EXAMPLE.com", Password: password})
	wantErr(t, err, session.ErrUserExists)
	h.forward(time.Hour)
	id, err := h.SignIn(ctx, "ada@example.com", password, "203.0.113.9")
	if err != nil {
		t.Fatal(err)
	}
	id.Roles = append(id.Roles, "demo-user") // of a demo session, say
	_, value := h.browse(t, id)
	roles, yes := []string{"neosc"}, true
	for name, change := range map[string]session.UserChange{"role": {Roles: &roles}, "disabled": {Disabled: &yes}} {
		_, err := h.s.ChangeUser(t.Context(), ada.ID, change)
		if !errors.Is(err, session.ErrLastAdmin) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	changed, err := h.s.ChangeUser(ctx, ada.ID, session.UserChange{Roles: &roles})
	if err != nil || changed.SessionsChanged != 1 {
		t.Errorf("%+v, error %v", changed, err)
	}
	if live := h.sees(t, value); live == nil || !slices.Equal(slices.Sorted(slices.Values(live.Roles)), []string{"demo-user", "neosc"}) {
		t.Errorf("the live session is %+v", live)
	}
	if u, err := h.s.SetPassword(ctx, "ADA@example.com", "a brand new password"); err != nil || u.ID != ada.ID {
		t.Errorf("%+v, error %v", u, err)
	}
	if _, err := h.SignIn(ctx, "ada@example.com", "a brand new password", "203.0.113.9"); err != nil {
		t.Error(err)
	}
	f.fail = errors.New("the disk is full") // it is removed all the same
	gone, err := h.s.DeleteUser(ctx, ada.ID)
	if err != nil || gone.SessionsEnded != 1 || !slices.Equal(f.of, []string{ada.ID}) || h.sees(t, value) != nil {
		t.Errorf("%+v, error %v; second factors of %q are removed", gone, err, f.of)
	}
	if got := h.journal.actions(); got != "register role_assigned role_assigned role_revoked password_changed user_removed" {
		t.Errorf("events: %s", got)
	}
}

func TestWhatTheTrailCannotKeepOperatorsCannotDo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, nil)
	ctx := byOperators(t.Context())
	u, err := h.s.AddUser(ctx, session.NewUser{Email: "ana@example.com", Password: password, Roles: []string{"user"}})
	if err != nil {
		t.Fatal(err)
	}
	h.journal.fail(fmt.Errorf("disk full: %w", session.ErrUnavailable))
	roles := []string{RoleAdmin}
	for name, do := range map[string]func() error{
		"add": func() error {
			_, err := h.s.AddUser(ctx, session.NewUser{Email: "bob@example.com", Password: password})
			return err
		},
		"import": func() error {
			_, err := h.s.AddUser(ctx, session.NewUser{Email: "cid@example.com", PasswordSHA256: fmt.Sprintf("%064x", 7)})
			return err
		},
		"password": func() error { _, err := h.s.SetPassword(ctx, "ana@example.com", "a brand new password"); return err },
		"role": func() error {
			_, err := h.s.ChangeUser(ctx, u.ID, session.UserChange{Roles: &roles})
			return err
		},
		"remove": func() error { _, err := h.s.DeleteUser(ctx, u.ID); return err },
	} {
		if err := do(); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	all, err := h.s.PageUsers(ctx, session.UserQuery{})
	if err != nil || len(all.Users) != 1 || !slices.Equal(all.Users[0].Roles, []string{"user"}) {
		t.Errorf("accounts are %+v, error %v; want nothing changed", all, err)
	}
	if _, err := h.SignIn(ctx, "ana@example.com", password, "203.0.113.9"); err != nil {
		t.Error(err)
	}
}

func TestAnAccountIsFoundByEmailInAnyCase(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, nil)
	h.add(t, "ana@example.com")
	if u, err := h.s.UserByEmail(t.Context(), " ana@EXAMPLE.com"); err != nil || u.Email != "ana@example.com" || u.ID == "" {
		t.Errorf("%+v, %v", u, err)
	}
	for email, want := range map[string]error{"an@example.com": session.ErrNoUser, "na@example.com": session.ErrNoUser, "ana": session.ErrBadUser, "": session.ErrBadUser} {
		_, err := h.s.UserByEmail(t.Context(), email)
		wantErr(t, err, want)
	}
}
