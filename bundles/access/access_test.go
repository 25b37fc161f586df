package access_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/access"
)

// doors opens the route ops to one role at any hour, to others to read alone.
const doors = `package neosc.authz

default decision := {"allowed": false, "reasons": ["not_yours"]}

decision := {"allowed": true, "reasons": ["yours"]} if "KEEPER" in input.session.roles

decision := {"allowed": true, "reasons": ["read"]} if {
	"reader" in input.session.roles
	not "KEEPER" in input.session.roles
	input.attributes.request.http.method == "GET"
}
`

func judge(t *testing.T, keeper string) *engine.Judge {
	t.Helper()
	p, err := engine.Compile(engine.Source{
		Modules: map[string]string{"a.rego": strings.ReplaceAll(doors, "KEEPER", keeper)},
		Data:    map[string]any{"neosc": map[string]any{"roles": map[string]any{"keeper": true, "reader": true, "guest": true}}},
		Timeout: 30 * time.Second,
	}, engine.Edge{SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: []string{"accept"}})
	if err != nil {
		t.Fatal(err)
	}
	return engine.NewJudge(p)
}

var ops = map[string]*authz.Route{"ops": {Name: "ops"}}

func TestGridSaysWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	j := judge(t, "keeper")
	grid, err := access.Of(ops, j).Grid(t.Context(), j, []string{"ops"})
	if err != nil || len(grid.Routes) != 1 || grid.Asked == 0 || grid.Disagreed != 0 {
		t.Fatalf("%v %+v", err, grid)
	}
	seen := map[string]bool{}
	for _, paths := range grid.Routes[0].Paths {
		for _, a := range paths.Usual {
			for _, who := range []string{"keeper", "reader", "guest"} {
				if !strings.Contains(a.Who, who) {
					continue
				}
				seen[who] = true
				get, post := slices.Contains(a.Allowed, "GET"), slices.Contains(a.Allowed, "POST")
				if want := who == "keeper"; post != want {
					t.Errorf("%s may POST: %v", a.Who, post)
				}
				if want := who != "guest"; get != want {
					t.Errorf("%s may GET: %v", a.Who, get)
				}
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("the grid tells of %v alone: %+v", seen, grid.Routes[0].Paths)
	}
}

func TestDiffFindsWhoseAccessChanges(t *testing.T) {
	t.Parallel()
	old, same, now := judge(t, "keeper"), judge(t, "keeper"), judge(t, "guest")
	d, err := access.Of(ops, old, same).Diff(t.Context(), old, same, nil)
	if err != nil || d.Changed != 0 || len(d.Groups) != 0 || d.Asked == 0 {
		t.Errorf("of one policy: %v %+v", err, d)
	}
	d, err = access.Of(ops, old, now).Diff(t.Context(), old, now, nil)
	if err != nil || d.Changed == 0 {
		t.Fatalf("%v %+v", err, d)
	}
	opened, closed := false, false
	for _, g := range d.Groups {
		opened = opened || strings.Contains(g.Who, "guest") && strings.HasPrefix(g.From, "deny") && strings.HasPrefix(g.To, "allow")
		closed = closed || strings.Contains(g.Who, "keeper") && strings.HasPrefix(g.From, "allow") && strings.HasPrefix(g.To, "deny")
	}
	if !opened || !closed {
		t.Errorf("opened %v, closed %v: %+v", opened, closed, d.Groups)
	}
}
