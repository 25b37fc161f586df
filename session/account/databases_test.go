package account

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

// onPostgres has a rig keep its accounts in a Postgres of its own, beside
// sessions as the gate does.
func onPostgres(t testing.TB) (*pgtest.Server, func(*Options)) {
	t.Helper()
	s, err := pgtest.New("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	st, err := sqlstore.OpenPostgres(context.Background(), sqlstore.PostgresOptions{URL: s.URL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return s, func(o *Options) { o.DB, o.Dialect = st.DB(), sqlstore.Postgres() }
}

func TestAccountsAreTheSameOnEveryDatabase(t *testing.T) {
	t.Parallel()
	_, postgres := onPostgres(t)
	for name, change := range map[string]func(*Options){"SQLite": nil, "Postgres": postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, change)
			aLife(t, r)
			people(t, r)
			manyFirstSignIns(t, r)
			if name == "Postgres" {
				manyAtOnce(t, r)
			}
			serviceLife(t, name, change)
			accountsOfBefore(t, change)
		})
	}
}

// manyAtOnce has gates start together on a database without accounts.
func manyAtOnce(t *testing.T, r *rig) {
	if _, err := r.db.Exec(`DROP TABLE users, people, organizations, links, outbox, ` + versionTable); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := New(t.Context(), r.o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.add(t, "ana@example.com")
}

// aLife is all that happens to accounts.
func aLife(t *testing.T, r *rig) {
	ctx := t.Context()
	if _, err := r.AddUser(ctx, session.NewUser{Email: "Bob@Example.com", Name: "Bob", Password: password, Demo: true}); err != nil {
		t.Fatal(err)
	}
	ana := r.add(t, "ana@example.com")
	_, err := r.AddUser(ctx, session.NewUser{Email: "ANA@example.com", Password: password})
	wantErr(t, err, session.ErrUserExists)
	r.add(t, "a-na@example.com")
	users, err := r.PageUsers(ctx, session.UserQuery{})
	var emails []string
	for _, u := range users.Users {
		emails = append(emails, u.Email)
	}
	// Bytewise, whatever the database's collation is.
	if err != nil || fmt.Sprint(emails) != "[a-na@example.com ana@example.com bob@example.com]" {
		t.Errorf("%v, error %v", emails, err)
	}
	got, err := r.Get(ctx, "ana@example.com")
	if err != nil || got.ID != ana.ID || !got.CreatedAt.Equal(base) || !got.EmailVerified || got.Disabled || got.Demo != nil || !slices.Equal(got.Roles, []string{"user"}) {
		t.Errorf("%+v, error %v", got, err)
	}
	if id, err := r.SignIn(ctx, "bob@example.com", password, "203.0.113.9"); err != nil || id.Claims[claimWorkspaceType] != "linux" {
		t.Errorf("claims %v, error %v", id.Claims, err)
	}
	if u, err := r.SetRoles(ctx, "ana@example.com", []string{"admin"}); err != nil || !slices.Equal(u.Roles, []string{"admin"}) {
		t.Errorf("%+v, error %v", u, err)
	}
	if _, err := r.SetPassword(ctx, "ana@example.com", password+"2"); err != nil {
		t.Error(err)
	}
	if id, err := r.SignIn(ctx, "ana@example.com", password+"2", "203.0.113.9"); err != nil || !slices.Equal(id.Roles, []string{"admin"}) {
		t.Errorf("%+v, error %v", id, err)
	}
	if _, err := r.SetDisabled(ctx, "ana@example.com", true); err != nil {
		t.Error(err)
	}
	_, err = r.SignIn(ctx, "ana@example.com", password+"2", "203.0.113.9")
	wantErr(t, err, session.ErrCredentials)
	if _, err := r.RemoveUser(ctx, "ana@example.com"); err != nil {
		t.Error(err)
	}
	_, err = r.RemoveUser(ctx, "ana@example.com")
	wantErr(t, err, session.ErrNoUser)
	oneOfMany(t, r)
}

// oneOfMany adds one account many times at once.
func oneOfMany(t *testing.T, r *rig) {
	var wg sync.WaitGroup
	won := make(chan bool, 8)
	for range 8 {
		wg.Go(func() {
			_, err := r.AddUser(t.Context(), session.NewUser{Email: "many@example.com", Password: password})
			if err != nil && !errors.Is(err, session.ErrUserExists) {
				t.Error(err)
			}
			won <- err == nil
		})
	}
	wg.Wait()
	close(won)
	n := 0
	for w := range won {
		if w {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of 8 were the first", n)
	}
}

func TestADatabaseThatAnswersNothingHoldsNoSignIn(t *testing.T) {
	t.Parallel()
	s, postgres := onPostgres(t)
	r := newRig(t, postgres)
	r.add(t, "ana@example.com")
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err := r.SignIn(t.Context(), "ana@example.com", password, "203.0.113.9")
	wantErr(t, err, session.ErrUnavailable)
	if took := time.Since(began); took > 6*callTimeout {
		t.Errorf("it took %v", took)
	}
	if strings.Contains(err.Error(), "postgres@") {
		t.Errorf("the error shows who connects where: %v", err)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; {
		if _, err = r.SignIn(t.Context(), "ana@example.com", password, "203.0.113.9"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// before returns the migrations up to one of them.
func before(t *testing.T, last string) fs.FS {
	t.Helper()
	old := fstest.MapFS{}
	err := fs.WalkDir(migrations, "migrations", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() > last {
			return err
		}
		data, err := fs.ReadFile(migrations, path)
		old[strings.TrimPrefix(path, "migrations/")] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return old
}

// accountsOfBefore has accounts that know no organizations get theirs.
func accountsOfBefore(t *testing.T, change func(*Options)) {
	r := newRig(t, func(o *Options) {
		if change != nil {
			change(o)
		}
		if change != nil { // the others' tables
			if _, err := o.DB.Exec(`DROP TABLE users, people, organizations, links, outbox, ` + versionTable); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.Dialect.Migrate(t.Context(), o.DB, before(t, "00003"), versionTable); err != nil {
			t.Fatal(err)
		}
		for i, organization := range []string{"", "Acme", "ACME", "Default Organization"} {
			_, err := o.DB.Exec(o.Dialect.Bind(`INSERT INTO users (id, email, name, organization, roles, password_hash, disabled, email_verified, demo_seconds, created_at, updated_at)
				VALUES (?, ?, '', ?, '[]', '', ?, ?, 0, 0, 0)`), fmt.Sprint("usr_", i), fmt.Sprint("u", i, "@example.com"), organization, false, true)
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	var got []string
	for i := range 4 {
		u, err := r.GetByID(t.Context(), fmt.Sprint("usr_", i))
		if err != nil || !u.MFA || (u.OrganizationID == session.DefaultOrganizationID) != (u.Organization == session.DefaultOrganization) {
			t.Fatalf("%+v, error %v", u, err)
		}
		got = append(got, strings.ToLower(u.Organization))
	}
	if want := []string{"default organization", "acme", "acme", "default organization"}; !slices.Equal(got, want) {
		t.Errorf("organizations %q, want %q", got, want)
	}
	// A gate of before goes on beside this one.
	_, err := r.db.Exec(r.o.Dialect.Bind(`INSERT INTO users (id, email, name, organization, roles, password_hash, disabled, email_verified, demo_seconds, created_at, updated_at)
		VALUES ('usr_old', 'old@example.com', '', 'Acme', '[]', '', ?, ?, 0, 0, 0)`), false, true)
	if err != nil {
		t.Error(err)
	}
	if u, err := r.Get(t.Context(), "old@example.com"); err != nil || u.OrganizationID != session.DefaultOrganizationID {
		t.Errorf("%+v, error %v", u, err)
	}
}
