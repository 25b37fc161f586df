package ppl_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/ppl"
	"github.com/neosc/gate/policies"
)

// table is the role table that stands beside the file in NeoSC's texts: the file
// itself asks of the workspace for a demo session alone.
var table = map[string][]string{"workspace.portal.kappa4.com": {"admin", "neosc", "demo-user"}}

// shipped is the policy of policies/, for routes as the import has them.
func shipped(t *testing.T, r *ppl.Result) *engine.Program {
	t.Helper()
	src, err := bundles.Load(policies.Files())
	if err != nil {
		t.Fatal(err)
	}
	_, _, f := set(t, r)
	src.Timeout = 20 * time.Second
	p, err := engine.Compile(src, edgeOf(f))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// requests are every route, method and set of roles, with and without a demo, now
// and at the edges of hours and of the demo, and strangers.
func requests(visit func(*authz.Request)) {
	end := time.Date(2026, 3, 4, 18, 30, 0, 0, time.UTC)
	instants := []time.Time{noon, end.Add(-1), end, end.Add(time.Hour)}
	for _, s := range []string{"2026-03-04T13:59:59Z", "2026-03-04T14:00:00Z", "2026-03-05T01:59:59Z", "2026-03-05T02:00:00Z", "2026-03-07T18:00:00Z", "2026-03-08T18:00:00Z"} {
		at, _ := time.Parse(time.RFC3339, s) // written above
		instants = append(instants, at)
	}
	roles := [][]string{nil, {"admin"}, {"neosc"}, {"user"}, {"demo-user"}, {"other"}, {"admin", "user"}, {"demo-user", "user"}, {"Admin"}, {"*"}}
	claims := []map[string]any{
		{},
		{"neosc:demo_session_id": "demo-1", "neosc:workspace_type": "linux"},
		{"neosc:demo_session_id": "demo-1", "neosc:demo_expires_at": end.Format(time.RFC3339)},
		{"neosc:demo_session_id": "", "neosc:demo_expires_at": float64(end.Unix())},
		{"neosc:demo_expires_at": "soon"},
		{"neosc:demo_session_id": []any{"demo-1"}},
		{"neosc:demo_session_id": "demo\r\n1"},
		{"roles": []any{"admin"}, "groups": []any{"admin"}},
	}
	for _, route := range []string{"portal", "admin", "workspace", "nowhere", "gate"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			for _, at := range instants {
				visit(ask(route, method, nil, at))
				for _, held := range roles {
					for i, c := range claims {
						who := &person{id: "u-7", email: "ana@kappa4.com", unverified: i%2 == 1, roles: held, claims: c}
						visit(ask(route, method, who, at))
					}
				}
			}
		}
	}
}

// asShipped gives a request the settings that the sample's routes have.
func asShipped(r *authz.Request) *authz.Request {
	r.Route.PassIdentityHeaders = r.RouteName == "portal" || r.RouteName == "admin"
	if r.RouteName == "portal" {
		r.Route.Policy = map[string]any{"business_hours": true, "rate_limit": true}
	}
	return r
}

func TestTheTextsOwnFileDecidesAsTheShippedPolicy(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Also = table
	r := imported(t, samples(t)["neosc"], o)
	ours, theirs := shipped(t, r), program(t, r)
	n, allowed, pick := 0, 0, rand.New(rand.NewPCG(1, 2))
	requests(func(q *authz.Request) {
		if pick.IntN(24) > 0 { // a thousand of them are enough
			return
		}
		n++
		asShipped(q)
		want, got := decide(t, ours, q), decide(t, theirs, q)
		what := fmt.Sprintf("%s %s %s %+v", q.RouteName, q.Method, q.Time.Format(time.RFC3339Nano), q.Session)
		if want.Allowed != got.Allowed {
			t.Fatalf("%s: shipped %v %v, imported %v %v", what, want.Allowed, want.Reasons, got.Allowed, got.Reasons)
		}
		if !want.Allowed {
			return
		}
		allowed++
		if !sameCharges(want.Charges, got.Charges) {
			t.Fatalf("%s: shipped %+v, imported %+v", what, want.Charges, got.Charges)
		}
		if w, g := headersOf(want), headersOf(got); !reflect.DeepEqual(w, g) {
			t.Fatalf("%s: shipped %v, imported %v", what, w, g)
		}
		if !want.StreamUntil.Equal(got.StreamUntil) {
			t.Fatalf("%s: streams end at %v, imported %v", what, want.StreamUntil, got.StreamUntil)
		}
	})
	if n < 900 || allowed < 100 {
		t.Errorf("%d requests, %d of them allowed, are too few", n, allowed)
	}
}

// Without the table just one thing differs, towards what the file says.
func TestWithoutTheTableADemoSessionIsEnough(t *testing.T) {
	t.Parallel()
	p := program(t, imported(t, samples(t)["neosc"], options(t)))
	demo := map[string]any{"neosc:demo_session_id": "demo-1"}
	for name, want := range map[string]bool{"workspace": true, "portal": true, "admin": false} {
		if d := decide(t, p, ask(name, "GET", &person{id: "u", roles: []string{"user"}, claims: demo}, noon)); d.Allowed != want {
			t.Errorf("%s: %v %v", name, d.Allowed, d.Reasons)
		}
	}
}

func sameCharges(a, b []authz.Charge) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Rate != b[i].Rate || a[i].Burst != b[i].Burst || a[i].Key != b[i].Key || a[i].Cost != b[i].Cost {
			return false
		}
	}
	return true
}

func headersOf(d *authz.Decision) []string {
	var out []string
	for _, h := range d.Headers {
		out = append(out, fmt.Sprint(h))
	}
	slices.Sort(out)
	return out
}
