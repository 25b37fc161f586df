package oidclogin

import (
	"log/slog"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/test/redistest"
)

// shared is a store that gates share.
type shared interface {
	session.Store
	session.Notes
	Close() error
}

// over is a gate of its own, with a store of its own, that refreshes.
func (r *rig) over(t *testing.T, st shared) *rig {
	t.Helper()
	c := *r
	var err error
	c.sessions, err = session.NewManager(session.Options{
		Store: st, Sealer: r.sealer, Clock: r.clock.Now, Logger: slog.New(slog.DiscardHandler),
		Due: func(s *session.Session, value string) { c.Refresh(s, value) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.sessions.Close)
	o := r.options
	o.Sessions, o.Notes = c.sessions, st
	if c.Logins, err = New(o); err != nil {
		t.Fatal(err)
	}
	return &c
}

// stormOver is a storm on three gates that meet in a server alone.
func stormOver(t *testing.T, open func() (shared, error)) {
	t.Helper()
	r := newRig(t, nil)
	r.clock.ns.Store(time.Now().UnixNano()) // servers end by their own clock what has ended
	now := r.clock.Now()
	r.idp.claims["iat"], r.idp.claims["exp"] = now.Unix(), now.Add(time.Hour).Unix()
	p := rotate(r.idp)
	var gates []*rig
	for range 3 {
		st, err := open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		gates = append(gates, r.over(t, st))
	}
	l, err := gates[0].signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	storm(t, gates, p, l)
}

func TestAStormOverRedisMakesOneRefresh(t *testing.T) {
	t.Parallel()
	server, err := redistest.Socket()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	stormOver(t, func() (shared, error) {
		return redisstore.Open(redisstore.Options{URL: server.URL, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	})
}

func TestAStormOverPostgresMakesOneRefresh(t *testing.T) {
	t.Parallel()
	server, err := pgtest.New("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	stormOver(t, func() (shared, error) {
		return sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresOptions{URL: server.URL, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	})
}
