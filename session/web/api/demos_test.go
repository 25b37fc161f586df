package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/demo"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/sqlstore"
)

// noDemos knows of no demo session.
type noDemos struct{}

func (noDemos) Kinds() []session.WorkspaceKind { return nil }

func (noDemos) Request(context.Context, *session.Session, session.DemoRequest) (session.DemoGrant, error) {
	return session.DemoGrant{}, session.ErrBadDemo
}

func (noDemos) Grant(context.Context, string) (session.DemoGrant, error) {
	return session.DemoGrant{}, session.ErrNoDemo
}

func (noDemos) PageGrants(context.Context, session.DemoQuery) (session.DemoPage, error) {
	return session.DemoPage{}, nil
}

func (noDemos) Decide(context.Context, string, bool, session.Person, string) (session.DemoGrant, error) {
	return session.DemoGrant{}, session.ErrNoDemo
}

func (noDemos) End(context.Context, string, session.Person, string) (session.DemoGrant, error) {
	return session.DemoGrant{}, session.ErrNoDemo
}

func (noDemos) Extend(context.Context, string, time.Duration, session.Person, string) (session.DemoGrant, error) {
	return session.DemoGrant{}, session.ErrNoDemo
}

// newDemoHouse has demo sessions as a gate has them: of the kind desktop, and of
// the kind lab, for which an administrator has to agree.
func newDemoHouse(t *testing.T) *house {
	t.Helper()
	ctx := context.Background()
	db, err := sqlstore.OpenSQLite(ctx, filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err1 := cookie.New(ring, "_pomerium", "session")
	refreshes, err2 := cookie.New(ring, "_pomerium", "refresh token")
	var all *session.Manager
	x := newHouse(t, func(o *Options) {
		logger := slog.New(slog.DiscardHandler)
		grants, err3 := demo.NewStore(ctx, db, sqlstore.SQLite(), o.Clock)
		sessions, err4 := session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer, Refreshes: refreshes, Clock: o.Clock, Grants: grants, Logger: logger})
		demos, err5 := demo.New(demo.Options{
			Store: grants, Sessions: sessions, Audit: o.Audit, Caps: demo.Caps{User: 2}, Extension: 5 * time.Minute, Logger: logger,
			Kinds: []session.WorkspaceKind{{Name: "desktop", MaxDuration: 30 * time.Minute}, {Name: "lab", MaxDuration: 30 * time.Minute, Approval: true}, {Name: "third", MaxDuration: time.Minute}},
		})
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			t.Fatal(err)
		}
		o.Sessions.(*session.Manager).Close()
		o.Sessions, o.Demos, all = sessions, demos, sessions
		run, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { demos.Run(run) })
		t.Cleanup(func() { stop(); running.Wait(); sessions.Close() })
	})
	x.sessions = all
	return x
}

func TestADemoSessionFromRequestToCleanUp(t *testing.T) {
	t.Parallel()
	x := newDemoHouse(t)
	nora, ada := x.token("nora"), x.token("ada")
	const at = "/api/demo-sessions"
	x.do("POST", at, "", `{"workspace_type": "desktop"}`).reason(401, "unauthenticated")
	a := x.do("POST", at, nora, `{"workspace_type": "desktop", "purpose": "to see", "max_duration": 600}`)
	g := read[DemoSession](a, http.StatusCreated)
	if g.Status != session.GrantActive || g.MaxDuration != 600 || g.Remaining != 600 || g.Purpose != "to see" || g.ClientAddr != "203.0.113.9" || a.Header().Get("Location") != at+"/"+g.ID {
		t.Errorf("%+v %v", g, a.Header())
	}
	if again := read[DemoSession](x.do("POST", at, nora, `{"workspace_type": "desktop"}`), http.StatusOK); again.ID != g.ID {
		t.Errorf("another one: %+v", again)
	}
	x.now.Add(int64(90 * time.Second))
	if got := read[DemoSession](x.do("GET", at+"/"+g.ID, nora, ""), http.StatusOK); got.Remaining != 510 {
		t.Errorf("%+v", got)
	}
	x.do("POST", at+"/"+g.ID+"/extend", nora, `{"by": 60}`).reason(403, "role_required")
	if got := read[DemoSession](x.do("POST", at+"/"+g.ID+"/extend", ada, `{"by": 60, "reason": "a talk"}`), http.StatusOK); got.MaxDuration != 660 || got.Remaining != 570 {
		t.Errorf("%+v", got)
	}
	x.do("POST", at+"/"+g.ID+"/extend", ada, `{"by": 6000}`).reason(422, "request_invalid")
	x.do("POST", at+"/"+g.ID+"/approve", ada, `{}`).reason(409, "demo_state")
	// The administrator ends it; for its person it is there, and has ended.
	if got := read[DemoSession](x.do("DELETE", at+"/"+g.ID+"?reason=over", ada, ""), http.StatusOK); got.Status != session.GrantRevoked || got.Reason != "over" || got.Remaining != 0 {
		t.Errorf("%+v", got)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got := read[DemoSession](x.do("GET", at+"/"+g.ID, nora, ""), http.StatusOK); !got.CleanedAt.IsZero() {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is not cleaned up")
		}
	}
	if got := read[DemoSession](x.do("DELETE", at+"/"+g.ID, nora, ""), http.StatusOK); got.Reason != "over" {
		t.Errorf("%+v", got)
	}
}

func TestDemoSessionsOfOthers(t *testing.T) {
	t.Parallel()
	x := newDemoHouse(t)
	nora, ada := x.token("nora"), x.token("ada")
	const at = "/api/demo-sessions"
	g := read[DemoSession](x.do("POST", at, ada, `{"workspace_type": "lab"}`), http.StatusCreated)
	if g.Status != session.GrantPending {
		t.Errorf("%+v", g)
	}
	x.do("GET", at+"/"+g.ID, nora, "").reason(404, "not_found")
	x.do("DELETE", at+"/"+g.ID, nora, "").reason(404, "not_found")
	x.do("POST", at+"/"+g.ID+"/approve", nora, `{}`).reason(403, "role_required")
	x.do("GET", at+"?all=true", nora, "").reason(403, "role_required")
	x.do("GET", at+"?user=usr_ada", nora, "").reason(403, "role_required")
	for _, bad := range []string{"?all=yes", "?live=1", "?status=old", "?after=!", "?user=", "?all=true&user=usr_ada", "?limit=0", "?x=1"} {
		x.do("GET", at+bad, ada, "").reason(400, "request_invalid")
	}
	if got := read[[]DemoSession](x.do("GET", at, nora, ""), http.StatusOK); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	read[DemoSession](x.do("POST", at, nora, `{"workspace_type": "desktop"}`), http.StatusCreated)
	first := x.do("GET", at+"?all=true&live=true&limit=1", ada, "")
	if got := read[[]DemoSession](first, http.StatusOK); len(got) != 1 || first.Header().Get("Link") == "" {
		t.Errorf("%+v %v", got, first.Header())
	}
	if got := read[[]DemoSession](x.do("GET", at+"?user=usr_nora&status=active", ada, ""), http.StatusOK); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if got := read[DemoSession](x.do("POST", at+"/"+g.ID+"/refuse", ada, `{"reason": "full"}`), http.StatusOK); got.Status != session.GrantRefused || got.DecidedBy != "ada@kappa4.com" {
		t.Errorf("%+v", got)
	}
	x.do("POST", at+"/"+g.ID+"/refuse", ada, `{}`).reason(409, "demo_state")
	x.do("POST", at+"/demo-1-00000000000000aa/approve", ada, `{}`).reason(404, "not_found")
}

func TestDemoSessionsThatCannotBe(t *testing.T) {
	t.Parallel()
	x := newDemoHouse(t)
	nora := x.token("nora")
	const at = "/api/demo-sessions"
	for _, body := range []string{`{"workspace_type": "castle"}`, `{"workspace_type": ""}`, `{"workspace_type": "desktop", "max_duration": 1801}`, `{"workspace_type": "desktop", "max_duration": -1}`} {
		x.do("POST", at, nora, body).reason(422, "request_invalid")
	}
	for _, kind := range []string{"desktop", "lab"} {
		read[DemoSession](x.do("POST", at, nora, `{"workspace_type": "`+kind+`"}`), http.StatusCreated)
	}
	a := x.do("POST", at, nora, `{"workspace_type": "third"}`)
	if a.reason(429, "demo_cap"); a.Header().Get("Retry-After") != "1800" {
		t.Errorf("%v", a.Header())
	}
}
