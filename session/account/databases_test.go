package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
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
		})
	}
}

// manyAtOnce has gates start together on a database without accounts.
func manyAtOnce(t *testing.T, r *rig) {
	if _, err := r.db.Exec(`DROP TABLE users, people, organizations, links, ` + versionTable); err != nil {
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
	users, err := r.ListUsers(ctx, 0)
	var emails []string
	for _, u := range users {
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
	if took := time.Since(began); took > 2*callTimeout {
		t.Errorf("it took %v", took)
	}
	if strings.Contains(err.Error(), "postgres@") {
		t.Errorf("the error shows who connects where: %v", err)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		if _, err = r.SignIn(t.Context(), "ana@example.com", password, "203.0.113.9"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
