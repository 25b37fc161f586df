package admin

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/neosc/gate/session"
)

// trail keeps events in memory.
type trail struct {
	mu      sync.Mutex
	entries []session.AuditEntry
	asked   session.AuditQuery
	down    error
}

func (t *trail) Append(_ context.Context, events ...session.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down != nil {
		return t.down
	}
	for _, e := range events {
		t.entries = append(t.entries, session.AuditEntry{Number: uint64(len(t.entries) + 1), Event: e})
	}
	return nil
}

func (t *trail) Entries(_ context.Context, q session.AuditQuery) ([]session.AuditEntry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = q
	return slices.Clone(t.entries), t.down
}

func TestRoleChangesAreInTheTrailOrDoNotHappen(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	x, ctx := newRig(t, func(o *Options) { o.Audit, o.AuditLog = kept, kept }), t.Context()
	if _, err := x.AddUser(ctx, NewUser{Email: "nora@kappa4.com", Roles: []string{"user"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.SetRoles(ctx, "nora@kappa4.com", []string{"admin", "neosc"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	listed, err := x.Audit(ctx, AuditQuery{User: "nora@kappa4.com", Since: noon, Before: 9, Limit: 7, Action: session.ActionRoleAssigned})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range listed {
		got = append(got, fmt.Sprint(e.Number, " ", e.Action, " ", e.Details["roles"], " ", e.User.Email, " by ", e.Actor.ID))
	}
	want := []string{
		"1 register  nora@kappa4.com by operator", "2 role_assigned user nora@kappa4.com by operator",
		"3 role_assigned admin,neosc nora@kappa4.com by operator", "4 role_revoked user nora@kappa4.com by operator",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the trail says %q, want %q", got, want)
	}
	if q := (AuditQuery{User: "nora@kappa4.com", Since: noon, Before: 9, Limit: 7, Action: session.ActionRoleAssigned}); kept.asked != q {
		t.Errorf("asked for %+v, want %+v", kept.asked, q)
	}
	kept.down = fmt.Errorf("disk full: %w", session.ErrUnavailable)
	_, err = x.SetRoles(ctx, "nora@kappa4.com", []string{"user"})
	status(t, err, 503)
	_, err = x.AddUser(ctx, NewUser{Email: "new@kappa4.com", Roles: []string{"admin"}})
	status(t, err, 503)
	if len(x.users.by) != 1 || !slices.Equal(x.users.by["nora@kappa4.com"].Roles, []string{"admin", "neosc"}) {
		t.Errorf("accounts are %+v, want nothing changed", x.users.by)
	}
}

func TestOddQuestionsToTheTrailAreRefused(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	x := newRig(t, func(o *Options) { o.AuditLog = kept })
	for _, q := range []string{"limit=0", "limit=1001", "before=-1", "since=yesterday", "mail=x", "user=a&user=b"} {
		var out auditList
		err := x.do(t.Context(), "GET", "/v1/audit?"+q, nil, nil, &out)
		status(t, err, 400)
	}
}
