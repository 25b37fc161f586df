package storetest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
	"github.com/neosc/gate/session/cookie"
)

// FeedStore is a store that several gates share: it tells of changes.
type FeedStore interface {
	session.Store
	session.Feed
	session.Marks
}

// Gate is one of several processes: a manager with a store of its own, and what
// verifies the access tokens of the provider that all of them trust.
type Gate struct {
	*session.Manager
	Store    FeedStore
	provider *provider
}

// Gates returns a gate for each store, all with one key ring and one provider,
// as soon as every feed is up. change, if not nil, may alter the options of the
// managers.
func Gates(t testing.TB, change func(*session.Options), stores ...FeedStore) []*Gate {
	t.Helper()
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cookie.New(ring, "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(t)
	var out []*Gate
	for _, st := range stores {
		o := session.Options{Store: st, Sealer: sealer, Logger: slog.New(slog.DiscardHandler)}
		if change != nil {
			change(&o)
		}
		if o.Marks, err = session.NewMarkCopies(session.MarkOptions{Marks: st, StaleGrace: o.StaleGrace}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(o.Marks.Close)
		v, err := bearer.New(bearer.Options{
			Providers: []bearer.Provider{{ID: "idp", Issuer: p.url, Audiences: []string{"api"}}}, Marks: o.Marks, Logger: o.Logger,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		o.Bearer = v
		g := &Gate{Store: st, provider: p}
		if g.Manager, err = session.NewManager(o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		out = append(out, g)
		Eventually(t, "the feed is up", g.Fresh)
	}
	return out
}

// Fresh reports whether the gate may serve copies now.
func (g *Gate) Fresh() bool { return time.Now().Before(g.Store.FreshUntil()) }

// SignIn begins a session and returns its key and its cookie's value.
func (g *Gate) SignIn(t testing.TB, user string) (session.Key, string) {
	t.Helper()
	id := session.Identity{Provider: "local", UserID: user, Email: user + "@example.com", Roles: []string{"user"}}
	var (
		s     *session.Session
		value string
	)
	Insist(t, func() (err error) {
		s, value, err = g.Create(context.Background(), id, session.Browser, 0)
		return err
	})
	return s.Key, value
}

// Admits reports whether the gate lets a cookie in now, and why not.
func (g *Gate) Admits(value string) (bool, error) {
	_, err := g.ByCookies(context.Background(), []string{value}, time.Now())
	return err == nil, err
}

// AdmitsToken is Admits for an access token.
func (g *Gate) AdmitsToken(token string) (bool, error) {
	_, err := g.ByBearer(context.Background(), token, time.Now())
	return err == nil, err
}

// Warm gives every gate a copy of the session of a cookie.
func Warm(t testing.TB, gs []*Gate, value string) {
	t.Helper()
	for _, g := range gs {
		Eventually(t, "a live session is let in", func() bool { ok, _ := g.Admits(value); return ok && g.Fresh() })
	}
}

// Begin begins a session on the first gate and gives every gate a copy, after
// all have heard of the creation: hearing of it later could drop the copy.
func Begin(t testing.TB, gs []*Gate) (session.Key, string) {
	t.Helper()
	k, value := gs[0].SignIn(t, "ana")
	for _, g := range gs {
		Fence(t, g.Store)
	}
	Warm(t, gs, value)
	return k, value
}

// Fence waits until all that was written before has been told to a feed.
func Fence(t testing.TB, f session.Feed) {
	t.Helper()
	now := time.Now()
	Eventually(t, "a later ping is answered", func() bool { return f.FreshUntil().Add(-session.FeedPromise).After(now) })
}

// Insist calls f up to ten times: on a busy machine a call may run out of its
// half second, and connections may have been cut.
func Insist(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for range 10 {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// Eventually waits until something holds.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("30 seconds on it does not hold that %s", what)
		}
	}
}

// WantErr checks which error one is.
func WantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that is %q", err, want)
	}
}
