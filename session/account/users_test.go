package account

import (
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

var (
	_ session.Authenticator = (*Store)(nil)
)

func TestOperatorsKeepAccounts(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	u, err := r.AddUser(t.Context(), session.NewUser{Email: "Ana@Example.com", Password: password, Roles: []string{"user", "admin", "user"}})
	if err != nil || strings.Join(u.Roles, " ") != "admin user" || u.Email != "ana@example.com" {
		t.Fatalf("%+v, %v", u, err)
	}
	_, err = r.AddUser(t.Context(), session.NewUser{Email: "ANA@example.com", Password: password})
	wantErr(t, err, session.ErrUserExists)
	r.add(t, "aaa@example.com")
	all, err := r.PageUsers(t.Context(), session.UserQuery{})
	if err != nil || len(all.Users) != 2 || all.Users[0].Email != "aaa@example.com" {
		t.Errorf("%+v, %v", all, err)
	}
	if u, err = r.SetRoles(t.Context(), "ana@EXAMPLE.com", nil); err != nil || u.Roles == nil || len(u.Roles) != 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err = r.RemoveUser(t.Context(), "ana@example.com"); err != nil {
		t.Error(err)
	}
	for name, call := range map[string]func() error{
		"SetPassword": func() error { _, err := r.SetPassword(t.Context(), "ana@example.com", password); return err },
		"SetRoles":    func() error { _, err := r.SetRoles(t.Context(), "ana@example.com", nil); return err },
		"RemoveUser":  func() error { _, err := r.RemoveUser(t.Context(), "ana@example.com"); return err },
		"Get":         func() error { _, err := r.Get(t.Context(), "ana@example.com"); return err },
	} {
		if err := call(); !errors.Is(err, session.ErrNoUser) {
			t.Errorf("%s of nobody: error %v", name, err)
		}
	}
}

func TestNewPasswordReplacesTheOldOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.add(t, "ana@example.com")
	if _, err := r.SetPassword(t.Context(), "ana@example.com", "another password"); err != nil {
		t.Fatal(err)
	}
	_, err := r.SignIn(t.Context(), "ana@example.com", password, "")
	wantErr(t, err, session.ErrCredentials)
	if _, err = r.SignIn(t.Context(), "ana@example.com", "another password", ""); err != nil {
		t.Error(err)
	}
}

func TestValuesThatNoAccountCanHave(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tests := map[string]func(*session.NewUser){
		"NoEmail":        func(u *session.NewUser) { u.Email = "" },
		"TwoAts":         func(u *session.NewUser) { u.Email = "a@evil.com@company.com" },
		"CommaInRole":    func(u *session.NewUser) { u.Roles = []string{"user,admin"} },
		"BreakInRole":    func(u *session.NewUser) { u.Roles = []string{"a\nb"} },
		"BreakInName":    func(u *session.NewUser) { u.Name = "Ana\r\nX-Pomerium-Email: ceo@company.com" },
		"LongOrg":        func(u *session.NewUser) { u.Organization = strings.Repeat("x", 257) },
		"ShortPassword":  func(u *session.NewUser) { u.Password = "1234567" },
		"LongPassword":   func(u *session.NewUser) { u.Password = strings.Repeat("x", 1025) },
		"BrokenPassword": func(u *session.NewUser) { u.Password = "\xff\xff\xff\xff\xff\xff\xff\xff" },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			u := session.NewUser{Email: "ana@example.com", Password: password}
			spoil(&u)
			_, err := r.AddUser(t.Context(), u)
			wantErr(t, err, session.ErrBadUser)
			if err != nil && u.Password != "" && strings.Contains(err.Error(), u.Password) {
				t.Error("the error shows the password")
			}
		})
	}
	u := session.NewUser{Email: "ana@example.com", Password: strings.Repeat("ñ語", 32)} // 64 characters
	if _, err := r.AddUser(t.Context(), u); err != nil {
		t.Errorf("64 Unicode characters: %v", err)
	}
}

func TestDemoAccountsGetADemoSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if _, err := r.AddUser(t.Context(), session.NewUser{Email: "demo@example.com", Password: password, Demo: true}); err != nil {
		t.Fatal(err)
	}
	_, err := r.Add(t.Context(), User{Email: "endless@example.com", Demo: &DemoGrant{WorkspaceType: "windows"}}, password)
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.SignIn(t.Context(), "demo@example.com", password, "")
	if err != nil {
		t.Fatal(err)
	}
	first, _ := id.Claims["neosc:demo_session_id"].(string)
	if !regexp.MustCompile(`^demo-1772705730-[0-9a-f]{16}$`).MatchString(first) {
		t.Errorf("demo session id %q", first)
	}
	if id.Claims["neosc:workspace_type"] != "linux" || id.Claims["neosc:demo_expires_at"] != base.Add(30*time.Minute).Format(time.RFC3339) ||
		id.Claims["neosc:max_duration"] == nil {
		t.Errorf("claims %v", id.Claims)
	}
	if id, err = r.SignIn(t.Context(), "demo@example.com", password, ""); err != nil || id.Claims["neosc:demo_session_id"] == first {
		t.Errorf("the second sign-in has the same demo session (error %v)", err)
	}
	id, err = r.SignIn(t.Context(), "endless@example.com", password, "")
	if err != nil {
		t.Fatal(err)
	}
	if id.Claims["neosc:workspace_type"] != "windows" || id.Claims["neosc:demo_expires_at"] != nil || id.Claims["neosc:max_duration"] != nil {
		t.Errorf("claims %v", id.Claims)
	}
	_, err = r.Add(t.Context(), User{Email: "x@example.com", Demo: &DemoGrant{WorkspaceType: "a", Seconds: -1}}, password)
	wantErr(t, err, session.ErrBadUser)
}

func TestOldCostsAreRenewedAtSignIn(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	old := r.add(t, "ana@example.com")
	r.hasher.params.Passes = 2
	_, err := r.SignIn(t.Context(), "ana@example.com", "wrong password", "")
	wantErr(t, err, session.ErrCredentials)
	if u, err := r.Get(t.Context(), "ana@example.com"); err != nil || u.PasswordHash != old.PasswordHash {
		t.Errorf("a wrong password changed the hash (error %v)", err)
	}
	for range 2 {
		if _, err := r.SignIn(t.Context(), "ana@example.com", password, ""); err != nil {
			t.Fatal(err)
		}
		u, err := r.Get(t.Context(), "ana@example.com")
		if err != nil || !strings.HasPrefix(u.PasswordHash, "$argon2id$v=19$m=8,t=2,p=1$") {
			t.Errorf("hash %.30s, error %v; want the new costs", u.PasswordHash, err)
		}
	}
}

func TestAccountThatGoesWhileItsPasswordIsHashedDoesNotSignIn(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(*rig) error{
		"Removed":  func(r *rig) error { _, err := r.RemoveUser(t.Context(), "ana@example.com"); return err },
		"Disabled": func(r *rig) error { _, err := r.SetDisabled(t.Context(), "ana@example.com", true); return err },
		"NewPassword": func(r *rig) error {
			_, err := r.exec(t.Context(), `UPDATE users SET password_hash = ?`, hashed{params: cheap()}.String())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.add(t, "ana@example.com")
			compute := r.hasher.compute
			var taken atomic.Bool
			r.hasher.compute = func(password, salt []byte, p Params) []byte {
				if !taken.Swap(true) {
					if err := take(r); err != nil {
						t.Error(err)
					}
				}
				return compute(password, salt, p)
			}
			_, err := r.SignIn(t.Context(), "ana@example.com", password, "")
			wantErr(t, err, session.ErrCredentials)
		})
	}
}

func TestRolesTakenWhileHashingAreNotGiven(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.add(t, "ana@example.com")
	compute := r.hasher.compute
	r.hasher.compute = func(password, salt []byte, p Params) []byte {
		if _, err := r.SetRoles(t.Context(), "ana@example.com", []string{"none"}); err != nil {
			t.Error(err)
		}
		return compute(password, salt, p)
	}
	id, err := r.SignIn(t.Context(), "ana@example.com", password, "")
	if err != nil || strings.Join(id.Roles, " ") != "none" {
		t.Errorf("roles %v, error %v", id.Roles, err)
	}
}

func TestClosedDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"SignIn":    func() error { _, err := r.SignIn(t.Context(), "ana@example.com", password, ""); return err },
		"PageUsers": func() error { _, err := r.PageUsers(t.Context(), session.UserQuery{}); return err },
		"AddUser": func() error {
			_, err := r.AddUser(t.Context(), session.NewUser{Email: "a@b.c", Password: password})
			return err
		},
		"SetRoles":   func() error { _, err := r.SetRoles(t.Context(), "ana@example.com", nil); return err },
		"RemoveUser": func() error { _, err := r.RemoveUser(t.Context(), "ana@example.com"); return err },
	} {
		if err := call(); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestNewSaysWhichOptionIsWrong(t *testing.T) {
	t.Parallel()
	good := newRig(t, nil).o
	for name, spoil := range map[string]func(*Options){
		"DB":       func(o *Options) { o.DB = nil },
		"Budget":   func(o *Options) { o.Budget = nil },
		"Hashes":   func(o *Options) { o.HashesAtOnce = -1 },
		"argon2id": func(o *Options) { o.Params = Params{MemoryKiB: 1 << 30, Passes: 1, Threads: 1} },
		"guess":    func(o *Options) { o.PerAccount = Guesses{Burst: 1} },
		"demo":     func(o *Options) { o.DemoGrant = DemoGrant{Seconds: 1} },
	} {
		o := good
		spoil(&o)
		if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that names %q", err, name)
		}
	}
	if _, err := New(t.Context(), good); err != nil { // the schema is there already
		t.Error(err)
	}
}
