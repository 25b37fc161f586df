package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

var _ session.AccountChecker = (*Store)(nil)

func TestIdentitiesHoldUntilTheirAccountChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*house, string) error
		holds  bool
	}{
		"Nothing": {func(*house, string) error { return nil }, true},
		"Roles": {func(h *house, id string) error {
			_, err := h.s.ChangeUser(context.Background(), id, session.UserChange{Roles: &[]string{"neosc"}})
			return err
		}, false},
		"Disabled": {func(h *house, id string) error {
			_, err := h.s.ChangeUser(context.Background(), id, session.UserChange{Disabled: ptr(true)})
			return err
		}, false},
		"Removed": {func(h *house, id string) error { _, err := h.s.DeleteUser(context.Background(), id); return err }, false},
		"Password": {func(h *house, id string) error {
			return h.s.ChangePassword(context.Background(), id, password, "a brand new password", "", session.Key{})
		}, false},
		"RolesInTheSameMillisecond": {func(h *house, id string) error {
			h.forward(-time.Millisecond)
			_, err := h.s.ChangeUser(context.Background(), id, session.UserChange{Roles: &[]string{}})
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil, nil)
			id := h.join(t, "ana@example.com")
			h.forward(time.Millisecond)
			if err := c.change(h, id.UserID); err != nil {
				t.Fatal(err)
			}
			if err := h.StillHolds(t.Context(), id); (err == nil) != c.holds {
				t.Errorf("error %v", err)
			} else if !c.holds {
				wantErr(t, err, session.ErrConflict)
			}
		})
	}
}

func TestOnlyWhoMayHaveChangedIsLookedAt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, nil)
	id := h.join(t, "ana@example.com")
	withDemo := id
	withDemo.Roles = append(slices.Clone(id.Roles), "demo-user") // which no account has
	h.forward(recently)
	for _, i := range []session.Identity{withDemo, {Provider: "zitadel_onprem", UserID: "idp-1", EmailVerified: true}, {Provider: Provider, UserID: "usr_pending"}} {
		if err := h.StillHolds(t.Context(), i); err != nil {
			t.Errorf("%+v: %v", i, err)
		}
	}
	wantErr(t, h.StillHolds(t.Context(), session.Identity{Provider: Provider, UserID: "usr_gone", EmailVerified: true}), session.ErrConflict)
}

// demoting takes a role away while its holder signs in again and again: once
// that is answered, no session has it.
func demoting(t *testing.T, h *house) {
	for round := range 3 {
		email := fmt.Sprint("admin", round, "@example.com")
		u, err := h.AddUser(t.Context(), session.NewUser{Email: email, Password: password, Roles: []string{"neosc"}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 5 {
					id, err := h.SignIn(t.Context(), email, password, "203.0.113.9")
					if err == nil {
						_, _, err = h.sessions.Create(t.Context(), id, session.Browser, 0)
					}
					if err != nil && !errors.Is(err, session.ErrConflict) {
						t.Error(err)
					}
				}
			})
		}
		if _, err := h.s.ChangeUser(t.Context(), u.ID, session.UserChange{Roles: &[]string{"user"}}); err != nil {
			t.Error(err)
		}
		wg.Wait()
		all, err := h.sessions.List(t.Context(), session.Query{UserID: u.ID, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if slices.Contains(s.Identity.Roles, "neosc") {
				t.Errorf("round %d: a session of the %d still has the role", round, len(all))
			}
		}
	}
}
