package shadow_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/shadow"
	"github.com/neosc/gate/session"
)

var noon = time.Date(2026, 3, 5, 18, 0, 0, 0, time.UTC)

const policy = `package neosc.authz

import rego.v1

default decision := {"allowed": false, "reasons": ["role_required"]}

decision := {"allowed": true, "reasons": ["matched_policy"], "headers": headers, "rate_limits": limits, "stream_until": "2026-03-05T19:00:00Z"} if open

open if "admin" in input.session.roles

open if {
	"user" in input.session.roles
	safe
}

safe if input.attributes.request.http.method in {"GET", "HEAD"}

headers := {"x-session-id": input.session.id, "x-user-email": input.session.user.email}

limits := [{"name": "user", "key": input.session.user.id, "requests_per_second": 10, "burst": 20}]
`

// programs are those that were compiled, which takes most of a test's time; they
// are immutable.
var programs sync.Map

func compile(t testing.TB, text string) *engine.Program {
	t.Helper()
	if p, ok := programs.Load(text); ok {
		return p.(*engine.Program)
	}
	p, err := engine.Compile(engine.Source{Modules: map[string]string{"authz.rego": text}, Timeout: 10 * time.Second}, engine.Edge{
		SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: []string{"accept", "cookie", "authorization"},
		Settable: []string{"x-session-id", "x-user-email", "x-workspace-type"},
	})
	if err != nil {
		t.Fatal(err)
	}
	programs.Store(text, p)
	return p
}

func changed(t testing.TB, old, new string) string {
	t.Helper()
	if !strings.Contains(policy, old) {
		t.Fatalf("the policy has no %q", old)
	}
	return strings.Replace(policy, old, new, 1)
}

// stand is a live engine and what watches a candidate beside it.
type stand struct {
	t    testing.TB
	live *engine.Engine
	reg  *prometheus.Registry
	*shadow.Shadow
}

// newStand has turns come every so often; an hour is only when a report is asked
// for.
func newStand(t testing.TB, every time.Duration) *stand {
	t.Helper()
	s := &stand{t: t, reg: prometheus.NewRegistry()}
	var err error
	if s.live, err = engine.New(engine.Options{}); err != nil {
		t.Fatal(err)
	}
	s.live.Activate(compile(t, policy))
	s.Shadow, err = shadow.New(shadow.Options{Live: s.live, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: s.reg, Every: every})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func (s *stand) start(text string, share float64) {
	s.t.Helper()
	p := compile(s.t, text)
	if err := s.Start(shadow.Candidate{Name: "candidate", Build: func() (*engine.Program, error) { return p, nil }, Share: share}); err != nil {
		s.t.Fatal(err)
	}
}

// ask has the live policy decide, as the decider does, and the shadow observe.
func (s *stand) ask(r *authz.Request) {
	o := &authz.Outcome{Verdict: authz.Failed, Status: 503, Reasons: []string{authz.ReasonPolicyError}, Session: r.Session}
	if d, err := s.live.Decide(context.Background(), r); err != nil {
		o.Err = err
	} else {
		o.Verdict, o.Decision, o.Reasons = authz.Allowed, d, d.Reasons
	}
	s.Observe(r, o, time.Millisecond)
}

func (s *stand) report() shadow.Report {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := s.Report(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func request(method string, roles ...string) *authz.Request {
	r := &authz.Request{
		Time: noon, ID: "req-1", Method: method, Scheme: "https", Host: "portal.kappa4.com", Path: "/a?token=t0psecret&page=2", Protocol: "HTTP/2",
		Headers:   authz.Headers{{Name: "accept", Value: "text/html"}, {Name: "cookie", Value: "_pomerium=c00kie"}, {Name: "authorization", Value: "Bearer b3arer"}},
		Route:     &authz.Route{Name: "portal", PassIdentityHeaders: true},
		RouteName: "portal", Extensions: map[string]string{"route": "portal"},
	}
	if len(roles) > 0 {
		r.Session = &session.Session{
			Kind: session.Browser, ExpiresAt: noon.Add(time.Hour), IdleExpiresAt: noon.Add(time.Hour),
			Identity: session.Identity{Provider: "local", UserID: "u1", Email: "ana@example.com", EmailVerified: true, Roles: roles, AuthenticatedAt: noon.Add(-time.Hour)},
		}
	}
	return r
}

func anyRequest(rng *rand.Rand) *authz.Request {
	roles := [][]string{nil, {"admin"}, {"user"}, {"guest"}, {"guest", "user"}}[rng.IntN(5)]
	return request([]string{"GET", "HEAD", "POST", "DELETE"}[rng.IntN(4)], roles...)
}

// results are the metric's values by label.
func (s *stand) results() map[string]float64 {
	s.t.Helper()
	all, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range all {
		if f.GetName() == "pomerium_policy_shadow_decisions_total" {
			for _, m := range f.GetMetric() {
				out[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return out
}
