package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

// patience bounds waiting for what happens in milliseconds on an idle machine.
const patience = 30 * time.Second

// trail keeps events, or refuses them.
type trail struct {
	mu     sync.Mutex
	events []session.Event
	fail   error
	// lost events are kept, and whoever appends them is told that they may not be,
	// as happens to who is killed then.
	lost int
}

func (t *trail) Append(_ context.Context, events ...session.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fail != nil {
		return t.fail
	}
	for _, e := range events {
		if e.Once == "" || !slices.ContainsFunc(t.events, func(was session.Event) bool { return was.Once == e.Once }) {
			t.events = append(t.events, e)
		}
	}
	if t.lost > 0 {
		t.lost--
		return session.ErrUnavailable
	}
	return nil
}

func (t *trail) loses(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = n
}

func (t *trail) breaks(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail = err
}

// of returns the actions of one grant, each with who did it.
func (t *trail) of(id string) (out []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.Details["demo"] == id {
			out = append(out, string(e.Action)+" "+e.Actor.ID)
		}
	}
	return out
}

// thing is a step that makes one thing for each grant.
type thing struct {
	name string
	mu   sync.Mutex
	has  map[string]bool
	// log has every call, in order, with the names of others' before and after.
	log *calls
	// on, if set, is called first, and its error is the call's.
	on func(ctx context.Context, phase string, g session.DemoGrant) error
}

type calls struct {
	mu  sync.Mutex
	all []string
}

func (c *calls) add(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, s)
}

func (c *calls) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

func newThing(name string, log *calls) *thing {
	return &thing{name: name, has: map[string]bool{}, log: log}
}

func (f *thing) Name() string { return f.name }

func (f *thing) do(ctx context.Context, phase string, g session.DemoGrant) error {
	f.mu.Lock()
	on := f.on
	f.mu.Unlock()
	if on != nil {
		if err := on(ctx, phase, g); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log.add(phase + " " + f.name); phase == session.PhaseStart {
		f.has[g.ID] = true
	} else {
		delete(f.has, g.ID)
	}
	return nil
}

func (f *thing) Start(ctx context.Context, g session.DemoGrant) error {
	return f.do(ctx, session.PhaseStart, g)
}

func (f *thing) End(ctx context.Context, g session.DemoGrant) error {
	return f.do(ctx, session.PhaseEnd, g)
}

func (f *thing) Owned(context.Context) (out []session.DemoGrant, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.has {
		out = append(out, session.DemoGrant{ID: id})
	}
	return out, nil
}

func (f *thing) owns(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.has[id]
}

// database is where a house keeps its grants.
type database func(t testing.TB) (*sql.DB, session.SQLDialect)

func onSQLite(t testing.TB) (*sql.DB, session.SQLDialect) {
	t.Helper()
	// No test here pulls the plug, so none waits for the disk.
	db, err := sqlstore.OpenDeferred(context.Background(), filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db.DB, sqlstore.SQLite()
}

// onPostgres returns databases of one server.
func onPostgres(t testing.TB) database {
	t.Helper()
	s, err := pgtest.New("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var mu sync.Mutex
	n := 0
	return func(t testing.TB) (*sql.DB, session.SQLDialect) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		n++
		schema := fmt.Sprint("house_", n)
		st, err := sqlstore.OpenPostgres(context.Background(), sqlstore.PostgresOptions{URL: s.URL, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = st.DB().Exec(`CREATE SCHEMA ` + schema)
		if err = errors.Join(err, st.Close()); err != nil {
			t.Fatal(err)
		}
		st, err = sqlstore.OpenPostgres(context.Background(), sqlstore.PostgresOptions{URL: s.URL + "&search_path=" + schema, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		return st.DB(), sqlstore.Postgres()
	}
}

// house is a service with sessions and a trail.
type house struct {
	*Service
	t        testing.TB
	store    *Store
	sessions *session.Manager
	trail    *trail
	log      *calls
}

var (
	desktop = session.WorkspaceKind{Name: "desktop", Title: "Desktop", MaxDuration: 30 * time.Minute}
	lab     = session.WorkspaceKind{Name: "lab", Title: "Lab", MaxDuration: 30 * time.Minute, Approval: true}
)

func newHouse(t testing.TB, on database, change ...func(*house, *Options)) *house {
	t.Helper()
	h := &house{t: t, trail: &trail{}, log: &calls{}}
	db, d := on(t)
	var err error
	if h.store, err = NewStore(context.Background(), db, d, nil); err != nil {
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
	h.sessions, err = session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer, Grants: h.store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.sessions.Close)
	h.Service = h.another(change...)
	return h
}

// another is one more gate on the same store.
func (h *house) another(change ...func(*house, *Options)) *Service {
	h.t.Helper()
	o := Options{Store: h.store, Sessions: h.sessions, Audit: h.trail, Kinds: []session.WorkspaceKind{desktop, lab}, Extension: 10 * time.Minute, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(h, &o)
	}
	s, err := New(o)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// runs has a service do what is due until the test ends.
func (h *house) runs(services ...*Service) *house {
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, s := range services {
		all.Go(func() { s.Run(ctx) })
	}
	h.t.Cleanup(func() { stop(); all.Wait() })
	return h
}

// signIn begins a session of somebody.
func (h *house) signIn(user string, roles ...string) *session.Session {
	h.t.Helper()
	s, _, err := h.sessions.Create(context.Background(), session.Identity{
		Provider: "local", UserID: user, Email: user + "@example.com", EmailVerified: true, Organization: "Acme", Roles: append([]string{"user"}, roles...),
		Claims: map[string]any{"sub": user, "organization_id": "org_acme"},
	}, session.Browser, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// now is a session's identity as policy sees it.
func (h *house) now(s *session.Session) session.Identity {
	h.t.Helper()
	got, err := h.sessions.Find(context.Background(), s.Key)
	if err != nil {
		h.t.Fatal(err)
	}
	return got.Identity
}

func (h *house) ask(s *session.Session, q session.DemoRequest) session.DemoGrant {
	h.t.Helper()
	if q.WorkspaceType == "" {
		q.WorkspaceType = "desktop"
	}
	g, err := h.Request(context.Background(), s, q)
	if err != nil {
		h.t.Fatal(err)
	}
	return g
}

// until waits for a grant to be as somebody wants it.
func (h *house) until(id, what string, ok func(session.DemoGrant) bool) session.DemoGrant {
	h.t.Helper()
	end := time.Now().Add(patience)
	for {
		g, err := h.Grant(context.Background(), id)
		if err == nil && ok(g) {
			return g
		}
		if time.Now().After(end) {
			h.t.Fatalf("it is not %s: %+v, error %v", what, g, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (h *house) cleaned(id string) session.DemoGrant {
	h.t.Helper()
	return h.until(id, "cleaned", func(g session.DemoGrant) bool { return !g.CleanedAt.IsZero() })
}

func (h *house) is(id string, s session.GrantStatus) session.DemoGrant {
	h.t.Helper()
	return h.until(id, string(s), func(g session.DemoGrant) bool { return g.Status == s })
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// onEach runs a test on SQLite and on Postgres.
func onEach(t *testing.T, f func(t *testing.T, on database)) {
	t.Run("SQLite", func(t *testing.T) { t.Parallel(); f(t, onSQLite) })
	t.Run("Postgres", func(t *testing.T) { t.Parallel(); f(t, onPostgres(t)) })
}
