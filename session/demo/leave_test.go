package demo

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// register is a fake of the accounts of the gate's own.
type register struct {
	mu sync.Mutex
	of map[string]session.User
	// asked, if set, is called once somebody was looked up.
	asked func()
}

func (r *register) UserByID(_ context.Context, id string) (session.User, error) {
	r.mu.Lock()
	u, ok := r.of[id]
	asked := r.asked
	r.asked = nil
	r.mu.Unlock()
	if asked != nil {
		asked()
	}
	if !ok {
		return u, session.ErrNoUser
	}
	return u, nil
}

func (r *register) set(u session.User) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of = maps.Clone(r.of)
	if r.of == nil {
		r.of = map[string]session.User{}
	}
	r.of[u.ID] = u
}

func with(r *register) func(*house, *Options) { return func(_ *house, o *Options) { o.Accounts = r } }

// leave changes an account as its service does: with the ends of its grants in
// the same transaction.
func (h *house) leave(user, keep string, then error) error {
	ctx := session.WithOrigin(h.t.Context(), session.Origin{Actor: session.Person{ID: "ada"}})
	tx, err := h.store.db.BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		return err
	}
	done, err := h.EndGrants(ctx, tx, user, keep, "the account has changed")
	if err = errors.Join(err, then); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return errors.Join(tx.Commit(), done(ctx))
}

// whoLeaves: the grants of an account that is disabled, goes or moves end at once,
// and all that was made for them goes.
func whoLeaves(t *testing.T, on database) {
	container, accounts := newThing("container", nil), &register{}
	accounts.set(session.User{ID: "nora", Organization: "Acme", OrganizationID: "org_acme"})
	h := newHouse(t, on, withThings(0, container), with(accounts))
	h.runs(h.Service)
	s := h.signIn("nora")
	g := h.is(h.ask(s, session.DemoRequest{}).ID, session.GrantActive)
	h.until(g.ID, "told", func(session.DemoGrant) bool { return len(h.now(s).Roles) == 3 })
	waits := h.ask(s, session.DemoRequest{WorkspaceType: "lab"})
	wantErr(t, h.leave("nora", "", session.ErrLastAdmin), session.ErrLastAdmin)
	if err := errors.Join(h.leave("nora", "org_acme", nil), h.leave("two", "", nil)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{g.ID, waits.ID} {
		if got, err := h.Grant(t.Context(), id); err != nil || got.Status.Ended() {
			t.Errorf("%+v has ended without a cause, error %v", got, err)
		}
	}
	if err := h.leave("nora", "org_other", nil); err != nil {
		t.Fatal(err)
	}
	if id := h.now(s); len(id.Roles) != 1 || id.Claims[session.ClaimDemoSession] != nil {
		t.Errorf("%+v", id)
	}
	for _, id := range []string{g.ID, waits.ID} {
		if got := h.cleaned(id); got.Status != session.GrantRevoked || got.Reason != "the account has changed" || container.owns(id) {
			t.Errorf("%+v", got)
		}
		if got := h.trail.of(id); !slices.Contains(got, "demo_revoked ada") {
			t.Errorf("the trail: %q", got)
		}
	}
}

// leavingAtOnce: an account that changes while its person asks has no grant
// afterwards, and who has none to begin with gets none.
func leavingAtOnce(t *testing.T, on database) {
	accounts := &register{}
	h := newHouse(t, on, with(accounts))
	s := h.signIn("nora")
	ask := func() (session.DemoGrant, error) {
		return h.Request(context.Background(), s, session.DemoRequest{WorkspaceType: "desktop"})
	}
	is := func(u session.User) { u.ID = "nora"; accounts.set(u) }
	_, err := ask()
	wantErr(t, err, session.ErrBadDemo) // a verified local session without an account
	is(session.User{Disabled: true})
	_, err = ask()
	wantErr(t, err, session.ErrBadDemo)
	// What the session knows of organizations may be a moment old.
	is(session.User{Organization: "Other", OrganizationID: "org_other"})
	g, err := ask()
	if err != nil || g.OrganizationID != "org_other" || g.Organization != "Other" {
		t.Fatalf("%+v, error %v", g, err)
	}
	if _, err := h.End(t.Context(), g.ID, session.Person{}, ""); err != nil {
		t.Fatal(err)
	}
	for name, then := range map[string]session.User{"disabled": {Disabled: true}, "moved": {OrganizationID: "org_third"}} {
		is(session.User{OrganizationID: "org_other"})
		accounts.asked = func() { is(then) } // after the look, before the grant
		_, err := ask()
		wantErr(t, err, session.ErrBadDemo)
		page, err := h.PageGrants(t.Context(), session.DemoQuery{UserID: "nora", Live: true})
		if err != nil || len(page.Grants) != 0 || len(h.now(s).Roles) != 1 {
			t.Errorf("%s: %+v, error %v", name, page, err)
		}
	}
	// People of providers have no account here.
	p, _, err := h.sessions.Create(t.Context(), session.Identity{Provider: "zitadel", UserID: "pia", Email: "pia@example.com", EmailVerified: true}, session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Request(t.Context(), p, session.DemoRequest{WorkspaceType: "desktop"}); err != nil {
		t.Error(err)
	}
}

// killedOnceItIsTold: a gate that dies when the trail has an event and the
// database not yet the move leaves both to another one, and the trail tells of each once.
func killedOnceItIsTold(t *testing.T, on database) {
	h := newHouse(t, on)
	g := h.ask(h.signIn("nora"), session.DemoRequest{Duration: time.Second})
	h.trail.loses(3)
	h.runs(h.another())
	h.cleaned(g.ID)
	if got := h.trail.of(g.ID); !slices.Equal(got, []string{"demo_requested nora", "demo_started nora", "demo_expired ", "demo_cleaned "}) {
		t.Errorf("the trail: %q", got)
	}
}
