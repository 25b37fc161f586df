package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/test/redistest"
)

const (
	replicas    = 3
	revocations = 3000
	// pgRevocations are fewer: each is two transactions on disk.
	pgRevocations = 500
	lookedUp      = 1024
)

// sessionParts measure a lookup from the local copy, what opening a cookie costs
// once and then no more, and how long a revocation takes to reach three gates on
// one Redis; the same over one Postgres; what an access token costs; what a
// sign-in at a provider costs; and what a million live sessions weigh in a gate.
func sessionParts() []part {
	return []part{
		{"redis", measureRedis}, {"postgres", measurePostgres}, {"bearer", measureBearer}, {"signins", measureSignIns}, {"million", measureMillion},
	}
}

// measureRedis is about lookups and revocations over three gates on one Redis.
func measureRedis(ctx context.Context, r *report) error {
	server, err := redistest.Socket()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	gates, err := openGates(ctx, func() (fed, error) { return redisstore.Open(redisstore.Options{URL: server.URL, Logger: quietLog()}) })
	if err != nil {
		return err
	}
	defer gates.close()
	if err := measureLookup(ctx, r, gates); err != nil {
		return err
	}
	return measureRevocation(ctx, r, gates, "revocation", revocations)
}

// measurePostgres is about revocations over three gates on one Postgres, that
// writes as it does in production.
func measurePostgres(ctx context.Context, r *report) error {
	server, err := pgtest.New()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	gates, err := openGates(ctx, func() (fed, error) {
		return sqlstore.OpenPostgres(ctx, sqlstore.PostgresOptions{URL: server.URL, Logger: quietLog()})
	})
	if err != nil {
		return err
	}
	defer gates.close()
	return measureRevocation(ctx, r, gates, "postgres_revocation", pgRevocations)
}

// fed is a store that tells of what other gates change.
type fed interface {
	session.Store
	session.Marks
	FreshUntil() time.Time
	Close() error
}

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// fedStore is a store on a Redis of its own, once it is told of changes.
func fedStore(ctx context.Context) (fed, func(), error) {
	server, err := redistest.Socket()
	if err != nil {
		return nil, nil, err
	}
	g, err := openGates(ctx, func() (fed, error) { return redisstore.Open(redisstore.Options{URL: server.URL, Logger: quietLog()}) })
	if err != nil {
		_ = server.Close()
		return nil, nil, err
	}
	return g.stores[0], func() { g.close(); _ = server.Close() }, nil
}

// sessionGates are the managers of several gates over one server.
type sessionGates struct {
	sealer   *cookie.Sealer
	managers []*session.Manager
	stores   []fed
}

func openGates(ctx context.Context, open func() (fed, error)) (*sessionGates, error) {
	g := &sessionGates{}
	var err error
	if g.sealer, err = newSealer(); err != nil {
		return nil, err
	}
	for range replicas {
		st, err := open()
		if err != nil {
			g.close()
			return nil, err
		}
		g.stores = append(g.stores, st)
		m, err := session.NewManager(session.Options{Store: st, Sealer: g.sealer, Logger: quietLog()})
		if err != nil {
			g.close()
			return nil, err
		}
		g.managers = append(g.managers, m)
	}
	for _, st := range g.stores {
		for st.FreshUntil().IsZero() {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
	}
	return g, nil
}

func newSealer() (*cookie.Sealer, error) {
	ring, err := cookie.NewRing()
	if err != nil {
		return nil, err
	}
	return cookie.New(ring, "_pomerium", "session")
}

func (g *sessionGates) close() {
	for _, m := range g.managers {
		m.Close()
	}
	for _, st := range g.stores {
		_ = st.Close()
	}
}

func (g *sessionGates) create(ctx context.Context, n int) (session.Key, string, error) {
	id := session.Identity{Provider: "local", UserID: fmt.Sprint("user", n), Email: email(n), Roles: []string{"user"}, Claims: manyClaims(n)}
	s, value, err := g.managers[0].Create(ctx, id, session.Browser, 0)
	if err != nil {
		return session.Key{}, "", err
	}
	return s.Key, value, nil
}

// measureLookup is about ByCookies: value → opened cookie → copy → still fresh
// by the feed, still live.
func measureLookup(ctx context.Context, r *report, g *sessionGates) error {
	values := make([][]string, lookedUp)
	for i := range values {
		_, v, err := g.create(ctx, i)
		if err != nil {
			return err
		}
		values[i] = []string{v}
	}
	m, now := g.managers[1], time.Now()
	lookup := func(i int) error {
		_, err := m.ByCookies(ctx, values[i%lookedUp], now)
		return err
	}
	for i := range values {
		if err := lookup(i); err != nil {
			return err
		}
	}
	known, err := bestOf(200, 1<<16, lookup)
	if err != nil {
		return err
	}
	first, err := bestOf(20, 1<<16, func(i int) error { _, err := g.sealer.Open(values[i%lookedUp][0]); return err })
	if err != nil {
		return err
	}
	i := 0
	allocs := testing.AllocsPerRun(lookedUp, func() { err = errors.Join(err, lookup(i)); i++ })
	r.figure("lookup", known, "ns", 150)
	r.figure("lookup_allocs", allocs, "allocs", 0.5)
	r.figure("cookie_open_first", first, "ns", 0)
	r.figure("cookie_open_first/lookup_known", first/known, "ratio", 0)
	return err
}

// bestOf returns the ns of CPU that one turn takes in the cheapest of several
// runs: what else the machine does can only make one dearer. (By the clock on
// the wall a machine with other work to do shows mostly that.)
func bestOf(n, turns int, turn func(i int) error) (float64, error) {
	best := math.Inf(1)
	for range n {
		before, err := ownCPU()
		if err != nil {
			return 0, err
		}
		for i := range turns {
			if err := turn(i); err != nil {
				return 0, err
			}
		}
		after, err := ownCPU()
		if err != nil {
			return 0, err
		}
		best = min(best, float64((after-before).Nanoseconds())/float64(turns))
	}
	return best, nil
}

// ownCPU is what this process has used so far.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// measureRevocation has every gate hold a copy, revokes on one of them and
// takes the time until all of them refuse, at lookups without pause.
func measureRevocation(ctx context.Context, r *report, g *sessionGates, name string, times int) error {
	var took []time.Duration
	for i := range times {
		k, v, err := g.create(ctx, i)
		if err != nil {
			return err
		}
		for _, m := range g.managers {
			if _, err := m.ByCookies(ctx, []string{v}, time.Now()); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := g.managers[i%replicas].Revoke(ctx, k); err != nil {
			return err
		}
		for _, m := range g.managers {
			if err := untilRefused(ctx, m, v, began); err != nil {
				return err
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
	r.figure(name+"_p50", ms(took[len(took)/2]), "ms", 5)
	r.figure(name+"_p99", ms(took[len(took)*99/100]), "ms", 50)
	r.figure(name+"_max", ms(took[len(took)-1]), "ms", 1000)
	return nil
}

func untilRefused(ctx context.Context, m *session.Manager, value string, began time.Time) error {
	for {
		_, err := m.ByCookies(ctx, []string{value}, time.Now())
		switch {
		case errors.Is(err, session.ErrInvalid):
			return nil
		case err != nil:
			return err
		case time.Since(began) > 10*time.Second:
			return errors.New("a revoked session is admitted after ten seconds")
		}
	}
}
