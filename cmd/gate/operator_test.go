package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/web/admin"
)

// unlimited lets every guess be looked at.
type unlimited struct{}

func (unlimited) Take(context.Context, time.Time, string, string, float64, int) (bool, time.Duration, error) {
	return true, 0, nil
}

// operatorRig is a gate's admin socket with real accounts and sessions.
type operatorRig struct {
	t        *testing.T
	socket   string
	accounts *account.Store
}

func newOperatorRig(t *testing.T) *operatorRig {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	must(err)
	t.Cleanup(func() { _ = db.Close() })
	accounts, err := account.New(t.Context(), account.Options{DB: db, Dialect: sqlstore.SQLite(), Budget: unlimited{}, Params: account.Params{MemoryKiB: 8 << 10, Passes: 1, Threads: 1}})
	must(err)
	ring, err := cookie.NewRing()
	must(err)
	sealer, err := cookie.New(ring, "_pomerium", "session")
	must(err)
	manager, err := session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer})
	must(err)
	t.Cleanup(manager.Close)
	service, err := account.NewService(account.ServiceOptions{Store: accounts, Sessions: manager, Origin: "https://gate.kappa4.com"})
	must(err)
	api, err := admin.New(admin.Options{
		Users: service, Members: service, Sessions: manager, CookieName: "_pomerium", Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		Reload: func(context.Context) (admin.Policy, error) { return admin.Policy{}, nil },
		Status: func(context.Context) admin.Status { return admin.Status{} },
	})
	must(err)
	socket := filepath.Join(t.TempDir(), "a.sock")
	l, err := net.Listen("unix", socket)
	must(err)
	s := httptest.NewUnstartedServer(api)
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return &operatorRig{t, socket, accounts}
}

// gate runs the command line as a person types it.
func (x *operatorRig) gate(stdin string, args ...string) (code int, stdout, stderr string) {
	x.t.Helper()
	var out, errs bytes.Buffer
	code = run(x.t.Context(), append(args, "-socket", x.socket), streams{strings.NewReader(stdin), &out, &errs})
	return code, out.String(), errs.String()
}

func (x *operatorRig) ok(stdin string, args ...string) string {
	x.t.Helper()
	code, out, errs := x.gate(stdin, args...)
	if code != exitOK || errs != "" {
		x.t.Fatalf("gate %v: code %d, stderr %q", args, code, errs)
	}
	return out
}

func TestUserCommandsFromAddToRemove(t *testing.T) {
	t.Parallel()
	x := newOperatorRig(t)
	signsIn := func(password string) bool {
		_, err := x.accounts.SignIn(t.Context(), "nora@kappa4.com", password, "")
		return err == nil
	}
	out := x.ok("", "user", "add", "nora@kappa4.com", "-name", "Nora", "-role", "user,neosc", "-role", "admin")
	_, rest, found := strings.Cut(out, "password: ")
	password, _, _ := strings.Cut(rest, " ")
	if !found || !signsIn(password) {
		t.Fatalf("the printed password does not sign in: %q", out)
	}
	x.ok("a long enough one\r\n", "user", "passwd", "-stdin", "nora@kappa4.com")
	if !signsIn("a long enough one") || signsIn(password) {
		t.Error("the password of standard input does not count, or the old one still does")
	}
	if out := x.ok("", "user", "role", "nora@kappa4.com", "neosc"); !strings.Contains(out, "has roles neosc now, in 0 sessions too") {
		t.Errorf("role: %q", out)
	}
	if out := x.ok("", "user", "list"); !strings.Contains(out, "nora@kappa4.com") || !strings.Contains(out, "EMAIL") {
		t.Errorf("list: %q", out)
	}
	var users []session.User
	if err := json.Unmarshal([]byte(x.ok("", "user", "list", "-json")), &users); err != nil || len(users) != 1 {
		t.Errorf("list as JSON: %v, %v", users, err)
	}
	x.ok("", "user", "remove", "nora@kappa4.com")
	if code, _, errs := x.gate("", "user", "remove", "nora@kappa4.com"); code != exitError || !strings.Contains(errs, "no such user") {
		t.Errorf("removed twice: %d %q", code, errs)
	}
}

func TestSessionCommandsFromCreateToRevoke(t *testing.T) {
	t.Parallel()
	x := newOperatorRig(t)
	var made admin.CreatedSession
	out := x.ok("", "session", "create", "-json", "-email", "nora@kappa4.com", "-role", "neosc", "-lifetime", "1h",
		"-claim", "neosc:demo_session_id=d1", "-claim", "neosc:demo_expires_at:=1772712000")
	if err := json.Unmarshal([]byte(out), &made); err != nil || !strings.HasPrefix(made.Cookie, "_pomerium=v1.") {
		t.Fatalf("create: %s, %v", out, err)
	}
	if out := x.ok("", "session", "list"); !strings.Contains(out, made.Key) || !strings.Contains(out, "operator") {
		t.Errorf("list: %s", out)
	}
	if out := x.ok("", "session", "revoke", made.Key); out != "session "+made.Key[:16]+" is over\n" {
		t.Errorf("revoke: %q", out)
	}
	if out := x.ok("", "session", "create", "-email", "robot@kappa4.com", "-service"); !strings.Contains(out, "token: ") {
		t.Errorf("service: %q", out)
	}
	if out := x.ok("", "session", "revoke", "-email", "robot@kappa4.com"); out != "ended 1 session\n" {
		t.Errorf("revoke by email: %q", out)
	}
}

func TestOperatorCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	x := newOperatorRig(t)
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"NoVerb":          {[]string{"user"}, exitUsage, "Usage: gate user VERB"},
		"UnknownVerb":     {[]string{"session", "kill"}, exitUsage, "there are create, list, revoke"},
		"NoEmail":         {[]string{"user", "add"}, exitUsage, "0 arguments, want 1"},
		"TwoEmails":       {[]string{"user", "remove", "a@x.org", "b@x.org"}, exitUsage, "2 arguments, want 1"},
		"NoRoles":         {[]string{"user", "role", "a@x.org"}, exitUsage, "-none"},
		"RolesAndNone":    {[]string{"user", "role", "a@x.org", "user", "-none"}, exitUsage, "not both"},
		"UnknownFlag":     {[]string{"user", "list", "-jsn"}, exitUsage, "-jsn"},
		"BadClaim":        {[]string{"session", "create", "-email", "a@x.org", "-claim", "x"}, exitUsage, "NAME=TEXT"},
		"BadClaimJSON":    {[]string{"session", "create", "-email", "a@x.org", "-claim", "x:={"}, exitUsage, "x:"},
		"NoSessionEmail":  {[]string{"session", "create"}, exitUsage, "-email is missing"},
		"RevokeNothing":   {[]string{"session", "revoke"}, exitUsage, "give one of"},
		"RevokeTwoThings": {[]string{"session", "revoke", "-user", "u", "-email", "e"}, exitUsage, "give one of"},
		"BadKey":          {[]string{"session", "revoke", "abc"}, exitError, "hex digits"},
		"EmptyPassword":   {[]string{"user", "passwd", "a@x.org", "-stdin"}, exitError, "no password came"},
		"NoSuchUser":      {[]string{"user", "passwd", "a@x.org"}, exitError, "no such user"},
	} {
		t.Run(name, func(t *testing.T) {
			args := tt.args
			if len(args) > 1 {
				args = append(args, "-socket", x.socket)
			}
			var out, errs bytes.Buffer
			code := run(t.Context(), args, streams{strings.NewReader(""), &out, &errs})
			if code != tt.code || !strings.Contains(errs.String(), tt.says) || out.Len() > 0 {
				t.Errorf("code %d, want %d; stderr %q lacks %q; stdout %q", code, tt.code, errs.String(), tt.says, out.String())
			}
		})
	}
}

func TestOperatorCommandsWithoutAGate(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	socket := filepath.Join(t.TempDir(), "none.sock")
	code := run(t.Context(), []string{"user", "list", "-socket", socket}, streams{strings.NewReader(""), &out, &errs})
	if want := "gate user list: no gate is running with this config (socket " + socket + "); start it with gate serve or gate dev\n"; code != exitError || errs.String() != want {
		t.Errorf("code %d, stderr %q", code, errs.String())
	}
}

func TestOperatorHelpIsOutput(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"user", "-h"}, {"session", "-h"}, {"user", "add", "-h"}, {"user", "passwd", "-h"}, {"user", "role", "-h"}, {"user", "list", "-h"}, {"user", "remove", "-h"},
		{"session", "create", "-h"}, {"session", "list", "-h"}, {"session", "revoke", "-h"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, streams{strings.NewReader(""), &out, &errs}); code != exitOK || errs.Len() > 0 || !strings.HasPrefix(out.String(), "Usage: gate "+args[0]) {
			t.Errorf("gate %v: code %d, stderr %q, stdout %q", args, code, errs.String(), out.String())
		}
	}
}

func TestListingsCannotMoveATerminal(t *testing.T) {
	t.Parallel()
	if got := visible("a\x1b[2Jb\u202ec\n"); strings.ContainsAny(got, "\x1b\u202e\n") {
		t.Errorf("visible leaves %q", got)
	}
}
