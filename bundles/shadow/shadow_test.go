package shadow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/shadow"
)

func TestSamePolicyAgreesAlways(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Millisecond)
	s.start(policy, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 1500
	for i := range n {
		s.ask(anyRequest(rng))
		if i%400 == 0 {
			s.report()
		}
	}
	r := s.report()
	if r.Compared+r.Dropped != n || r.Agreed != r.Compared || r.Compared == 0 || len(r.Groups) > 0 || r.Revision != r.LiveRevision {
		t.Errorf("report %+v", r)
	}
}

// TestWhatDiffersIsFoundByRule: one change a case, and what the report says of it.
func TestWhatDiffersIsFoundByRule(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old, new     string
		request      *authz.Request
		kind         string
		from, to     string
		rules        []string
		alsoDiffers  bool // for requests that the change is not about
		roles        []string
		signedInAsNo bool
	}{
		"Verdict":    {`{"GET", "HEAD"}`, `{"GET"}`, request("HEAD", "user"), "verdict", "allow (matched_policy)", "deny (role_required)", []string{"-neosc.authz.safe"}, false, []string{"user"}, false},
		"Opened":     {`{"GET", "HEAD"}`, `{"GET", "HEAD", "POST"}`, request("POST", "user"), "verdict", "deny (role_required)", "allow (matched_policy)", []string{"+neosc.authz.safe"}, false, []string{"user"}, false},
		"Reasons":    {`["role_required"]`, `["not_for_you"]`, request("GET", "guest"), "reasons", "deny (role_required)", "deny (not_for_you)", nil, false, []string{"guest"}, false},
		"OfNobody":   {`["role_required"]`, `["not_for_you"]`, request("GET"), "reasons", "deny (role_required)", "deny (not_for_you)", nil, false, nil, true},
		"Headers":    {`"x-session-id": input`, `"x-workspace-type": input`, request("GET", "admin"), "headers", "x-session-id", "x-workspace-type", nil, false, []string{"admin"}, false},
		"HeaderText": {`input.session.user.email}`, `upper(input.session.user.email)}`, request("GET", "admin"), "headers", "x-user-email (another value)", "x-user-email (another value)", nil, false, []string{"admin"}, false},
		"Limits":     {`"burst": 20`, `"burst": 5`, request("GET", "admin"), "limits", "user 10/s burst 20 cost 1", "user 10/s burst 5 cost 1", nil, false, []string{"admin"}, false},
		"LimitOfWho": {`"key": input.session.user.id`, `"key": "all"`, request("GET", "admin"), "limits", "user 10/s burst 20 cost 1", "user 10/s burst 20 cost 1, of another key", nil, false, []string{"admin"}, false},
		"Stream":     {"19:00:00", "18:30:00", request("GET", "admin"), "stream", "an end", "an earlier end", nil, false, []string{"admin"}, false},
		"Undefined":  {`safe if input`, `safe := 1 / count(input.session.groups) if input`, request("GET", "user"), "verdict", "allow (matched_policy)", "deny (role_required)", nil, false, []string{"user"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, time.Hour)
			s.start(changed(t, c.old, c.new), 1)
			for range 3 {
				s.ask(c.request)
			}
			r := s.report()
			if r.Compared != 3 || r.Disagreed != 3 || len(r.Groups) != 1 {
				t.Fatalf("report %+v", r)
			}
			g := r.Groups[0]
			if string(g.Kind) != c.kind || g.Route != "portal" || g.From != c.from || g.To != c.to || g.Count != 3 {
				t.Errorf("group %+v", g)
			}
			for _, rule := range c.rules {
				if !slices.ContainsFunc(g.Rules, func(x string) bool { return strings.HasPrefix(x, rule+" authz.rego:") }) {
					t.Errorf("rules %q lack %s", g.Rules, rule)
				}
			}
			e := g.Example
			if !e.Time.Equal(noon) || e.RequestID != "req-1" || e.Path != "/a?page=(masked)&token=(masked)" || e.SignedIn == c.signedInAsNo || !slices.Equal(e.Roles, c.roles) {
				t.Errorf("example %+v", e)
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"t0psecret", "c00kie", "b3arer", "ana@example.com", "page=2"} {
				if strings.Contains(string(text), secret) {
					t.Errorf("the report holds %q: %s", secret, text)
				}
			}
		})
	}
}

// TestLivePolicyThatFails: a failure is compared too.
func TestLivePolicyThatFails(t *testing.T) {
	t.Parallel()
	conflict := policy + "\ndecision := {\"allowed\": true, \"reasons\": [\"other\"]} if input.attributes.request.http.method == \"GET\"\n"
	s := newStand(t, time.Hour)
	s.live.Activate(compile(t, conflict))
	s.start(policy, 1)
	s.ask(request("GET", "admin"))
	s.ask(request("POST", "admin"))
	r := s.report()
	if r.Compared != 2 || r.Agreed != 1 || len(r.Groups) != 1 || r.Groups[0].From != "error" {
		t.Fatalf("report %+v", r)
	}
	s.start(conflict, 1)
	s.ask(request("GET", "admin"))
	if r := s.report(); r.Agreed != 1 || r.Disagreed != 0 {
		t.Errorf("two that fail alike: %+v", r)
	}
}

func TestWhatPolicyWasNotAskedIsNotCompared(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Hour)
	s.start(policy, 1)
	r := request("GET", "admin")
	s.Observe(r, &authz.Outcome{Verdict: authz.Denied, Status: 403, Reasons: []string{authz.ReasonOriginMismatch}}, 0)
	s.Observe(r, &authz.Outcome{Verdict: authz.Failed, Status: 503, Reasons: []string{authz.ReasonStoreUnavailable}, Err: errors.New("away")}, 0)
	if got := s.report(); got.Compared+got.Skipped+got.Dropped != 0 {
		t.Errorf("report %+v", got)
	}
}

// TestRequestsMayBeUsedAgain: the adapter reads the next request into the same
// memory at once.
func TestRequestsMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Hour)
	s.start(changed(t, `{"GET", "HEAD"}`, `{"GET"}`), 1)
	r := request("HEAD", "user")
	s.ask(r)
	for i := range r.Headers {
		r.Headers[i] = authz.Header{Name: "x", Value: "overwritten"}
	}
	r.Extensions["route"] = "overwritten"
	r.Reset()
	r.Method, r.Path, r.RouteName = "POST", "/overwritten", "overwritten"
	got := s.report()
	if len(got.Groups) != 1 || got.Groups[0].Example.Method != "HEAD" || got.Groups[0].Route != "portal" {
		t.Errorf("report %+v", got)
	}
}

func TestWhatFindsNoRoomIsCounted(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Hour)
	s.start(policy, 1)
	for range 512 + 10 {
		s.ask(request("GET", "admin"))
	}
	large := request("GET", "admin")
	large.Path = "/" + strings.Repeat("a", 17<<10)
	s.ask(large)
	many := request("GET", "admin")
	many.Headers = make(authz.Headers, 65)
	s.ask(many)
	r := s.report()
	if r.Compared != 512 || r.Agreed != 512 || r.Dropped != 10 || r.Skipped != 2 {
		t.Errorf("report %+v", r)
	}
	for i := range 2 { // and there is room again
		s.ask(request("GET", "admin"))
		if r := s.report(); r.Compared != uint64(513+i) {
			t.Errorf("report %+v", r)
		}
	}
	if got := s.results(); got["agreed"] != 514 || got["dropped"] != 10 || got["skipped"] != 2 {
		t.Errorf("metrics %v", got)
	}
}

func TestShareIsKept(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Hour)
	s.start(policy, 0.1)
	const n = 10_000
	for i := range n {
		s.ask(request("GET", "admin"))
		if i%1000 == 0 {
			s.report()
		}
	}
	// Ten standard deviations, of 30.
	if r := s.report(); r.Compared < 700 || r.Compared > 1300 {
		t.Errorf("%d of %d", r.Compared, n)
	}
	for _, share := range []float64{0, -1, 1.1} {
		if err := s.Start(shadow.Candidate{Share: share}); err == nil {
			t.Errorf("a share of %v is taken", share)
		}
	}
}

func TestAnotherLivePolicyBeginsAnew(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Hour)
	candidate := compile(t, changed(t, `{"GET", "HEAD"}`, `{"GET"}`))
	builds, broken := 0, false
	build := func() (*engine.Program, error) {
		if builds++; broken {
			return nil, errors.New("a switch that it does not have")
		}
		return candidate, nil
	}
	if err := s.Start(shadow.Candidate{Name: "candidate", Build: build, Share: 1}); err != nil {
		t.Fatal(err)
	}
	s.ask(request("HEAD", "user"))
	if r := s.report(); r.Disagreed != 1 {
		t.Fatalf("report %+v", r)
	}
	s.ask(request("HEAD", "user")) // by the policy before
	s.live.Activate(compile(t, policy+"\n# another\n"))
	s.ask(request("HEAD", "user"))
	r := s.report()
	if builds != 2 || r.LiveGeneration != 2 || r.Stale != 1 || r.Disagreed != 1 || r.Compared != 2 {
		t.Errorf("%d builds, report %+v", builds, r)
	}
	broken = true
	s.live.Activate(compile(t, policy))
	if r := s.report(); !strings.Contains(r.Trouble, "a switch that it does not have") || r.Compared != 0 {
		t.Errorf("report %+v", r)
	}
	if err := s.Start(shadow.Candidate{Name: "broken", Build: build, Share: 1}); err == nil {
		t.Error("a candidate that does not compile is taken")
	}
	if r := s.report(); r.Place != "candidate" {
		t.Errorf("the one before is gone: %+v", r)
	}
}

func TestDroppedIsGone(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Millisecond)
	if _, err := s.Report(t.Context()); !errors.Is(err, shadow.ErrNone) {
		t.Errorf("before: %v", err)
	}
	s.start(policy, 1)
	s.start(changed(t, `{"GET", "HEAD"}`, `{"GET"}`), 1)
	s.ask(request("HEAD", "user"))
	if r := s.report(); r.Disagreed != 1 {
		t.Errorf("the second one: %+v", r)
	}
	if err := s.Drop(); err != nil {
		t.Fatal(err)
	}
	s.ask(request("HEAD", "user"))
	if _, err := s.Report(t.Context()); !errors.Is(err, shadow.ErrNone) {
		t.Errorf("after: %v", err)
	}
	if err := s.Drop(); !errors.Is(err, shadow.ErrNone) {
		t.Errorf("twice: %v", err)
	}
}

// TestCandidateThatOPAHasToRun is slow, and is not let take all of a processor.
func TestCandidateThatOPAHasToRun(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Hour)
	s.start(policy, 1)
	s.SlowDown()
	for range 20 {
		s.ask(request("GET", "user"))
	}
	if r := s.report(); r.Compared != 16 {
		t.Errorf("report %+v", r)
	}
	if r := s.report(); r.Compared != 20 {
		t.Errorf("report %+v", r)
	}
}

// TestAllAtOnce is for the race detector: requests, activations, candidates and
// reports.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t, time.Millisecond)
	s.start(policy, 1)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			for range 300 {
				s.ask(anyRequest(rng))
			}
		})
	}
	wg.Go(func() {
		for i := range 6 {
			s.live.Activate(compile(t, policy+fmt.Sprintf("\n# %d\n", i)))
		}
	})
	wg.Go(func() {
		for range 6 {
			s.start(policy, 1)
			if _, err := s.Report(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if r := s.report(); r.Disagreed != 0 {
		t.Errorf("report %+v", r)
	}
}
