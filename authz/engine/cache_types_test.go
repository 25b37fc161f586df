package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/neosc/gate/authz"
)

// typesPolicy tells apart presence, kind and value of what it reads, each by a
// rule of its own: some look only whether a place is there, some only of which
// kind it is.
const typesPolicy = `decision := {"allowed": allowed, "reasons": reasons}

default allowed := false

allowed if is_string(input.session.claims.x)

reasons contains "there" if _ = input.session.claims.x

reasons contains "holds" if input.session.claims.x

reasons contains "not_x" if not input.session.claims.x

reasons contains type_name(input.session.claims.x)

reasons contains "inner" if _ = input.session.claims.x.a

reasons contains "setting" if input.route.policy.mode

reasons contains "setting_there" if _ = input.route.policy.mode

reasons contains "tenant" if _ = input.attributes.request.http.headers["x-tenant"]

reasons contains "tenant_empty" if input.attributes.request.http.headers["x-tenant"] == ""

reasons contains "named" if _ = input.session.user.name

reasons contains "session" if input.session

reasons contains "query" if _ = input.parsed_query.q

reasons contains "query_once" if count(input.parsed_query.q) == 1

reasons contains "identity" if input.route.identity_headers`

// absent is no value at all.
type absent struct{}

// oddities are values that are easily taken for one another.
var oddities = []any{
	absent{}, nil, false, true, "", "a", "false", "null", 0, 1, 1.0, "1", []any{}, []any{nil}, []any{"a"}, []any{[]any{}}, "[]", map[string]any{},
	map[string]any{"a": nil}, map[string]any{"a": false}, map[string]any{"b": nil}, map[string]any{"a": map[string]any{}},
}

func with(m map[string]any, name string, v any) map[string]any {
	out := map[string]any{}
	for k, x := range m {
		out[k] = x
	}
	if _, none := v.(absent); !none {
		out[name] = v
	}
	return out
}

// likeRequests are requests that differ in presence and kind alone.
func likeRequests() (list []*authz.Request) {
	add := func(change func(r *authz.Request)) {
		r := ownRequest(fullRequest())
		session, route := *r.Session, *r.Route
		session.Identity.Claims, route.Policy = map[string]any{}, map[string]any{}
		r.Session, r.Route = &session, &route
		change(r)
		list = append(list, r)
	}
	for _, v := range oddities {
		add(func(r *authz.Request) { r.Session.Identity.Claims = with(nil, "x", v) })
		add(func(r *authz.Request) { r.Route.Policy = with(nil, "mode", v) })
	}
	for _, tenant := range [][]string{nil, {""}, {"", ""}, {"a"}, {"a", ""}} {
		add(func(r *authz.Request) {
			for _, v := range tenant {
				r.Headers = append(r.Headers, authz.Header{Name: "x-tenant", Value: v})
			}
		})
	}
	for _, path := range []string{"/", "/?q", "/?q=", "/?q=&q=", "/?Q=", "/?%71=1"} {
		add(func(r *authz.Request) { r.Path = path })
	}
	add(func(r *authz.Request) { r.Session = nil })
	add(func(r *authz.Request) { r.Session.Identity.Name = "" })
	add(func(r *authz.Request) { r.Session.Identity.Claims = nil })
	add(func(r *authz.Request) { r.Route.Policy = nil })
	add(func(r *authz.Request) { r.Route.PassIdentityHeaders = !r.Route.PassIdentityHeaders })
	return list
}

// Absent, null, false, empty and their like are told apart from the cache as
// they are by OPA's evaluator, whichever came first.
func TestPresenceAndKindAreRightFromTheCache(t *testing.T) {
	t.Parallel()
	p := compiled(t, typesPolicy, nil)
	f, err := newFast(p)
	if err != nil {
		t.Fatal(err)
	}
	requests := likeRequests()
	want, seen := make([]*authz.Decision, len(requests)), map[string]bool{}
	for i, r := range requests {
		if want[i], err = p.Decide(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprint(want[i])] = true
	}
	if len(seen) < 15 {
		t.Errorf("%d different decisions for %d requests: the policy tells too little apart", len(seen), len(requests))
	}
	for seed := range uint64(8) {
		x := newRunner(f, 1<<20, newFacts(f.machine.Rules()))
		order := rand.New(rand.NewPCG(seed, 3)).Perm(len(requests))
		hits := 0
		for range 3 {
			for _, i := range order {
				got, by, err := x.Decide(context.Background(), requests[i], 1)
				if o := compareDecisions(got, err, want[i], nil); o != agreed {
					t.Fatalf("request %d, by %s: %+v, %v; want %+v", i, by, got, err, want[i])
				}
				if by == Cached {
					hits++
				}
			}
		}
		if hits < 2*len(requests)-8 {
			t.Errorf("%d of %d came from the cache", hits, 3*len(requests))
		}
	}
}
