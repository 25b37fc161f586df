package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// TestAHitMakesLittleGarbage: none for who has been before, a copy of what has holes
// for who has not.
func TestAHitMakesLittleGarbage(t *testing.T) {
	if slow {
		return // the race detector allocates
	}
	c := newCrowd(t, shippedProgram(t), 64<<20)
	n := 0
	next := func() *authz.Request { n++; return shippedPerson(n) }
	c.ask(t, next())
	c.ask(t, next())
	var list []*authz.Request
	for range 202 {
		list = append(list, next())
	}
	i := 0
	if got := testing.AllocsPerRun(200, func() {
		if _, by, err := c.Decide(context.Background(), list[i], 1); by != Cached || err != nil {
			t.Fatal(i, by, err)
		}
		i++
	}); got > 20 {
		t.Errorf("%v allocations for somebody new", got)
	}
	if got := testing.AllocsPerRun(200, func() {
		if _, by, err := c.Decide(context.Background(), list[0], 1); by != Cached || err != nil {
			t.Fatal(by, err)
		}
	}); got > 0 {
		t.Errorf("%v allocations for somebody who has been before", got)
	}
}

// shippedPerson is somebody who may open the portal, where identity is passed on and
// requests are limited.
func shippedPerson(n int) *authz.Request {
	r := person(n)
	r.Time, r.Path = time.Date(2026, 3, 5, 18, 0, 0, 0, time.UTC), "/reports"
	r.Route = &authz.Route{Name: "portal", PassIdentityHeaders: true, Policy: map[string]any{"rate_limit": true}}
	r.Session.Kind = session.Browser
	r.Session.Identity.Roles = []string{"neosc"}
	return r
}

// TestTheShippedPolicySharesDecisions: of people of the same roles and groups the
// first two are decided on, then their address and their limit are their own too.
func TestTheShippedPolicySharesDecisions(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, shippedProgram(t), 1<<20)
	by := map[string]int{}
	for n := range people {
		r := shippedPerson(n)
		d, of := c.ask(t, r)
		by[of]++
		if !d.Allowed || d.Charges[0].Key != fmt.Sprint("id-", n) || !slices.Equal(headerOf(d, "x-pomerium-email"), []string{fmt.Sprintf("p%d@example.com", n)}) {
			t.Fatalf("person %d: %+v", n, d)
		}
	}
	if by[Machine] != 2 || by[Cached] != people-2 {
		t.Errorf("%v; holes are %q", by, c.open())
	}
	// Who has no verified address, or another role, is told otherwise.
	r := shippedPerson(1)
	r.Session.Identity.EmailVerified = false
	if d, _ := c.ask(t, r); len(headerOf(d, "x-pomerium-email")) > 0 {
		t.Errorf("an unverified address is passed on: %+v", d)
	}
	r = shippedPerson(2)
	r.Session.Identity.Roles = []string{"guest"}
	if d, _ := c.ask(t, r); d.Allowed {
		t.Errorf("a guest is let in: %+v", d)
	}
}

// BenchmarkRemembered is a decision of the shipped policy evaluated, found, and made
// of a blank for somebody new.
func BenchmarkRemembered(b *testing.B) {
	c := newCrowd(b, shippedProgram(b), 64<<20)
	var list []*authz.Request
	for n := range 4096 {
		list = append(list, shippedPerson(n))
	}
	run := func(name string, x *runner, who func(i int) *authz.Request, by string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, of, err := x.Decide(context.Background(), who(i), 1); err != nil || of != by {
					b.Fatal(of, err)
				}
			}
		})
	}
	for _, r := range list[:2] {
		c.ask(b, r)
	}
	run("Evaluated", c.plain, func(i int) *authz.Request { return list[i%len(list)] }, Machine)
	run("Known", c.runner, func(int) *authz.Request { return list[0] }, Cached)
	fills := newCrowd(b, shippedProgram(b), 1<<20) // too little for so many
	for _, r := range list[:2] {
		fills.ask(b, r)
	}
	run("New", fills.runner, func(i int) *authz.Request { return list[2+i%(len(list)-2)] }, Cached)
}
