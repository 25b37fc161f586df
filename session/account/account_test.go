package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"database/sql"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
)

var base = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

const password = "correct horse battery"

// budget counts tokens without giving any back.
type budget struct {
	mu    sync.Mutex
	taken map[string]int
	err   error
}

func (b *budget) Take(_ context.Context, _ time.Time, name, key string, _ float64, burst int) (bool, time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return false, 0, b.err
	}
	k := name + " " + key
	if b.taken[k] >= burst {
		return false, 42 * time.Second, nil
	}
	b.taken[k]++
	return true, 0, nil
}

// rig is a store of cheap hashes, which it counts.
type rig struct {
	*Store
	budget *budget
	hashes atomic.Int64
}

func cheap() Params { return Params{MemoryKiB: 8, Passes: 1, Threads: 1} }

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "gate.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r := &rig{budget: &budget{taken: make(map[string]int)}}
	o := Options{DB: db, Dialect: sqlstore.SQLite(), Budget: r.budget, Clock: func() time.Time { return base }, Params: cheap(),
		HashesAtOnce: 4, HashesWaiting: 1000, Logger: slog.New(slog.DiscardHandler),
		PerAccount: Guesses{Burst: 1000, Every: time.Minute}, PerAddress: Guesses{Burst: 1000, Every: time.Minute}}
	if change != nil {
		change(&o)
	}
	if r.Store, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	compute := r.hasher.compute
	r.hasher.compute = func(password, salt []byte, p Params) []byte {
		r.hashes.Add(1)
		return compute(password, salt, p)
	}
	return r
}

func (r *rig) add(t testing.TB, email string) *User {
	t.Helper()
	u, err := r.Add(context.Background(), User{Email: email, Name: "Ana", Organization: "NeoSC", Roles: []string{"user"}, EmailVerified: true}, password)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that is %q", err, want)
	}
}

func TestSignInSaysWhoItIs(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	u := r.add(t, "Ana@Example.com")
	id, err := r.SignIn(t.Context(), " ANA@example.COM ", password, "203.0.113.9")
	if err != nil {
		t.Fatal(err)
	}
	if id.UserID != u.ID || id.Email != "ana@example.com" || id.Provider != "local" || !id.EmailVerified || id.Organization != "NeoSC" ||
		fmt.Sprint(id.Roles, id.AMR) != "[user] [pwd]" || !id.AuthenticatedAt.Equal(base) {
		t.Errorf("%+v", id)
	}
	if id.Claims["sub"] != u.ID || id.Claims["email"] != "ana@example.com" || id.Claims["name"] != "Ana" {
		t.Errorf("claims %v", id.Claims)
	}
	if _, there := id.Claims[claimDemoSession]; there {
		t.Error("an account without a demo got one")
	}
}

func TestWrongAnswersAreOneAnswerAtTheSameCost(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.add(t, "ana@example.com")
	r.add(t, "off@example.com")
	if _, err := r.SetDisabled(t.Context(), "off@example.com", true); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, email, password string }{
		{"WrongPassword", "ana@example.com", "wrong password"},
		{"UnknownAccount", "nobody@example.com", password},
		{"DisabledAccount", "off@example.com", password},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			before := r.hashes.Load()
			id, err := r.SignIn(t.Context(), c.email, c.password, "203.0.113.9")
			if err != session.ErrCredentials || id.UserID != "" {
				t.Errorf("error %v, want exactly ErrCredentials", err)
			}
			if n := r.hashes.Load() - before; n != 1 {
				t.Errorf("%d hashes computed, want 1", n)
			}
		})
	}
	if r.hasher.dummy.params != r.hasher.params {
		t.Error("the hash for unknown accounts has other costs")
	}
}

func TestOddInputIsRefusedBeforeHashing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.add(t, "ana@example.com")
	before := r.hashes.Load()
	huge := string(make([]byte, 1<<20))
	for _, c := range []struct{ email, password string }{
		{"ana@example.com", huge}, {"ana@example.com", "\xff"}, {"ana@example.com", ""},
		{"ana@evil.com@example.com", password}, {huge, password}, {"", password},
	} {
		_, err := r.SignIn(t.Context(), c.email, c.password, "203.0.113.9")
		wantErr(t, err, session.ErrCredentials)
	}
	if n := r.hashes.Load() - before; n != 0 {
		t.Errorf("%d hashes computed, want none", n)
	}
	if n := r.budget.taken["guess_address 203.0.113.9"]; n != 6 {
		t.Errorf("%d guesses charged to the address, want all 6", n)
	}
}

func TestGuessesAreCountedByAccountAndByAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.PerAccount.Burst, o.PerAddress.Burst = 3, 5 })
	r.add(t, "ana@example.com")
	guess := func(email, addr string) error {
		_, err := r.SignIn(t.Context(), email, "wrong password", addr)
		return err
	}
	for i, spelling := range []string{"ana@example.com", "ANA@example.com", " Ana@Example.Com"} {
		wantErr(t, guess(spelling, fmt.Sprintf("203.0.113.%d", i)), session.ErrCredentials)
	}
	before := r.hashes.Load()
	var refused *session.TooManyGuessesError
	if err := guess("ana@example.com", "203.0.113.9"); !errors.As(err, &refused) || refused.RetryAfter != 42*time.Second {
		t.Errorf("fourth guess at an account: error %v", err)
	}
	if _, err := r.SignIn(t.Context(), "ana@example.com", password, "203.0.113.9"); !errors.As(err, &refused) {
		t.Errorf("the right password among too many guesses: error %v", err)
	}
	if r.hashes.Load() != before {
		t.Error("a refused guess was hashed all the same")
	}
	// Unknown accounts have budgets like known ones.
	for range 3 {
		wantErr(t, guess("nobody@example.com", "198.51.100.1"), session.ErrCredentials)
	}
	if err := guess("nobody@example.com", "198.51.100.2"); !errors.As(err, &refused) {
		t.Errorf("fourth guess at an unknown account: error %v", err)
	}
	// One address, many accounts.
	for i := range 5 {
		wantErr(t, guess(fmt.Sprintf("u%d@example.com", i), "192.0.2.7"), session.ErrCredentials)
	}
	if err := guess("ana2@example.com", "192.0.2.7"); !errors.As(err, &refused) {
		t.Errorf("sixth guess from an address: error %v", err)
	}
	if r.budget.taken["guess_account ana2@example.com"] != 0 {
		t.Error("an address without guesses left used up an account's")
	}
}

func TestParallelGuessesShareOneBudget(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.PerAccount.Burst = 10 })
	r.add(t, "ana@example.com")
	var looked, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			_, err := r.SignIn(t.Context(), "ana@example.com", "wrong password", fmt.Sprintf("203.0.113.%d", i))
			var tooMany *session.TooManyGuessesError
			switch {
			case errors.Is(err, session.ErrCredentials):
				looked.Add(1)
			case errors.As(err, &tooMany):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if looked.Load() != 10 || refused.Load() != 190 {
		t.Errorf("%d guesses looked at, %d refused; want 10 and 190", looked.Load(), refused.Load())
	}
}

func TestBudgetsThatCannotBeAskedRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.add(t, "ana@example.com")
	r.budget.err = errors.New("limiter away")
	before := r.hashes.Load()
	_, err := r.SignIn(t.Context(), "ana@example.com", password, "203.0.113.9")
	wantErr(t, err, session.ErrUnavailable)
	if r.hashes.Load() != before {
		t.Error("it was hashed all the same")
	}
}

func TestTooManyHashesAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.HashesAtOnce, o.HashesWaiting = 2, 3 })
	r.add(t, "ana@example.com")
	goOn, begun := make(chan struct{}), make(chan struct{}, 10)
	var atOnce, most atomic.Int64
	compute := r.hasher.compute
	r.hasher.compute = func(password, salt []byte, p Params) []byte {
		if n := atOnce.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer atOnce.Add(-1)
		begun <- struct{}{}
		<-goOn
		return compute(password, salt, p)
	}
	results := make(chan error, 100)
	for range 100 {
		go func() {
			_, err := r.SignIn(context.Background(), "ana@example.com", password, "203.0.113.9")
			results <- err
		}()
	}
	for range 95 { // all but those with a place
		wantErr(t, <-results, session.ErrBusy)
	}
	<-begun
	<-begun
	close(goOn)
	for range 5 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d hashes at once, want 2", most.Load())
	}
}

func TestAWaitingSignInGivesUpWithItsCaller(t *testing.T) {
	t.Parallel()
	h := newHasher(cheap(), 1, 1)
	leave, err := h.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = h.enter(ctx)
	wantErr(t, err, session.ErrUnavailable)
	leave()
	if leave, err = h.enter(t.Context()); err != nil {
		t.Fatalf("a place was lost: %v", err)
	}
	leave()
	if len(h.places) != 0 || len(h.running) != 0 {
		t.Error("places are still taken")
	}
}
