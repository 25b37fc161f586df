package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
)

// Backend is a server as far as the gates of one test use it.
type Backend interface {
	// Open opens another gate's store, which ends with t; far is by way of a
	// Proxy.
	Open(t testing.TB, far bool) FeedStore
}

// Feeds says how the feeds of a kind of store are tested.
type Feeds[B Backend] struct {
	// New returns a backend of the test's own.
	New func(t testing.TB) B
	// Harms cut or silence the feeds of the far gates.
	Harms map[string]func(*testing.T, B)
	// Outages end a backend's server; NewServer returns one whose server is not
	// shared.
	NewServer func(t testing.TB) B
	Outages   map[string]Outage[B]
}

// Outage is how a server goes away and comes back.
type Outage[B Backend] struct {
	Harm, Mend func(B) error
	// Forgets: it comes back without what it held.
	Forgets bool
}

// RunFeed runs the contract of session.Feed: what one gate ends, sessions by
// their records and access tokens by marks, is over on every other within
// session.FeedPromise, whatever becomes of the feed.
func RunFeed[B Backend](t *testing.T, f Feeds[B]) {
	t.Run("RevocationReachesOtherGatesInMilliseconds", func(t *testing.T) { inMilliseconds(t, several(t, f.New(t), 3)) })
	t.Run("WhatIsRevokedIsDeadWithinASecond", func(t *testing.T) {
		t.Parallel()
		f.withinASecond(t)
	})
	t.Run("GateThatLostTheServerServesCopiesForASecondAndRecovers", func(t *testing.T) {
		t.Parallel()
		b := f.NewServer(t)
		for name, o := range f.Outages {
			t.Run(name, func(t *testing.T) { outage(t, b, o) })
		}
	})
	for name, test := range map[string]func(*testing.T, []*Gate){
		"FillsThatRaceARevocationLose": fillsThatRace,
		"ChangedRolesReachOtherGates":  changedRoles,
		"AllEndBeforeTheirRecordsGo":   allEndBeforeTheirRecords,
		"FillsThatRaceTheEndOfAllLose": fillsThatRaceTheEndOfAll,
		"UseDropsNoCopies":             useDropsNothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, several(t, f.New(t), 2))
		})
	}
}

// several returns gates whose sessions use makes longer.
func several(t testing.TB, b Backend, n int) []*Gate {
	var stores []FeedStore
	for range n {
		stores = append(stores, b.Open(t, false))
	}
	return Gates(t, func(o *session.Options) { o.Idle = time.Hour }, stores...)
}

// credential is what lets somebody in, until it is revoked.
type credential struct {
	admits func(*Gate) bool
	// revoke ends it from a gate.
	revoke func(context.Context, *Gate) error
	at     time.Time // when it was revoked
}

func byRecord(t testing.TB, gs []*Gate) *credential {
	t.Helper()
	k, value := gs[0].SignIn(t, "ana")
	Warm(t, gs, value)
	return &credential{
		admits: func(g *Gate) bool { ok, _ := g.Admits(value); return ok },
		revoke: func(ctx context.Context, g *Gate) error { return g.Revoke(ctx, k) },
	}
}

// byUser is an access token that ends with all that its user has.
func byUser(t testing.TB, gs []*Gate) *credential {
	t.Helper()
	subject := rand.Text()
	c, _ := newToken(t, gs, subject)
	c.revoke = func(ctx context.Context, g *Gate) error {
		_, err := g.RevokeUser(ctx, g.provider.user(subject))
		return err
	}
	return c
}

// byKey is an access token that ends alone.
func byKey(t testing.TB, gs []*Gate) *credential {
	t.Helper()
	c, token := newToken(t, gs, rand.Text())
	c.revoke = func(ctx context.Context, g *Gate) error { return g.RevokeToken(ctx, bearer.Key(token)) }
	return c
}

func newToken(t testing.TB, gs []*Gate, subject string) (*credential, string) {
	t.Helper()
	token := gs[0].provider.token(t, subject)
	for _, g := range gs {
		Eventually(t, "a live token is let in", func() bool { ok, _ := g.AdmitsToken(token); return ok && g.Fresh() })
	}
	return &credential{admits: func(g *Gate) bool { ok, _ := g.AdmitsToken(token); return ok }}, token
}

// inMilliseconds ends credentials of each kind in turn, on each gate in turn.
func inMilliseconds(t *testing.T, gs []*Gate) {
	kinds := []func(testing.TB, []*Gate) *credential{byRecord, byUser, byRecord, byKey}
	var took []time.Duration
	for i := range 200 {
		c, g := kinds[i%len(kinds)](t, gs), gs[i%len(gs)]
		began := time.Now()
		Insist(t, func() error { return c.revoke(t.Context(), g) })
		for _, g := range gs {
			for c.admits(g) {
				if time.Since(began) > time.Second {
					t.Fatalf("round %d: admitted a second after it was revoked", i)
				}
				runtime.Gosched()
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("revoked on one of three gates, dead on all: p50 %v, p99 %v, max %v", took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// withinASecond harms the feeds just before one gate ends sessions and tokens,
// one by one or all at once, at another point between two pings.
func (f Feeds[B]) withinASecond(t *testing.T) {
	for name, harm := range f.Harms {
		for i, revoke := range []func(*testing.T, *Gate, []*credential){oneByOne, allAtOnce} {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				t.Parallel()
				b := f.New(t)
				gs := Gates(t, nil, b.Open(t, false), b.Open(t, true), b.Open(t, true))
				all := []*credential{byRecord(t, gs), byUser(t, gs), byKey(t, gs)}
				time.Sleep(time.Duration(i) * 130 * time.Millisecond)
				harm(t, b)
				revoke(t, gs[0], all)
				last := admittedUntil(gs[1:], all, 1300*time.Millisecond)
				t.Logf("last admitted %v after", last)
				if last > session.FeedPromise {
					t.Errorf("admitted %v after the revocation", last)
				}
			})
		}
	}
}

func oneByOne(t *testing.T, g *Gate, all []*credential) {
	for _, c := range all {
		Insist(t, func() error { return c.revoke(t.Context(), g) })
		c.at = time.Now()
	}
}

func allAtOnce(t *testing.T, g *Gate, all []*credential) {
	Insist(t, func() error { _, err := g.RevokeAll(t.Context()); return err })
	for _, c := range all {
		c.at = time.Now()
	}
}

// admittedUntil asks each gate about credentials without pause for a while and
// returns the age, since the revocation, of the last that was let in. Lookups
// count from their beginning.
func admittedUntil(gs []*Gate, all []*credential, watch time.Duration) time.Duration {
	last := make([]time.Duration, len(gs)*len(all))
	var wg sync.WaitGroup
	for i, g := range gs {
		for j, c := range all {
			wg.Go(func() {
				for age := time.Since(c.at); age <= watch; age = time.Since(c.at) {
					if c.admits(g) {
						last[i*len(all)+j] = age
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	wg.Wait()
	return slices.Max(last)
}
