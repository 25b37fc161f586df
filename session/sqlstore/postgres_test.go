package sqlstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/storetest"
)

func TestPostgresKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) session.Store {
		o := patient(schema(t))
		o.Clock = func() time.Time { return base }
		return openPostgres(t, o)
	})
}

func TestManyGatesMayStartAtOnce(t *testing.T) {
	t.Parallel()
	url := schema(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			st, err := sqlstore.OpenPostgres(t.Context(), patient(url))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := st.CountLive(t.Context(), base); err != nil {
				t.Error(err)
			}
			_ = st.Close()
		})
	}
	wg.Wait()
	db := admin(t, url)
	var versions, distinct int
	if err := db.QueryRow(`SELECT count(*), count(DISTINCT version_id) FROM session_schema`).Scan(&versions, &distinct); err != nil || versions != distinct {
		t.Errorf("%d rows of %d versions, error %v: a migration ran twice", versions, distinct, err)
	}
}

func TestAnOlderGateStartsOnANewerSchema(t *testing.T) {
	t.Parallel()
	url := schema(t)
	st := openPostgres(t, patient(url))
	if err := st.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	db := admin(t, url)
	do(t, db, `ALTER TABLE sessions ADD COLUMN later text`)
	do(t, db, `INSERT INTO session_schema (version_id, is_applied) VALUES (99, true)`)
	if _, err := openPostgres(t, patient(url)).Get(t.Context(), sample(1).Key); err != nil {
		t.Error(err)
	}
}

func TestSignInUnderWayDoesNotSurviveDeleteUser(t *testing.T) {
	t.Parallel()
	o := patient(schema(t))
	var now time.Time
	o.Clock = func() time.Time { return now }
	st := openPostgres(t, o)
	at := sample(1).CreatedAt
	if err := st.Create(t.Context(), sample(1)); err != nil {
		t.Fatal(err)
	}
	now = at.Add(time.Second)
	if keys, err := st.DeleteUser(t.Context(), "u"); err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, error %v", len(keys), err)
	}
	late := sample(2) // begun before the deletion, stored after it
	storetest.WantErr(t, st.Create(t.Context(), late), session.ErrConflict)
	late.CreatedAt = now
	if err := st.Create(t.Context(), late); err != nil {
		t.Errorf("a sign-in afterwards is refused: %v", err)
	}
	other := sample(3)
	other.Identity.UserID = "v"
	if err := st.Create(t.Context(), other); err != nil {
		t.Errorf("somebody else's sign-in is refused: %v", err)
	}
	if _, err := st.Sweep(t.Context(), now.Add(25*time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	if err := st.Create(t.Context(), sample(4)); err != nil {
		t.Errorf("a day later the end is still remembered: %v", err)
	}
}

func TestNoneOfManySignInsSurvivesDeleteUser(t *testing.T) {
	t.Parallel()
	o := patient(schema(t))
	o.Clock = func() time.Time { return base.Add(time.Hour) }
	st := openPostgres(t, o)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if i == 20 {
				if _, err := st.DeleteUser(t.Context(), "u"); err != nil {
					t.Error(err)
				}
				return
			}
			if err := st.Create(t.Context(), sample(i)); err != nil && !errors.Is(err, session.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n, err := st.CountLive(t.Context(), time.Time{}); n != 0 || err != nil {
		t.Errorf("%d are left, error %v", n, err)
	}
}

func TestOddUserIDsAreKeptAndFound(t *testing.T) {
	t.Parallel()
	st := openPostgres(t, patient(schema(t)))
	for i, id := range []string{"nul\x00", strings.Repeat("long", 3000), "sha256:x", "ünï", "' OR 1=1 --", strings.Repeat("x", 512)} {
		s := sample(i)
		s.Identity.UserID, s.Identity.Email = id, id+"@example.com"
		if err := st.Create(t.Context(), s); err != nil {
			t.Errorf("%.20q: %v", id, err)
			continue
		}
		if got, err := st.List(t.Context(), session.Query{UserID: id}); err != nil || len(got) != 1 || got[0].Identity.UserID != id {
			t.Errorf("%.20q: %d found, error %v", id, len(got), err)
		}
		if keys, err := st.DeleteUser(t.Context(), id); err != nil || len(keys) != 1 {
			t.Errorf("%.20q: %d deleted, error %v", id, len(keys), err)
		}
	}
}

func TestSweepsAndDeletionsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	url := schema(t)
	a, b := openPostgres(t, patient(url)), openPostgres(t, patient(url))
	const n = 1200 // three batches
	for i := range n {
		s := sample(i)
		s.IdleExpiresAt = base.Add(time.Duration(n-i) * time.Millisecond) // another order than by user
		if err := a.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	gone := 0
	count := func(n int, err error) {
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		gone += n
		mu.Unlock()
	}
	for _, st := range []*sqlstore.PostgresStore{a, b} {
		wg.Go(func() { count(st.Sweep(t.Context(), base.Add(time.Hour), nil)) })
	}
	wg.Go(func() {
		keys, err := a.DeleteUser(t.Context(), "u")
		count(len(keys), err)
	})
	wg.Wait()
	if gone != n {
		t.Errorf("%d records were removed, want each of %d once", gone, n)
	}
}

func TestPostgresClockSkewIsMeasured(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		o := patient(schema(t))
		o.Clock = func() time.Time { return time.Now().Add(-ahead) }
		st := openPostgres(t, o)
		got, err := st.ClockSkew(t.Context())
		if err != nil || (got-ahead).Abs() > 10*time.Second {
			t.Errorf("skew %v, error %v; want %v", got, err, ahead)
		}
		_ = st.Close()
	}
}

func TestDurabilityIsTurnedOn(t *testing.T) {
	t.Parallel()
	url := schema(t)
	for set, want := range map[string]string{"off": "on", "remote_apply": "remote_apply", "": "on"} {
		u := url
		if set != "" {
			u += "&synchronous_commit=" + set
		}
		st := openPostgres(t, patient(u))
		var got string
		if err := st.DB().QueryRowContext(t.Context(), `SHOW synchronous_commit`).Scan(&got); err != nil || got != want {
			t.Errorf("%q: synchronous_commit is %q, error %v; want %q", set, got, err, want)
		}
	}
}

func TestPostgresPasswordsAreNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "h!dden%secret"
	for _, url := range []string{
		"", "postgres://u:" + secret + "@host/db", "postgres://u:hidden@host:port/db", "http://u:hidden@host", "host=h password=hidden",
		"postgres://u:hidden@h/db?sslmode=odd", "postgres://u:hidden secret@h/a b", "postgres://u:hidden@h/d?sslrootcert=/no/such/file&sslmode=verify-full",
		"postgres://u:hidden@h/d?connect_timeout=hidden",
	} {
		err := sqlstore.CheckPostgresURL(url)
		if err == nil {
			t.Errorf("%q was taken", url)
			continue
		}
		if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "h!dden") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	for _, url := range []string{
		"postgres://gate:p%40ss@db.example:6432/gate?sslmode=verify-full&sslrootcert=system", "postgresql://gate@/gate?host=/run/postgresql", "postgres://a,b:5433/gate?sslmode=disable",
	} {
		if err := sqlstore.CheckPostgresURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestOpeningSaysWhyItDidNot(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:hidden@127.0.0.1:1/db?sslmode=disable":                           "refused",
		strings.Replace(common.URL, "/postgres?", "/nothere?", 1) + "&password=hidden": "does not exist",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := sqlstore.OpenPostgres(ctx, patient(url))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("error %v, want one that says %q and no password", err, want)
		}
	}
}

func BenchmarkPostgresGet(b *testing.B) { benchmarkGet(b, openPostgres(b, patient(schema(b)))) }

func BenchmarkPostgresCreate(b *testing.B) { benchmarkCreate(b, openPostgres(b, patient(schema(b)))) }
