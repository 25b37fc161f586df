package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/neosc/gate/authz/engine/machine"
)

// hidden are policies with blocks that no request finds by chance.
var hidden = map[string]string{
	"AChainOfConditions": `default decision := false
decision if {
	input.attributes.request.http.method == "PURGE"
	input.attributes.request.http.headers["x-tenant"] == "north"
	input.route.policy.mode == "strict"
	"auditor" in input.session.roles
	input.session.claims.region == "mx-7"
	input.session.user.email == "nora@kappa4.com"
	startswith(input.attributes.request.http.path, "/vault/")
}`,
	"Numbers": `default decision := false
decision if {
	input.session.claims.level >= 4071
	input.session.claims.level < 4072
	input.route.policy.limit == 17.25
	input.attributes.source.address.socketAddress.portValue == 4711
}`,
	"TwoPlacesAlike": `default decision := false
decision if {
	input.attributes.request.http.headers["x-tenant"] == input.session.claims.tenant
	input.parsed_path[1] == input.session.claims.owner
	input.session.claims.owner != input.session.claims.tenant
}`,
	"HalfAnHourOnASunday": `default decision := false
decision if {
	now := [time.now_ns(), "Asia/Kolkata"]
	time.weekday(now) == "Sunday"
	[hour, minute, _] := time.clock(now)
	hour == 3
	minute >= 30
}`,
	"ElseAndEvery": `decision := {"allowed": false, "reasons": ["closed"]} if {
	input.route.policy.closed == "yes"
} else := {"allowed": true, "reasons": ["all"]} if {
	count(input.session.roles) > 2
	every role in input.session.roles { startswith(role, "ops-") }
} else := {"allowed": true, "reasons": ["none"]} if {
	not input.session
	level(input.attributes.request.http.host) == "inner"
} else := {"allowed": false, "reasons": ["other"]}

level(host) := "inner" if endswith(host, ".internal")
level(host) := "outer" if not endswith(host, ".internal")`,
	"PartsOfData": `default decision := false
decision if {
	some rule in data.rules
	rule.method == input.attributes.request.http.method
	net.cidr_contains(rule.from, input.attributes.source.address.socketAddress.address)
	rule.kind == input.session.kind
	regex.match(rule.path, input.attributes.request.http.path)
}`,
}

func hiddenData() map[string]any {
	return map[string]any{"rules": []any{
		map[string]any{"method": "PUT", "from": "10.7.0.0/16", "kind": "service", "path": "^/in"},
		map[string]any{"method": "POST", "from": "192.0.2.0/24", "kind": "bearer", "path": "/out$"},
	}}
}

func TestTheTrialReachesEveryBlockTakenAndUndefined(t *testing.T) {
	t.Parallel()
	inputs, missed := 6000, 0
	if slow {
		inputs, missed = 600, 8 // a tenth of the search finds not all
	}
	for name, rego := range hidden {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := trialOf(t, compiled(t, rego, hiddenData()), inputs)
			if err := x.compareAll(context.Background(), false); err != nil {
				t.Fatal(err)
			}
			if r := x.settled.Reach; r.Outcomes < 4 || r.Reached < r.Outcomes-missed {
				t.Errorf("%d of %d outcomes, not %s", r.Reached, r.Outcomes, strings.Join(r.Missed, "; "))
			}
			if x.agreed < inputs {
				t.Errorf("%d agreed", x.agreed)
			}
		})
	}
}

// What cannot be reached is named.
func TestTheTrialNamesWhatItDidNotReach(t *testing.T) {
	t.Parallel()
	x := trialOf(t, compiled(t, `default decision := false
decision if {
	input.session.claims.x == "seven"
	is_number(input.session.claims.x)
}`, nil), 300)
	if err := x.compareAll(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	if r := x.settled.Reach; r.Reached != r.Outcomes-1 || len(r.Missed) != 1 || r.Missed[0] != "a.rego:4:1 neosc.authz.decision: never taken" {
		t.Errorf("%+v", r)
	}
}

// The steps of one evaluation, by hand.
func TestOutcomesAreThoseOfTheBlocks(t *testing.T) {
	t.Parallel()
	f, err := newFast(compiled(t, `default decision := false
decision if input.route.name == "portal"`, nil))
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSteering(f)
	if err != nil {
		t.Fatal(err)
	}
	if f.machine.Steps() != 0 || len(f.machine.Outcomes()) != 0 {
		t.Error("the program that decides notes its steps")
	}
	said := func(route string) map[string]bool {
		r := fullRequest()
		own := *r.Route
		own.Name = route
		r.Route = &own
		s.follow(context.Background(), r)
		out := map[string]bool{}
		for _, o := range s.outcomes {
			if o.Rule == "data.neosc.authz.decision" && o.Row == 4 {
				out[map[bool]string{true: "taken", false: "undefined"}[o.Taken]] = o.Came(s.now)
			}
		}
		return out
	}
	if x := said("portal"); !x["taken"] || x["undefined"] {
		t.Errorf("where it holds: %v", x)
	}
	if x := said("other"); x["taken"] || !x["undefined"] {
		t.Errorf("where it does not: %v", x)
	}
	var _ []machine.Outcome = s.outcomes
}

// The build that notes where blocks end decides as the other does.
func TestTheProbeDecidesAlike(t *testing.T) {
	t.Parallel()
	f, err := newFast(shippedProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSteering(f)
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		r := s.draw()
		s.follow(context.Background(), r)
		a, b := f.machine.Frame(), s.probe.machine.Frame()
		x, errX := f.decide(context.Background(), a, r)
		y, errY := s.probe.decide(context.Background(), b, r)
		if o := compareDecisions(x.decision, errX, y.decision, errY); o != agreed {
			t.Fatalf("%v, %v and %v, %v", x.decision, errX, y.decision, errY)
		}
		a.Release()
		b.Release()
	}
}
