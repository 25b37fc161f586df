package mfa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

const (
	origin = "https://gate.kappa4.com"
	addr   = "203.0.113.9"
)

// base is the first second of a time step.
var base = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

var (
	nora  = session.FactorUser{ID: "usr_nora", Email: "nora@kappa4.com"}
	owner = session.ID{1}.Key()
)

// rig is a store with a clock to turn, and with budgets that are counted.
type rig struct {
	*Store
	mu    sync.Mutex
	now   time.Time
	ring  [][]byte
	spent *spent
}

// spent counts guesses, of which each bucket has as many.
type spent struct {
	mu      sync.Mutex
	charged map[string]int
	limit   int
}

func (r *spent) ChargeGuess(_ context.Context, email, clientAddr string) error {
	return r.take(email + " " + clientAddr)
}

func (r *spent) Take(_ context.Context, _ time.Time, name, key string, _ float64, burst int) (bool, time.Duration, error) {
	if name != "guess_factor" || burst != guessBurst {
		return false, 0, fmt.Errorf("bucket %s of %d", name, burst)
	}
	return r.take(name+" "+key) == nil, time.Minute, nil
}

func (r *spent) take(key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.charged[key] >= r.limit {
		return &session.TooManyGuessesError{RetryAfter: time.Minute}
	}
	r.charged[key]++
	return nil
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) turn(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func key(b byte) []byte { return []byte(strings.Repeat(string(rune('a'+b)), 32)) }

func sqlite(t testing.TB) (*sql.DB, session.SQLDialect) {
	t.Helper()
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, sqlstore.SQLite()
}

func postgres(t testing.TB) (*sql.DB, session.SQLDialect) {
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
	return st.DB(), sqlstore.Postgres()
}

func newRig(t testing.TB, open func(testing.TB) (*sql.DB, session.SQLDialect)) *rig {
	t.Helper()
	r := &rig{now: base, ring: [][]byte{key(0)}, spent: &spent{charged: map[string]int{}, limit: 1000}}
	db, dialect := open(t)
	r.Store = r.again(t, db, dialect)
	return r
}

// again is another gate on the same database.
func (r *rig) again(t testing.TB, db *sql.DB, dialect session.SQLDialect) *Store {
	t.Helper()
	notes := session.Notes(memstore.New())
	if r.Store != nil {
		notes = r.o.Notes
	}
	st, err := New(t.Context(), Options{
		DB: db, Dialect: dialect, Notes: notes, Keys: func() ([][]byte, error) { return r.ring, nil }, Guesses: r.spent, Budget: r.spent,
		Origin: origin, Name: "NeoSC Gate of kappa4.com", Clock: r.clock, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestSecondFactorsAreTheSameOnEveryDatabase runs what touches the database on
// both, each case on empty tables.
func TestSecondFactorsAreTheSameOnEveryDatabase(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) (*sql.DB, session.SQLDialect){"SQLite": sqlite, "Postgres": postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, dialect := open(t)
			for name, f := range map[string]func(*testing.T, *rig){
				"Apps": apps, "ACodeWorksOnceHoweverManySendIt": once, "RecoveryCodes": recovery, "TheKeyFollowsTheRing": ringTurns,
				"ADumpHoldsNoSecret": dumped, "Passkeys": aPasskeysLife, "ManyGatesStartAtOnce": manyAtOnce,
			} {
				t.Run(name, func(t *testing.T) {
					r := newRig(t, func(testing.TB) (*sql.DB, session.SQLDialect) { return db, dialect })
					for _, table := range []string{"mfa_key", "mfa_app", "mfa_recovery", "mfa_passkeys"} {
						if _, err := db.Exec(`DELETE FROM ` + table); err != nil {
							t.Fatal(err)
						}
					}
					f(t, r)
				})
			}
		})
	}
}

// manyAtOnce has gates start together, of which one makes the key.
func manyAtOnce(t *testing.T, r *rig) {
	var wg sync.WaitGroup
	gates := make([]*Store, 6)
	for i := range gates {
		gates[i] = r.again(t, r.db, r.o.Dialect)
		wg.Go(func() {
			if err := gates[i].Renew(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	secret := r.enrol(t, nora)
	for i, g := range gates {
		if err := g.CheckApp(t.Context(), nora, r.code(t, secret, 0), addr); err != nil {
			t.Errorf("gate %d: %v", i, err)
		}
		r.turn(time.Minute)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// code is what oathtool, another implementation, says that an app shows.
func (r *rig) code(t testing.TB, secret string, steps int) string {
	t.Helper()
	at := r.clock().Add(time.Duration(steps) * stepSeconds * time.Second)
	out, err := exec.CommandContext(t.Context(), "oathtool", "--totp", "--base32", "--now", at.Format("2006-01-02 15:04:05 UTC"), secret).Output()
	if err != nil {
		t.Fatalf("oathtool (bash test/install.sh brings it): %v", err)
	}
	return strings.TrimSpace(string(out))
}

// enrol sets up an app for u.
func (r *rig) enrol(t testing.TB, u session.FactorUser) (secret string) {
	t.Helper()
	a, err := r.NewApp(t.Context(), owner, u)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ConfirmApp(t.Context(), owner, u, r.code(t, a.Key, -1), addr); err != nil {
		t.Fatal(err)
	}
	return a.Key
}

func apps(t *testing.T, r *rig) {
	ctx := t.Context()
	a, err := r.NewApp(ctx, owner, nora)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.NewApp(ctx, owner, nora); err != nil || again != a {
		t.Errorf("another tab is told %v, error %v", again, err)
	}
	if other, err := r.NewApp(ctx, session.ID{2}.Key(), nora); err != nil || other.Key == a.Key {
		t.Errorf("another session is told the same key, error %v", err)
	}
	want := "otpauth://totp/NeoSC%20Gate%20of%20kappa4.com:nora@kappa4.com?algorithm=SHA1&digits=6&issuer=NeoSC%20Gate%20of%20kappa4.com&period=30&secret=" + a.Key
	if a.URI != want {
		t.Errorf("the app is told\n%s, want\n%s", a.URI, want)
	}
	wantErr(t, r.CheckApp(ctx, nora, r.code(t, a.Key, 0), addr), session.ErrFactor)
	wantErr(t, r.ConfirmApp(ctx, owner, nora, "123", addr), session.ErrFactor)
	if f, err := r.Factors(ctx, nora.ID); err != nil || f.Enrolled() {
		t.Errorf("before it is confirmed there is %+v, error %v", f, err)
	}
	if err := r.ConfirmApp(ctx, owner, nora, r.code(t, a.Key, 0), addr); err != nil {
		t.Fatal(err)
	}
	wantErr(t, r.ConfirmApp(ctx, owner, nora, r.code(t, a.Key, 1), addr), session.ErrNotFound)
	f, err := r.Factors(ctx, nora.ID)
	if err != nil || !f.Enrolled() || f.App == nil || !f.App.AddedAt.Equal(base) {
		t.Errorf("there is %+v, error %v", f, err)
	}
	// The code that confirmed it is spent.
	wantErr(t, r.CheckApp(ctx, nora, r.code(t, a.Key, 0), addr), session.ErrFactor)
	steps(t, r, a.Key)
	replaced(t, r, a.Key)
	if err := r.RemoveApp(ctx, nora.ID); err != nil {
		t.Error(err)
	}
	wantErr(t, r.RemoveApp(ctx, nora.ID), session.ErrNoFactor)
}

// steps tries the codes around now.
func steps(t *testing.T, r *rig, secret string) {
	for _, x := range []struct {
		off int
		ok  bool
	}{{-2, false}, {2, false}, {-1, false}, {1, true}, {1, false}, {0, false}} {
		// -1 and 0 are before the last one that was taken.
		if err := r.CheckApp(t.Context(), nora, r.code(t, secret, x.off), addr); (err == nil) != x.ok {
			t.Errorf("the code of step %+d: %v", x.off, err)
		}
	}
	r.turn(5 * time.Minute)
	shown := r.code(t, secret, 0)
	if err := r.CheckApp(t.Context(), nora, shown[:3]+" "+shown[3:], addr); err != nil {
		t.Errorf("in two groups: %v", err)
	}
	r.turn(5 * time.Minute)
	for _, bad := range []string{"", "abcdef", r.code(t, secret, 0) + "0", strings.Repeat("1", 1<<20), "\xff\xff\xff\xff\xff\xff", "-1"} {
		wantErr(t, r.CheckApp(t.Context(), nora, bad, addr), session.ErrFactor)
	}
}

func replaced(t *testing.T, r *rig, old string) {
	r.turn(time.Hour)
	fresh := r.enrol(t, nora)
	wantErr(t, r.CheckApp(t.Context(), nora, r.code(t, old, 0), addr), session.ErrFactor)
	if err := r.CheckApp(t.Context(), nora, r.code(t, fresh, 0), addr); err != nil {
		t.Error(err)
	}
}

func once(t *testing.T, r *rig) {
	secret := r.enrol(t, nora)
	code := r.code(t, secret, 0)
	if won := atOnce(func() error { return r.CheckApp(t.Context(), nora, code, addr) }); won != 1 {
		t.Errorf("%d of 16 got in by one code", won)
	}
	codes, err := r.NewRecoveryCodes(t.Context(), nora.ID)
	if err != nil {
		t.Fatal(err)
	}
	if won := atOnce(func() error { return r.CheckRecovery(t.Context(), nora, codes[0], addr) }); won != 1 {
		t.Errorf("%d of 16 got in by one recovery code", won)
	}
}

func atOnce(try func() error) (won int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 16 {
		wg.Go(func() {
			if try() == nil {
				mu.Lock()
				defer mu.Unlock()
				won++
			}
		})
	}
	wg.Wait()
	return won
}

func TestGuessesAreChargedToTheBudgets(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqlite)
	r.enrol(t, nora)
	r.spent.limit = 6 // one is spent on the enrolment
	failed, refused := 0, 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			check := r.CheckApp
			if i%2 == 1 {
				check = r.CheckRecovery
			}
			err := check(t.Context(), nora, "000000", addr)
			_, tooMany := errors.AsType[*session.TooManyGuessesError](err)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case tooMany:
				refused++
			case errors.Is(err, session.ErrFactor):
				failed++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if failed != 5 || refused != 195 {
		t.Errorf("%d guesses were looked at and %d refused, want 5 and 195", failed, refused)
	}
	n := 0.0
	for _, method := range []string{methodApp, methodRecovery} {
		var m dto.Metric
		if err := r.metrics.WithLabelValues(method, "wrong").Write(&m); err != nil {
			t.Fatal(err)
		}
		n += m.GetCounter().GetValue()
	}
	if n != 5 {
		t.Errorf("the metrics count %v wrong guesses", n)
	}
}

func recovery(t *testing.T, r *rig) {
	ctx := t.Context()
	first, err := r.NewRecoveryCodes(ctx, nora.ID)
	if err != nil || len(first) != 10 {
		t.Fatalf("%v, error %v", first, err)
	}
	if err := r.CheckRecovery(ctx, nora, strings.ToLower(strings.ReplaceAll(first[0], "-", " ")), addr); err != nil {
		t.Error(err)
	}
	if f, err := r.Factors(ctx, nora.ID); err != nil || f.Recovery != 9 || f.RecoveryMade != 10 || f.Enrolled() {
		t.Errorf("%+v, error %v", f, err)
	}
	wantErr(t, r.CheckRecovery(ctx, nora, first[0], addr), session.ErrFactor)
	wantErr(t, r.CheckRecovery(ctx, session.FactorUser{ID: "usr_other", Email: "other@kappa4.com"}, first[1], addr), session.ErrFactor)
	second, err := r.NewRecoveryCodes(ctx, nora.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, r.CheckRecovery(ctx, nora, first[1], addr), session.ErrFactor)
	if err := r.CheckRecovery(ctx, nora, second[9], addr); err != nil {
		t.Error(err)
	}
	if err := r.RemoveFactors(ctx, nora.ID); err != nil {
		t.Error(err)
	}
	wantErr(t, r.CheckRecovery(ctx, nora, second[8], addr), session.ErrFactor)
}
