package account

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

// ender is a fake of what ends demo grants.
type ender struct {
	ended []string
	done  int
	err   error
}

func (e *ender) EndGrants(_ context.Context, tx *sql.Tx, userID, keep, reason string) (func(context.Context) error, error) {
	if tx == nil || e.err != nil {
		return nil, e.err
	}
	e.ended = append(e.ended, userID+" "+keep+" "+reason)
	return func(context.Context) error { e.done++; return nil }, nil
}

// TestDemoGrantsEndWithTheirAccount: in each way in which somebody leaves, and in no
// other, and where they cannot be ended nobody leaves.
func TestDemoGrantsEndWithTheirAccount(t *testing.T) {
	t.Parallel()
	e := &ender{}
	h := newHouse(t, nil, func(o *ServiceOptions) { o.Grants, o.Mailer, o.Open = e, nil, false })
	ctx := t.Context()
	operator := session.WithOrigin(ctx, session.Origin{Actor: session.Operator()})
	add := func(email string) string {
		t.Helper()
		u, err := h.AddUser(ctx, session.NewUser{Email: email, Password: "a long enough one"})
		if err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	ana, bob := add("ana@example.com"), add("bob@example.com")
	acme, err := h.s.CreateOrganization(ctx, "Acme", "")
	if err != nil {
		t.Fatal(err)
	}
	change := func(c session.UserChange) func() error {
		return func() error { _, err := h.s.ChangeUser(ctx, ana, c); return err }
	}
	here := session.DefaultOrganizationID
	for _, c := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"a name, a role, a factor", change(session.UserChange{Name: ptr("Ana"), Roles: ptr([]string{"user"}), MFA: ptr(false), Disabled: ptr(false), Organization: &here}), nil},
		{"moved", change(session.UserChange{Organization: &acme.ID}), []string{ana + " " + acme.ID + " the account moved to another organization"}},
		{"disabled", change(session.UserChange{Disabled: ptr(true), Organization: &here}), []string{ana + "  the account was disabled"}},
		{"disabled again", change(session.UserChange{Disabled: ptr(true)}), nil},
		{"enabled", change(session.UserChange{Disabled: ptr(false)}), nil},
		{"invited and there", func() error {
			i, err := h.s.Invite(ctx, session.NewInvitation{Organization: acme.ID, Email: "ana@example.com"})
			if err != nil {
				return err
			}
			token, _ := strings.CutPrefix(i.Link, "https://gate.kappa4.com"+session.InvitationPath+"?token=")
			_, err = h.s.AcceptInvitation(ctx, ana, token)
			return err
		}, []string{ana + " " + acme.ID + " the account moved to another organization"}},
		{"deleted", func() error { _, err := h.s.DeleteUser(ctx, ana); return err }, []string{ana + "  the account was removed"}},
		{"removed by an operator", func() error { _, err := h.s.DeleteUser(operator, bob); return err }, []string{bob + "  the account was removed"}},
	} {
		e.ended, e.done = nil, 0
		if err := c.do(); err != nil || !slices.Equal(e.ended, c.want) || e.done != len(c.want) {
			t.Errorf("%s: %q, followed %d times, error %v; want %q", c.name, e.ended, e.done, err, c.want)
		}
	}
	eve := add("eve@example.com")
	e.err = errors.New("the database is away")
	_, disabled := h.s.ChangeUser(ctx, eve, session.UserChange{Disabled: ptr(true)})
	_, deleted := h.s.DeleteUser(ctx, eve)
	_, removed := h.s.DeleteUser(operator, eve)
	u, err := h.s.UserByID(ctx, eve)
	if disabled == nil || deleted == nil || removed == nil || err != nil || u.Disabled {
		t.Errorf("%+v, error %v; the errors are %v, %v, %v", u, err, disabled, deleted, removed)
	}
}
