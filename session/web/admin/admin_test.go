package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// logText is a log that handlers write and tests read.
type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type rig struct {
	*Client
	users   *users
	manager *session.Manager
	log     *logText
	reload  error
	handler http.Handler
}

// newRig serves the API over a real Unix socket, with a real session manager.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cookie.New(ring, "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	x := &rig{users: &users{by: map[string]session.User{}, passwords: map[string]string{}}, log: &logText{}}
	clock := func() time.Time { return noon }
	x.manager, err = session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.manager.Close)
	o := Options{
		Users: x.users, Members: members{x.users, x.manager}, Sessions: x.manager, CookieName: "_pomerium", Clock: clock, Logger: slog.New(slog.NewTextHandler(x.log, nil)),
		Reload: func(context.Context) (Policy, error) { return Policy{"rev-2", 2}, x.reload },
		Status: func(context.Context) Status { return Status{Version: "1", Ready: true} },
	}
	for _, f := range change {
		f(&o)
	}
	if x.handler, err = New(o); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "a.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(x.handler)
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	x.Client = NewClient(socket)
	return x
}

func status(t *testing.T, err error, want int) *Problem {
	t.Helper()
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.Status != want {
		t.Fatalf("error %v, want a problem with status %d", err, want)
	}
	return p
}

func TestSessionLivesFromCreateToRevoke(t *testing.T) {
	t.Parallel()
	x, ctx := newRig(t), t.Context()
	made, err := x.CreateSession(ctx, NewSession{Email: "nora@kappa4.com", Roles: []string{"neosc"}, Claims: map[string]any{"neosc:demo_session_id": "d1"}, Lifetime: "2h"})
	if err != nil {
		t.Fatal(err)
	}
	value, ok := strings.CutPrefix(made.Cookie, "_pomerium=")
	if !ok || !made.ExpiresAt.Equal(noon.Add(2*time.Hour)) || made.Token != "" {
		t.Fatalf("created %+v", made)
	}
	s, err := x.manager.ByCookies(ctx, []string{value}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if id := s.Identity; id.Email != "nora@kappa4.com" || !id.EmailVerified || id.UserID != "operator:nora@kappa4.com" || id.Claims["neosc:demo_session_id"] != "d1" {
		t.Errorf("identity %+v", id)
	}
	listed, err := x.Sessions(ctx, "", "nora@kappa4.com", 10)
	if err != nil || len(listed) != 1 || listed[0].Key != made.Key {
		t.Fatalf("listed %+v, %v", listed, err)
	}
	if n, err := x.RevokeSession(ctx, made.Key); n != 1 || err != nil {
		t.Fatalf("revoke: %d, %v", n, err)
	}
	if _, err := x.manager.ByCookies(ctx, []string{value}, noon); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("after the revoke: %v", err)
	}
	if log := x.log.String(); !strings.Contains(log, "session_created") || !strings.Contains(log, "session_revoked") || strings.Contains(log, value) {
		t.Errorf("log: %s", log)
	}
}

func TestServiceSessionGetsABearerToken(t *testing.T) {
	t.Parallel()
	x := newRig(t)
	made, err := x.CreateSession(t.Context(), NewSession{Email: "robot@kappa4.com", Kind: "service"})
	if err != nil || made.Token == "" || made.Cookie != "" {
		t.Fatalf("created %+v, %v", made, err)
	}
	if s, err := x.manager.ByBearer(t.Context(), made.Token, noon); err != nil || s.Kind != session.Service {
		t.Errorf("by the token: %v, %v", s, err)
	}
}

func TestAllSessionsOfSomebodyEnd(t *testing.T) {
	t.Parallel()
	x, ctx := newRig(t), t.Context()
	for range 3 {
		if _, err := x.CreateSession(ctx, NewSession{Email: "a@x.org", UserID: "ua"}); err != nil {
			t.Fatal(err)
		}
		if _, err := x.CreateSession(ctx, NewSession{Email: "b@x.org", UserID: "ub"}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := x.RevokeSessions(ctx, "ua", ""); n != 3 || err != nil {
		t.Errorf("by user: %d, %v", n, err)
	}
	if n, err := x.RevokeSessions(ctx, "", "B@x.org"); n != 3 || err != nil {
		t.Errorf("by email: %d, %v", n, err)
	}
	for _, both := range [][2]string{{"", ""}, {"ua", "a@x.org"}} {
		_, err := x.RevokeSessions(ctx, both[0], both[1])
		status(t, err, 400)
	}
}

func TestAccountChangesReachLiveSessions(t *testing.T) {
	t.Parallel()
	x, ctx := newRig(t), t.Context()
	added, err := x.AddUser(ctx, NewUser{Email: "nora@kappa4.com", Roles: []string{"user"}})
	if err != nil || len(added.Password) < 20 || x.users.passwords["nora@kappa4.com"] != added.Password {
		t.Fatalf("added %+v, %v", added, err)
	}
	made, err := x.CreateSession(ctx, NewSession{Email: "nora@kappa4.com", UserID: added.User.ID, Roles: []string{"user"}})
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(made.Cookie, "=")
	changed, err := x.SetRoles(ctx, "nora@kappa4.com", []string{"admin"})
	if err != nil || changed.SessionsChanged != 1 {
		t.Fatalf("roles: %+v, %v", changed, err)
	}
	if s, err := x.manager.ByCookies(ctx, []string{value}, noon); err != nil || !slices.Equal(s.Identity.Roles, []string{"admin"}) {
		t.Errorf("the live session: %+v, %v", s, err)
	}
	if changed, err = x.SetRoles(ctx, "nora@kappa4.com", nil); err != nil || len(changed.User.Roles) != 0 {
		t.Errorf("no roles: %+v, %v", changed, err)
	}
	changed, err = x.SetPassword(ctx, "nora@kappa4.com", "a new one, long")
	if err != nil || changed.SessionsEnded != 1 || changed.Password != "" || x.users.passwords["nora@kappa4.com"] != "a new one, long" {
		t.Errorf("password: %+v, %v", changed, err)
	}
	if changed, err = x.SetPassword(ctx, "nora@kappa4.com", ""); err != nil || changed.Password == "" {
		t.Errorf("generated password: %+v, %v", changed, err)
	}
	if _, err := x.CreateSession(ctx, NewSession{Email: "nora@kappa4.com", UserID: added.User.ID}); err != nil {
		t.Fatal(err)
	}
	if changed, err = x.RemoveUser(ctx, "nora@kappa4.com"); err != nil || changed.SessionsEnded != 1 {
		t.Errorf("removed: %+v, %v", changed, err)
	}
	if all, err := x.Users(ctx, "", 1000); err != nil || len(all) != 0 {
		t.Errorf("left: %v, %v", all, err)
	}
	if strings.Contains(x.log.String(), "a new one, long") {
		t.Error("the log has a password")
	}
}

func TestErrorsAreProblemsThatNameTheThing(t *testing.T) {
	t.Parallel()
	x, ctx := newRig(t), t.Context()
	if _, err := x.AddUser(ctx, NewUser{Email: "a@x.org"}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		do     func() error
		status int
		says   string
	}{
		"UserExists": {func() error { _, err := x.AddUser(ctx, NewUser{Email: "a@x.org"}); return err }, 409, "already"},
		"BadEmail":   {func() error { _, err := x.AddUser(ctx, NewUser{Email: "nobody"}); return err }, 422, "no @"},
		"NoSuchUser": {func() error { _, err := x.SetPassword(ctx, "b@x.org", ""); return err }, 404, "no such user"},
		"RoleWithComma": {func() error {
			_, err := x.CreateSession(ctx, NewSession{Email: "a@x.org", Roles: []string{"user,admin"}})
			return err
		}, 422, "role"},
		"NoEmail": {func() error { _, err := x.CreateSession(ctx, NewSession{}); return err }, 422, "email"},
		"Lifetime": {func() error {
			_, err := x.CreateSession(ctx, NewSession{Email: "a@x.org", Lifetime: "-1h"})
			return err
		}, 422, `"-1h"`},
		"Kind":  {func() error { _, err := x.CreateSession(ctx, NewSession{Email: "a@x.org", Kind: "bearer"}); return err }, 422, "bearer"},
		"Key":   {func() error { _, err := x.RevokeSession(ctx, "abc"); return err }, 400, "gate session list"},
		"Limit": {func() error { _, err := x.Sessions(ctx, "", "", 1001); return err }, 400, "1001"},
	} {
		t.Run(name, func(t *testing.T) {
			if p := status(t, tt.do(), tt.status); !strings.Contains(p.Detail, tt.says) {
				t.Errorf("detail %q lacks %q", p.Detail, tt.says)
			}
		})
	}
	x.users.down = fmt.Errorf("accounts: %w", session.ErrUnavailable)
	_, err := x.AddUser(ctx, NewUser{Email: "c@x.org"})
	status(t, err, 503)
	x.reload = errors.New("policies/x.rego:3: oops")
	_, err = x.ReloadPolicy(ctx)
	if p := status(t, err, 422); !strings.Contains(p.Detail, "the old policy goes on: policies/x.rego:3") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestReloadAndStatus(t *testing.T) {
	t.Parallel()
	x := newRig(t)
	if p, err := x.ReloadPolicy(t.Context()); err != nil || p.Revision != "rev-2" {
		t.Errorf("reload: %+v, %v", p, err)
	}
	if s, err := x.Status(t.Context()); err != nil || !s.Ready {
		t.Errorf("status: %+v, %v", s, err)
	}
}

func TestRequestsAreReadStrictly(t *testing.T) {
	t.Parallel()
	x := newRig(t)
	for name, tt := range map[string]struct {
		method, target, contentType, body string
		status                            int
	}{
		"UnknownField":     {"POST", "/v1/users", "application/json", `{"email":"a@x.org","rolse":["admin"]}`, 400},
		"SomethingFollows": {"POST", "/v1/users", "application/json", `{"email":"a@x.org"} {}`, 400},
		"NotJSON":          {"POST", "/v1/users", "application/json", `email=a`, 400},
		"AsText":           {"POST", "/v1/users", "text/plain", `{"email":"a@x.org"}`, 415},
		"TooLarge":         {"POST", "/v1/users", "application/json", `{"email":"` + strings.Repeat("a", maxBody) + `"}`, 413},
		"RolesForgotten":   {"PUT", "/v1/users/a@x.org/roles", "application/json", `{}`, 422},
		"UnknownParameter": {"DELETE", "/v1/sessions?mail=a@x.org", "", "", 400},
		"ParameterTwice":   {"DELETE", "/v1/sessions?email=a@x.org&email=b@x.org", "", "", 400},
		"UnknownPath":      {"GET", "/v1/nothing", "", "", 404},
		"WrongMethod":      {"PATCH", "/v1/users", "", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			x.handler.ServeHTTP(w, r)
			if w.Code != tt.status || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s, want %d: %s", w.Code, w.Header().Get("Content-Type"), tt.status, w.Body)
			}
		})
	}
}

func TestClientSaysWhatToDoWithoutAGate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, socket := range []string{filepath.Join(dir, "none.sock"), stale} {
		_, err := NewClient(socket).Status(t.Context())
		want := "no gate is running with this config (socket " + socket + "); start it with gate serve or gate dev"
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
