package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/demo"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
)

const (
	demosPerMinute = 3000
	demosDue       = 750
	demosAsked     = 300
	// demosMade is how long the due ones are made before the first is due.
	demosMade = 15 * time.Second
	demosLive = 100_000
)

// demoParts measure how late the clean-up of demo sessions begins when 3,000 a
// minute end, with sessions, grants and trail on disk; how long a request takes
// until what it gave can be used; and what 100,000 live ones add to a decision.
func demoParts() []part {
	return []part{{"sqlite", measureDemosSQLite}, {"postgres", measureDemosPostgres}, {"decisions", onStand(measureAmongDemos)}}
}

func measureDemosSQLite(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sqlstore.OpenSQLite(ctx, filepath.Join(dir, "gate.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	st, err := sqlstore.New(ctx, db, sqlstore.SQLite())
	if err != nil {
		return err
	}
	file, trail, err := openTrail(ctx, filepath.Join(dir, "audit.db"))
	if err != nil {
		return err
	}
	defer func() { _, _ = trail.Close(), file.Close() }()
	return measureDemos(ctx, r, "sqlite", db, sqlstore.SQLite(), st, trail)
}

func measureDemosPostgres(ctx context.Context, r *report) error {
	server, err := pgtest.New()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	st, err := sqlstore.OpenPostgres(ctx, sqlstore.PostgresOptions{URL: server.URL, Logger: quietLog(), Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	trail, err := audit.New(ctx, audit.Options{DB: st.DB(), Dialect: sqlstore.Postgres(), Logger: quietLog()})
	if err != nil {
		return err
	}
	defer func() { _ = trail.Close() }()
	return measureDemos(ctx, r, "postgres", st.DB(), sqlstore.Postgres(), st, trail)
}

// firstTouch notes when the sessions of somebody whose demo session is over are
// looked at: that is the beginning of its clean-up.
type firstTouch struct {
	*session.Manager
	mu   sync.Mutex
	ends map[string]time.Time
	lags []time.Duration
	all  chan struct{}
}

func (f *firstTouch) Regrant(ctx context.Context, userID string) (int, error) {
	now := time.Now()
	f.mu.Lock()
	if end, ok := f.ends[userID]; ok && !now.Before(end) {
		delete(f.ends, userID)
		if f.lags = append(f.lags, now.Sub(end)); len(f.lags) == demosDue {
			close(f.all)
		}
	}
	f.mu.Unlock()
	return f.Manager.Regrant(ctx, userID)
}

func measureDemos(ctx context.Context, r *report, name string, db *sql.DB, d session.SQLDialect, st session.Store, trail session.Auditor) error {
	grants, err := demo.NewStore(ctx, db, d, nil)
	if err != nil {
		return err
	}
	sealer, err := newSealer()
	if err != nil {
		return err
	}
	sessions, err := session.NewManager(session.Options{Store: st, Sealer: sealer, Grants: grants, Audit: trail, Logger: quietLog()})
	if err != nil {
		return err
	}
	defer sessions.Close()
	touched := &firstTouch{Manager: sessions, ends: map[string]time.Time{}, all: make(chan struct{})}
	s, err := demo.New(demo.Options{Store: grants, Sessions: touched, Audit: trail, Kinds: []session.WorkspaceKind{{Name: "desktop", MaxDuration: time.Hour}}, Logger: quietLog()})
	if err != nil {
		return err
	}
	if err := measureDemoRequests(ctx, r, name, s, sessions); err != nil {
		return err
	}
	return measureDemoEnds(ctx, r, name, s, touched)
}

// ask has somebody with one session ask for a demo session, and returns how long
// it took until their session carried it.
func ask(ctx context.Context, s *demo.Service, sessions *session.Manager, user string, lasts time.Duration) (session.DemoGrant, time.Duration, error) {
	who, _, err := sessions.Create(ctx, session.Identity{Provider: "local", UserID: user, Email: user + "@kappa4.com", EmailVerified: true, Roles: []string{"user"}}, session.Browser, 0)
	if err != nil {
		return session.DemoGrant{}, 0, err
	}
	began := time.Now()
	g, err := s.Request(ctx, who, session.DemoRequest{WorkspaceType: "desktop", Duration: lasts})
	if err != nil {
		return g, 0, err
	}
	now, err := sessions.Find(ctx, who.Key)
	took := time.Since(began)
	if err == nil && now.Identity.Claims[session.ClaimDemoSession] != g.ID {
		err = errors.New("the session does not carry it")
	}
	return g, took, err
}

func measureDemoRequests(ctx context.Context, r *report, name string, s *demo.Service, sessions *session.Manager) error {
	var took []time.Duration
	for n := range demosAsked {
		_, t, err := ask(ctx, s, sessions, fmt.Sprint("asks", n), time.Hour)
		if err != nil {
			return err
		}
		took = append(took, t)
	}
	slices.Sort(took)
	r.figure(name+"_request_to_usable_p50", micros(took[len(took)/2])/1e3, "ms", 20)
	r.figure(name+"_request_to_usable_p99", micros(took[len(took)*99/100])/1e3, "ms", 20)
	return nil
}

func measureDemoEnds(ctx context.Context, r *report, name string, s *demo.Service, touched *firstTouch) error {
	first := time.Now().Add(demosMade)
	for n := range demosDue {
		user := fmt.Sprint("ends", n)
		lasts := time.Until(first.Add(time.Duration(n) * time.Minute / demosPerMinute))
		if lasts < time.Second {
			return fmt.Errorf("%d demo sessions were not made within %v", demosDue, demosMade)
		}
		g, _, err := ask(ctx, s, touched.Manager, user, lasts)
		if err != nil {
			return err
		}
		touched.mu.Lock()
		touched.ends[user] = g.ExpiresAt
		touched.mu.Unlock()
	}
	running, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { s.Run(running) })
	defer all.Wait()
	defer stop()
	select {
	case <-touched.all:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(2 * time.Minute):
		return errors.New("not all demo sessions were cleaned up")
	}
	touched.mu.Lock()
	defer touched.mu.Unlock()
	slices.Sort(touched.lags)
	r.figure(name+"_cleanup_lag_p50", micros(touched.lags[demosDue/2])/1e3, "ms", 50)
	r.figure(name+"_cleanup_lag_p99", micros(touched.lags[demosDue*99/100])/1e3, "ms", 1000)
	return nil
}

// measureAmongDemos compares a gate that has 100,000 live demo sessions with one
// that has none.
func measureAmongDemos(ctx context.Context, r *report, s *stand) error {
	const kinds = "demo: {kinds: [{name: desktop}]}\n"
	none, err := s.startGate(ctx, gateOptions{name: "none", more: kinds})
	if err != nil {
		return err
	}
	many, err := s.startGate(ctx, gateOptions{name: "many", more: kinds})
	if err != nil {
		return err
	}
	db, err := sqlstore.OpenSQLite(ctx, filepath.Join(many.dir, "gate.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO demo_grants SELECT printf('demo-1772700000-%016x', i), 'active', 'user' || i, 'user' || i || '@kappa4.com', '', '', 'Acme', 'org_' || (i % 100), '203.0.113.9', 'desktop',
			'demo-user-' || (1000000000 + i), '', '', '', 1800000000, ?2, ?2, ?3, 0, 0, 0, 1, '[]', ?3, 1, 0 FROM n`,
		demosLive, time.Now().UnixMicro(), time.Now().Add(time.Hour).UnixMicro())
	if err != nil {
		return err
	}
	m, err := interleave(blocks, []*contender{none, many}, func(c *contender) (*burst, error) {
		return c.client.run(ctx, c.calls, manyCallers, blockTime)
	})
	if err != nil {
		return err
	}
	m.costs(r, manyCallers)
	m.cost(r, manyCallers, many, none, 1.05)
	return nil
}
