package admin

import (
	"context"
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

func TestTheTrailIsShownAsItWasAskedFor(t *testing.T) {
	t.Parallel()
	kept := &trail{}
	x := newRig(t, func(o *Options) { o.AuditLog = kept })
	if err := kept.Append(t.Context(), session.Event{Action: session.ActionRegister, User: session.Person{Email: "nora@kappa4.com"}}); err != nil {
		t.Fatal(err)
	}
	q := AuditQuery{User: "nora@kappa4.com", Since: noon, Before: 9, Limit: 7, Action: session.ActionRegister}
	listed, err := x.Audit(t.Context(), q)
	if err != nil || len(listed) != 1 || listed[0].User.Email != "nora@kappa4.com" || kept.asked != q {
		t.Errorf("%+v, error %v; asked for %+v", listed, err, kept.asked)
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
