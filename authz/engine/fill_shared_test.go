package engine

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
)

// What is kept of a route and a session must be what the request would have
// filled in by itself: the first time and the second it is read, then found.
func TestWhatIsKeptOfRoutesAndSessionsDecidesAlike(t *testing.T) {
	t.Parallel()
	policies := map[string]string{
		"Whole": `decision := {"allowed": true, "dynamic_metadata": {"a": input.session.claims, "b": input.route.policy, "c": input.session.groups}}`,
		"Large": `decision := {"allowed": count(input.session.roles) > 70, "reasons": [input.route.name]}`,
		"Nobody": `decision := {"allowed": input.session.user.email_verified, "headers": {"x-session-id": input.route.identity_headers.prefix}}
decision := {"allowed": false, "reasons": ["route"]} if not input.session.user
decision := false if {
	input.session.user
	not input.route.identity_headers
}`,
	}
	for name, rego := range cachePolicies {
		policies[name] = rego
	}
	for name, rego := range policies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := compiled(t, rego, cacheData())
			f, err := newFast(p)
			if err != nil {
				t.Fatal(err)
			}
			x := newRunner(f, 0, newFacts(f.machine.Rules()))
			g := newGenerator(f, rand.New(rand.NewPCG(2, uint64(len(name)))))
			for i := range 100 {
				r := g.request()
				if name == "Large" && r.Session != nil {
					for range 60 + i/4 {
						r.Session.Identity.Roles = append(r.Session.Identity.Roles, "role")
					}
				}
				want, wantErr := p.Decide(context.Background(), r)
				for n := range 4 {
					again := *r
					got, _, err := x.Decide(context.Background(), &again, 1)
					if o := compareDecisions(got, err, want, wantErr); o == disagreed {
						t.Fatalf("time %d: %+v, %v; want %+v, %v", n, got, err, want, wantErr)
					}
				}
			}
			nobody := &authz.Request{Time: time.Date(2026, 3, 4, 18, 0, 0, 0, time.UTC), Method: "GET", Path: "/", Host: "portal.example.com"}
			want, wantErr := p.Decide(context.Background(), nobody)
			for n := range 4 {
				if got, _, err := x.Decide(context.Background(), nobody, 1); compareDecisions(got, err, want, wantErr) == disagreed {
					t.Fatalf("without route and session, time %d: %+v, %v; want %+v, %v", n, got, err, want, wantErr)
				}
			}
		})
	}
}
