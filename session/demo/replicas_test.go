package demo

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

var soak = flag.Bool("soak", false, "run the long form")

// What a replica is told: where the database is, and by how much its clock is off.
const replicaURL, replicaOff = "DEMO_REPLICA_URL", "DEMO_REPLICA_OFF"

// TestMain makes this binary a gate's work on demo grants where it is told so,
// for tests that kill gates.
func TestMain(m *testing.M) {
	if url := os.Getenv(replicaURL); url != "" {
		if err := replica(url, os.Getenv(replicaOff)); err != nil {
			fmt.Fprintln(os.Stderr, "replica:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func replica(url, off string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	by, err := time.ParseDuration(off)
	if err != nil {
		return err
	}
	g, err := openGate(ctx, url, by)
	if err != nil {
		return err
	}
	s, err := New(g.options())
	if err != nil {
		return err
	}
	s.Run(ctx)
	return g.close()
}

// gate is what one process has of a Postgres that several share.
type gate struct {
	st       *sqlstore.PostgresStore
	grants   *Store
	sessions *session.Manager
}

func openGate(ctx context.Context, url string, off time.Duration) (*gate, error) {
	quiet := slog.New(slog.DiscardHandler)
	clock := func() time.Time { return time.Now().Add(off) }
	st, err := sqlstore.OpenPostgres(ctx, sqlstore.PostgresOptions{URL: url, Logger: quiet, Clock: clock, Timeout: 10 * time.Second, Conns: 12})
	if err != nil {
		return nil, err
	}
	grants, err1 := NewStore(ctx, st.DB(), sqlstore.Postgres(), clock)
	ring, err2 := cookie.NewRing()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	sealer, err := cookie.New(ring, "_pomerium", "session")
	if err != nil {
		return nil, err
	}
	sessions, err := session.NewManager(session.Options{Store: st, Sealer: sealer, Grants: grants, Clock: clock, Logger: quiet})
	return &gate{st, grants, sessions}, err
}

func (g *gate) close() error {
	g.sessions.Close()
	return g.st.Close()
}

func (g *gate) options() Options {
	db := g.st.DB()
	return Options{
		Store: g.grants, Sessions: g.sessions, Audit: tableTrail{db}, Kinds: []session.WorkspaceKind{desktop}, Logger: slog.New(slog.DiscardHandler),
		Steps: []Step{
			{DemoStep: tableStep{db, "container"}, Timeout: 5 * time.Second, Retries: 20, Backoff: 20 * time.Millisecond},
			{DemoStep: tableStep{db, "peer"}, Timeout: 5 * time.Second, Retries: 20, Backoff: 20 * time.Millisecond},
		},
	}
}

// tableTrail and tableStep keep in the database what happened and what there is,
// by the database's clock, so that it is known whoever was killed.
type tableTrail struct{ db *sql.DB }

func (t tableTrail) Append(ctx context.Context, events ...session.Event) error {
	for _, e := range events {
		once := sql.NullString{String: e.Once, Valid: e.Once != ""}
		if _, err := t.db.ExecContext(ctx, `INSERT INTO trail (grant_id, action, once) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, e.Details["demo"], string(e.Action), once); err != nil {
			return err
		}
	}
	return nil
}

type tableStep struct {
	db   *sql.DB
	name string
}

func (s tableStep) Name() string { return s.name }

// do fails once in twenty times, before or after it did its work.
func (s tableStep) do(ctx context.Context, phase, query string, g session.DemoGrant) error {
	luck := rand.IntN(40)
	if luck == 0 {
		return errors.New("it failed before")
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO calls (grant_id, step, phase, at) VALUES ($1, $2, $3, clock_timestamp())`, g.ID, s.name, phase)
	if err == nil {
		_, err = s.db.ExecContext(ctx, query, g.ID, s.name)
	}
	if luck == 1 {
		err = errors.Join(err, errors.New("it failed after"))
	}
	return err
}

func (s tableStep) Start(ctx context.Context, g session.DemoGrant) error {
	return s.do(ctx, session.PhaseStart, `INSERT INTO things (grant_id, step) VALUES ($1, $2) ON CONFLICT DO NOTHING`, g)
}

func (s tableStep) End(ctx context.Context, g session.DemoGrant) error {
	return s.do(ctx, session.PhaseEnd, `DELETE FROM things WHERE grant_id = $1 AND step = $2`, g)
}

func (s tableStep) Owned(ctx context.Context) (out []session.DemoGrant, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT grant_id FROM things WHERE step = $1`, s.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var g session.DemoGrant
		if err := rows.Scan(&g.ID); err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

// fleet are replicas that are killed and come back.
type fleet struct {
	t    *testing.T
	url  string
	mu   sync.Mutex
	runs []*exec.Cmd
}

// offsOf are the clocks of replicas: right, an hour ahead, and an hour behind.
var offsOf = []string{"0s", "1h", "-1h"}

func (f *fleet) start(i int) {
	f.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), replicaURL+"="+f.url, replicaOff+"="+offsOf[i])
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs[i] = cmd
}

func (f *fleet) kill(i int) {
	f.mu.Lock()
	cmd := f.runs[i]
	f.mu.Unlock()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// TestSoakReplicasThatAreKilled has three gates on one Postgres, two of which
// have clocks that are off by an hour, work on many grants while one after the
// other is killed and one call in twenty fails: none is missed, none is taken
// away before its time, and nothing is left.
func TestSoakReplicasThatAreKilled(t *testing.T) {
	t.Parallel()
	grants, kills, window := 90, 6, 2*time.Second
	if *soak {
		grants, kills, window = 3000, 30, time.Minute
	}
	server, err := pgtest.New("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	g, err := openGate(t.Context(), server.URL, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.close() })
	db := g.st.DB()
	_, err = db.Exec(`CREATE TABLE trail (grant_id TEXT, action TEXT, once TEXT UNIQUE); CREATE TABLE things (grant_id TEXT, step TEXT, PRIMARY KEY (grant_id, step));
		CREATE TABLE calls (grant_id TEXT, step TEXT, phase TEXT, at TIMESTAMPTZ); CREATE INDEX ON calls (grant_id)`)
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, url: server.URL, runs: make([]*exec.Cmd, len(offsOf))}
	for i := range f.runs {
		f.start(i)
	}
	t.Cleanup(func() {
		for i := range f.runs {
			f.kill(i)
		}
	})
	var killing sync.WaitGroup
	killing.Go(func() {
		for n := range kills {
			time.Sleep(window / time.Duration(kills))
			f.kill(n % len(offsOf))
			f.start(n % len(offsOf))
		}
	})
	askForAll(t, g, grants, window)
	killing.Wait()
	awaitNone(t, db, grants)
	judge(t, g, grants)
}

// askForAll has many people ask, each in a session, for grants that end within
// a window.
func askForAll(t *testing.T, g *gate, grants int, window time.Duration) {
	s, err := New(g.options())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	next := make(chan int)
	for range 8 {
		all.Go(func() {
			for n := range next {
				user := fmt.Sprint("user", n)
				who, _, err := g.sessions.Create(context.Background(), session.Identity{UserID: user, Email: user + "@example.com", Roles: []string{"user"}}, session.Browser, 0)
				if err == nil {
					_, err = s.Request(context.Background(), who, session.DemoRequest{WorkspaceType: "desktop", Duration: time.Second + rand.N(window)})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range grants {
		next <- n
	}
	close(next)
	all.Wait()
}

func number(t *testing.T, db *sql.DB, query string, args ...any) (n float64) {
	t.Helper()
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitNone waits until nothing is left to do.
func awaitNone(t *testing.T, db *sql.DB, grants int) {
	t.Helper()
	patience := 90 * time.Second
	if *soak {
		patience = 5 * time.Minute
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if number(t, db, `SELECT count(*) FROM demo_grants WHERE cleaned_at > 0`) == float64(grants) {
			return
		}
		if time.Now().After(end) {
			var states strings.Builder
			rows, err := db.Query(`SELECT status, count(*), min(due_at), max(tries) FROM demo_grants WHERE cleaned_at = 0 GROUP BY status`)
			for err == nil && rows.Next() {
				var status string
				var n, due, tries int64
				err = rows.Scan(&status, &n, &due, &tries)
				fmt.Fprintf(&states, " %s: %d, due %v, %d tries", status, n, instant(due), tries)
			}
			t.Fatalf("not all is gone:%s, error %v", states.String(), err)
		}
	}
}

// judge looks at what happened, by the database's clock alone.
func judge(t *testing.T, g *gate, grants int) {
	db := g.st.DB()
	for what, query := range map[string]string{
		"things were left behind":             `SELECT count(*) FROM things`,
		"did not run to their end":            `SELECT count(*) FROM demo_grants WHERE status <> 'expired' OR ended_at <> expires_at`,
		"were taken away before their time":   `SELECT count(*) FROM calls c JOIN demo_grants d ON d.id = c.grant_id WHERE c.phase = 'end' AND extract(epoch FROM c.at) * 1000000 < d.expires_at`,
		"were not taken away by both steps":   `SELECT count(*) FROM demo_grants d WHERE (SELECT count(DISTINCT step) FROM calls c WHERE c.grant_id = d.id AND c.phase = 'end') < 2`,
		"have no beginning in the trail":      `SELECT count(*) FROM demo_grants d WHERE NOT EXISTS (SELECT FROM trail WHERE grant_id = d.id AND action = 'demo_started')`,
		"have no end in the trail":            `SELECT count(*) FROM demo_grants d WHERE NOT EXISTS (SELECT FROM trail WHERE grant_id = d.id AND action = 'demo_expired')`,
		"have no clean-up in the trail":       `SELECT count(*) FROM demo_grants d WHERE NOT EXISTS (SELECT FROM trail WHERE grant_id = d.id AND action = 'demo_cleaned')`,
		"have two ends in the trail":          `SELECT count(*) FROM (SELECT FROM trail WHERE action IN ('demo_expired', 'demo_cleaned') GROUP BY grant_id, action HAVING count(*) > 1) AS x`,
		"made something after they had ended": `SELECT count(*) FROM calls c JOIN demo_grants d ON d.id = c.grant_id WHERE c.phase = 'start' AND extract(epoch FROM c.at) * 1000000 > d.expires_at`,
	} {
		if n := number(t, db, query); n != 0 {
			t.Errorf("%v of %d grants %s", n, grants, what)
		}
	}
	seen := 0
	for n := range grants {
		found, err := g.sessions.List(t.Context(), session.Query{UserID: fmt.Sprint("user", n)})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range found {
			seen++
			if len(s.Identity.Claims) != 0 || len(s.Identity.Roles) != 1 {
				t.Fatalf("%s still has %q and %v", s.Identity.UserID, s.Identity.Roles, s.Identity.Claims)
			}
		}
	}
	const lag = `SELECT percentile_cont($1::float8) WITHIN GROUP (ORDER BY late) FROM (SELECT min(extract(epoch FROM c.at)) - d.expires_at / 1000000.0 AS late
		FROM demo_grants d JOIN calls c ON c.grant_id = d.id AND c.phase = 'end' GROUP BY d.id, d.expires_at) AS x`
	worst := number(t, db, lag, 1)
	t.Logf("%d grants, %d sessions: clean-up began after %.0f ms (p50), %.0f ms (p99), %.0f ms (all)", grants, seen, 1000*number(t, db, lag, .5), 1000*number(t, db, lag, .99), 1000*worst)
	if *soak && worst > 5 {
		t.Errorf("clean-up began %.1f s after an end, more than 5", worst)
	}
}
