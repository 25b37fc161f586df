package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/test/apidoc"
)

const portal = "https://portal.kappa4.com"

var base = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

// described is openapi.yaml, against which every reply of every test is held.
var described = sync.OnceValues(func() (*apidoc.Doc, error) {
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	return apidoc.Read(b)
})

// accounts stand for the database: what is asked of them is in asked.
type accounts struct {
	session.Registrar
	mu    sync.Mutex
	users map[string]session.User
	asked []string
	fail  error
}

func (f *accounts) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.fail
}

func (f *accounts) identity(u session.User) session.Identity {
	return session.Identity{Provider: "local", Subject: u.ID, UserID: u.ID, Email: u.Email, EmailVerified: true, Name: u.Name, Organization: u.Organization, Roles: u.Roles, AMR: []string{"pwd"}, AuthenticatedAt: base}
}

func (f *accounts) SignIn(_ context.Context, email, password, _ string) (session.Identity, error) {
	switch email {
	case "busy@kappa4.com":
		return session.Identity{}, session.ErrBusy
	case "guessed@kappa4.com":
		return session.Identity{}, &session.TooManyGuessesError{RetryAfter: 89500 * time.Millisecond}
	case "away@kappa4.com":
		return session.Identity{}, fmt.Errorf("accounts: %w: disk on fire at sector 7", session.ErrUnavailable)
	case "panic@kappa4.com":
		panic("a defect")
	case "two@kappa4.com":
		return session.Identity{}, &session.FactorNeededError{User: session.FactorUser{ID: "usr_two", Email: email}}
	}
	for _, u := range f.users {
		if u.Email == email && password == "SecurePassword123" {
			return f.identity(u), nil
		}
	}
	return session.Identity{}, session.ErrCredentials
}

func (f *accounts) Identify(_ context.Context, id string) (session.Identity, time.Time, error) {
	u, ok := f.users[id]
	if !ok {
		return session.Identity{}, time.Time{}, session.ErrCredentials
	}
	return f.identity(u), u.CreatedAt, nil
}

func (f *accounts) RegistrationOpen() bool { return true }

func (f *accounts) Register(_ context.Context, r session.Registration, addr string) (session.Identity, error) {
	if err := f.note("register %s %s %s %s", r.Email, r.Organization, r.Invitation, addr); err != nil {
		return session.Identity{}, err
	}
	return session.Identity{Provider: "local", UserID: "usr_new", Email: r.Email, Name: r.Name, Organization: session.DefaultOrganization, AMR: []string{"pwd"}}, nil
}

func (f *accounts) VerifyEmail(_ context.Context, token, password, _ string) (session.Identity, error) {
	if err := f.note("verify %s %s", token, password); err != nil {
		return session.Identity{}, err
	}
	return f.identity(f.users["usr_nora"]), nil
}

func (f *accounts) RequestReset(_ context.Context, email, _ string) error {
	return f.note("reset %s", email)
}

func (f *accounts) ResetPassword(_ context.Context, token, password, _ string) (session.User, error) {
	return f.users["usr_nora"], f.note("confirm %s %s", token, password)
}

func (f *accounts) ChangePassword(_ context.Context, id, current, password, _ string, keep session.Key) error {
	return f.note("password %s %s %s %v", id, current, password, keep != session.Key{})
}

func (f *accounts) PageUsers(_ context.Context, q session.UserQuery) (session.UserPage, error) {
	err := f.note("users %s %s %s %d", q.Organization, q.Search, q.After, q.Limit)
	return session.UserPage{Users: []session.User{f.users["usr_nora"]}, Next: "c2"}, err
}

func (f *accounts) UserByID(_ context.Context, id string) (session.User, error) {
	u, ok := f.users[id]
	if !ok {
		return session.User{}, fmt.Errorf("%w: %s", session.ErrNoUser, id)
	}
	return u, nil
}

func (f *accounts) ChangeUser(ctx context.Context, id string, c session.UserChange) (session.ChangedUser, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return session.ChangedUser{}, err
	}
	if err := f.note("change %s %s by %s", id, b, session.OriginOf(ctx).Actor.ID); err != nil {
		return session.ChangedUser{}, err
	}
	u, err := f.UserByID(ctx, id)
	return session.ChangedUser{User: u, SessionsChanged: 1}, err
}

func (f *accounts) DeleteUser(ctx context.Context, id string) (session.ChangedUser, error) {
	if err := f.note("delete %s by %s", id, session.OriginOf(ctx).Actor.ID); err != nil {
		return session.ChangedUser{}, err
	}
	u, err := f.UserByID(ctx, id)
	return session.ChangedUser{User: u}, err
}

var acme = session.Organization{ID: "org_acme", Name: "Acme", Domain: "acme.example", UsersCount: 2, WorkspacesCount: 1, CreatedAt: base, Settings: json.RawMessage(`{"colour":"red"}`)}

func (f *accounts) PageOrganizations(_ context.Context, q session.OrganizationQuery) (session.OrganizationPage, error) {
	return session.OrganizationPage{Organizations: []session.Organization{acme}}, f.note("organizations of %q after %q, %d", q.Member, q.After, q.Limit)
}

func (f *accounts) Organization(_ context.Context, id string) (session.Organization, error) {
	if id != acme.ID {
		return session.Organization{}, session.ErrNoOrganization
	}
	return acme, nil
}

func (f *accounts) CreateOrganization(_ context.Context, name, domain string) (session.Organization, error) {
	return acme, f.note("create %s %s", name, domain)
}

func (f *accounts) ChangeOrganization(_ context.Context, id string, c session.OrganizationChange) (session.Organization, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return session.Organization{}, err
	}
	return acme, f.note("organization %s %s", id, b)
}

func (f *accounts) Invite(_ context.Context, n session.NewInvitation) (session.Invitation, error) {
	return session.Invitation{ID: "inv_1", Organization: n.Organization, Email: n.Email, Roles: []string{"user"}, CreatedAt: base, ExpiresAt: base.Add(time.Hour)}, f.note("invite %s %s %q", n.Organization, n.Email, n.Roles)
}

func (f *accounts) Invitations(_ context.Context, org string) ([]session.Invitation, error) {
	if org != acme.ID {
		return nil, session.ErrNoOrganization
	}
	return []session.Invitation{{ID: "inv_1", Organization: org, Email: "x@acme.example", Roles: []string{"user"}, CreatedAt: base, ExpiresAt: base}}, nil
}

func (f *accounts) RevokeInvitation(_ context.Context, id string) error {
	return f.note("revoke %s", id)
}

func (f *accounts) AcceptInvitation(ctx context.Context, id, token string) (session.ChangedUser, error) {
	if err := f.note("accept %s %s", id, token); err != nil {
		return session.ChangedUser{}, err
	}
	u, err := f.UserByID(ctx, id)
	return session.ChangedUser{User: u}, err
}

// trail keeps events, or fails.
type trail struct {
	mu     sync.Mutex
	events []session.Event
	down   bool
}

func (t *trail) Append(_ context.Context, events ...session.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return fmt.Errorf("%w: the disk is full", session.ErrUnavailable)
	}
	t.events = append(t.events, events...)
	return nil
}

func (t *trail) actions() (out []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		out = append(out, string(e.Action)+" "+string(e.Outcome)+" "+e.User.ID+" by "+e.Actor.ID)
	}
	return out
}

// house is the API with everything around it.
type house struct {
	t        *testing.T
	api      *API
	sessions *session.Manager
	accounts *accounts
	factors  *factors
	trail    *trail
	now      atomic.Int64
	log      *strings.Builder
	signIns  []string
}

func newHouse(t *testing.T, change ...func(*Options)) *house {
	t.Helper()
	x := &house{t: t, trail: &trail{}, log: &strings.Builder{}, factors: &factors{pending: map[string]session.PendingLogin{}, has: session.Factors{App: &session.Factor{}, Recovery: 10}}}
	x.now.Store(base.UnixNano())
	x.accounts = &accounts{users: map[string]session.User{
		"usr_nora": {ID: "usr_nora", Email: "nora@kappa4.com", Name: "Nora", Organization: "Acme", OrganizationID: "org_acme", Roles: []string{"neosc"}, MFA: true, EmailVerified: true, CreatedAt: base},
		"usr_ada":  {ID: "usr_ada", Email: "ada@kappa4.com", Name: "Ada", Organization: "Acme", OrganizationID: "org_acme", Roles: []string{"admin"}, EmailVerified: true, CreatedAt: base},
		"usr_two":  {ID: "usr_two", Email: "two@kappa4.com", Roles: []string{"user"}, MFA: true, EmailVerified: true, CreatedAt: base.Add(-time.Hour)},
	}}
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err1 := cookie.New(ring, "_pomerium", "session")
	refreshes, err2 := cookie.New(ring, "_pomerium", "refresh token")
	logger := slog.New(slog.NewTextHandler(x.log, nil))
	x.sessions, err = session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer, Refreshes: refreshes, Clock: x.clock, Audit: x.trail, Logger: logger})
	if err := errors.Join(err, err1, err2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.sessions.Close)
	o := Options{
		Accounts: x.accounts, Registrar: x.accounts, Members: x.accounts, Organizations: x.accounts, Sessions: x.sessions, Factors: x.factors, Identifier: x.accounts, Switches: &switches{is: session.Switch{Name: "hours", Type: session.SwitchBoolean}}, Demos: noDemos{},
		Audit: x.trail, IsOrigin: func(o string) bool { return o == portal }, Cookie: session.CookieSpec{Name: "_pomerium", Domain: ".kappa4.com", Secure: true},
		SignIn: func(_ *http.Request, s *session.Session, err error) {
			x.signIns = append(x.signIns, fmt.Sprint(s != nil, " ", err))
		},
		Logger: logger, Clock: x.clock,
	}
	for _, f := range change {
		f(&o)
	}
	if x.api, err = New(o); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *house) clock() time.Time        { return time.Unix(0, x.now.Load()).UTC() }
func (x *house) advance(d time.Duration) { x.now.Add(int64(d)) }

// answer is a reply whose body was read.
type answer struct {
	*httptest.ResponseRecorder
	t *testing.T
}

// do sends a request; body "" is none. Each reply is held against the document.
func (x *house) do(method, target, token, body string, edit ...func(*http.Request)) answer {
	x.t.Helper()
	r := httptest.NewRequest(method, "https://api.portal.kappa4.com"+target, strings.NewReader(body))
	r.Header.Set("X-Request-Id", "req-1")
	r.Header.Set("X-Envoy-External-Address", "203.0.113.9")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	x.api.ServeHTTP(w, r)
	doc, err := described()
	if err != nil {
		x.t.Fatal(err)
	}
	if w.Code != http.StatusMethodNotAllowed && doc.Operation(r.Method, r.URL.Path) != "" {
		if err := doc.Check(r.Method, r.URL.Path, w.Code, w.Header(), w.Body.Bytes()); err != nil {
			x.t.Error(err)
		}
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" && !strings.HasPrefix(r.URL.Path, "/api/openapi") {
		x.t.Errorf("%s %s: Cache-Control %q", method, target, got)
	}
	return answer{w, x.t}
}

func (a answer) status(want int) answer {
	a.t.Helper()
	if a.Code != want {
		a.t.Fatalf("status %d, want %d\n%s", a.Code, want, a.Body)
	}
	return a
}

// reason is that of a problem document.
func (a answer) reason(status int, want string) {
	a.t.Helper()
	a.status(status)
	var p Problem
	if err := json.Unmarshal(a.Body.Bytes(), &p); err != nil || !slices.Equal(p.Reasons, []string{want}) || p.Status != status || p.Detail == "" || p.RequestID != "req-1" || a.Header().Get("Content-Type") != "application/problem+json" {
		a.t.Errorf("want the reason %s: %v %s", want, err, a.Body)
	}
}

func read[T any](a answer, status int) (out T) {
	a.t.Helper()
	a.status(status)
	if err := json.Unmarshal(a.Body.Bytes(), &out); err != nil {
		a.t.Fatalf("%v\n%s", err, a.Body)
	}
	return out
}

// signIn returns the tokens of nora, ada (an administrator) or two.
func (x *house) signIn(name string) session.Tokens {
	x.t.Helper()
	t, err := x.sessions.BeginTokens(context.Background(), session.Draft{Identity: x.accounts.identity(x.accounts.users["usr_"+name])})
	if err != nil {
		x.t.Fatal(err)
	}
	return t
}

func (x *house) token(name string) string { return x.signIn(name).Access }
