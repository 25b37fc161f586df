package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
)

// cachePolicies read the clock in every way that has a horizon, and slots of
// every kind.
var cachePolicies = map[string]string{
	"Expiry": `decision := {"allowed": time.now_ns() < time.parse_rfc3339_ns(input.session.claims.ends), "headers": {"x-session-id": input.session.user.id}}
decision := {"allowed": false, "reasons": ["none"]} if not input.session.claims.ends`,
	"Hours": `default decision := false
decision if {
	zone := data.zones[input.attributes.request.http.method]
	[hour, minute, _] := time.clock([time.now_ns(), zone])
	[hour, minute] >= [8, 30]
	time.weekday([time.now_ns(), zone]) in {"Monday", "Tuesday", "Sunday"}
}`,
	"Day": `decision := {"allowed": true, "reasons": [sprintf("d_%d_%d", [m, d])]} if [_, m, d] := time.date([time.now_ns(), data.zones[input.route.policy.zone]])
decision := false if not data.zones[input.route.policy.zone]`,
	"Types": `decision := {"allowed": is_string(object.get(input.session.claims, "x", false)), "reasons": [type_name(object.get(input.session.claims, "x", false))], "headers": {"x-session-id": sprintf("%v", [input.parsed_path])}, "response_headers_to_add": {"x-a": sprintf("%v", [input.parsed_path])}} if input.session
decision := {"allowed": count([v | v := input.parsed_query.ana]) > 0} if not input.session`,
	"Address": `decision := {"allowed": net.cidr_contains("10.0.0.0/8", input.attributes.source.address.socketAddress.address), "reasons": [concat("_", array.concat(["r"], [r | some r in input.session.roles; regex.match("^[a-z]+$", r)]))]}`,
}

func cacheData() map[string]any {
	return map[string]any{"zones": map[string]any{
		"GET": "Asia/Kolkata", "POST": "America/Mexico_City", "PUT": "Europe/Berlin", "HEAD": "Asia/Kathmandu", "ana": "Australia/Lord_Howe", "bob": "UTC",
	}}
}

// What the cache gives must be what OPA's evaluator says then, over few requests
// that come again and again while the clock goes on in steps of all sizes.
func TestWhatIsRememberedIsWhatOPAWouldSay(t *testing.T) {
	t.Parallel()
	steps := 1200
	if testing.Short() {
		steps = 300
	}
	for name, rego := range cachePolicies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hits := rememberedAsFresh(t, compiled(t, rego, cacheData()), uint64(len(name)), steps)
			t.Logf("%d of %d were remembered", hits, steps)
			if hits == 0 {
				t.Error("nothing was ever remembered")
			}
		})
	}
}

// rememberedAsFresh has few requests come again and again while the clock goes
// on, and compares each decision with OPA's; it returns how many were remembered.
func rememberedAsFresh(t *testing.T, p *Program, seed uint64, steps int) (hits int) {
	t.Helper()
	f, err := newFast(p)
	if err != nil {
		t.Fatal(err)
	}
	x := newRunner(f, 256<<10, newFacts(f.machine.Rules()))
	g := newGenerator(f, rand.New(rand.NewPCG(1, seed)))
	g.data = []string{"ana", "bob", "GET", "POST", "2026-03-29T03:00:00+02:00"}
	now := time.Date(2026, 3, 27, 22, 0, 0, 0, time.UTC) // before the clocks change
	var pool []*authz.Request
	for range 12 {
		pool = append(pool, g.request())
	}
	for i := range steps {
		r := ownRequest(pool[g.IntN(len(pool))])
		now = now.Add(time.Duration([]int64{0, 1, 1e6, 1e9, 17e9, 60e9, 1799e9, 1800e9, 7e12}[g.IntN(9)]))
		if r.Time = now; g.IntN(8) == 0 { // or just before and at a full or half hour
			r.Time = now.Truncate(30 * time.Minute).Add(30*time.Minute - time.Duration(g.IntN(2)))
			now = r.Time
		}
		if g.IntN(50) == 0 { // clocks go back, too
			r.Time = now.Add(-time.Hour)
		}
		if g.IntN(40) == 0 {
			pool[g.IntN(len(pool))] = g.changed(r)
		}
		got, by, err := x.Decide(context.Background(), r, 1)
		if by == Cached {
			hits++
		}
		want, wantErr := p.Decide(context.Background(), r)
		if o := compareDecisions(got, err, want, wantErr); o == disagreed {
			t.Fatalf("step %d at %v, by %s: %+v, %v; want %+v, %v", i, r.Time, by, got, err, want, wantErr)
		}
	}
	return hits
}

// Keys must be told apart whenever slots are: otherwise one request would get
// another's decision.
func TestKeysAreEqualOnlyForEqualSlots(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]any{
		{nil, false}, {"1", 1}, {"", nil}, {[]any{"a", "b"}, []any{"ab"}}, {[]any{}, map[string]any{}}, {"true", true}, {1.5, "1.5"},
		{map[string]any{"a": "b"}, []any{"a", "b"}}, {[]any{[]any{"a"}, "b"}, []any{[]any{"a", "b"}}}, {"\xff", "\ufffd"},
		{map[string]any{"a": nil}, map[string]any{}},
	} {
		if string(appendJSON(nil, pair[0])) == string(appendJSON(nil, pair[1])) {
			t.Errorf("%#v and %#v have one key", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]any{{1, 1.0}, {int64(7), 7}, {[]string{"a"}, []any{"a"}}} {
		if string(appendJSON(nil, pair[0])) != string(appendJSON(nil, pair[1])) {
			t.Errorf("%#v and %#v have two keys", pair[0], pair[1])
		}
	}
}

func TestKeysOfOneHashAreTwoKeys(t *testing.T) {
	t.Parallel()
	c := newCache(1 << 20)
	for i := range 20 {
		c.put(42, []byte{byte(i)}, &authz.Decision{Reasons: []string{fmt.Sprint(i)}}, 0, 10)
	}
	for i := range 20 {
		if d := c.get(42, []byte{byte(i)}, 5); d != nil && d.Reasons[0] != fmt.Sprint(i) {
			t.Fatalf("key %d got %+v", i, d)
		}
	}
	if c.get(42, []byte{19}, 10) != nil || c.get(42, []byte{19}, -1) != nil {
		t.Error("an entry is there outside of its time")
	}
}

func TestTheCacheKeepsToItsMemory(t *testing.T) {
	t.Parallel()
	c := newCache(128 << 10)
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			for i := range 5000 {
				key := fmt.Appendf(nil, "%d-%d", n, i)
				c.put(r.Uint64(), key, &authz.Decision{Body: string(make([]byte, r.IntN(4000)))}, 0, 1)
			}
		})
	}
	wg.Wait()
	var sum int64
	for i := range c.places {
		if e := c.places[i].Load(); e != nil {
			sum += e.size
		}
	}
	if sum != c.used.Load() || sum > c.limit {
		t.Errorf("%d bytes are kept, %d are counted, %d are the limit", sum, c.used.Load(), c.limit)
	}
}

func TestACopiedDecisionSharesNothing(t *testing.T) {
	t.Parallel()
	d := &authz.Decision{Allowed: true, Reasons: []string{"a"}, Headers: []authz.Header{{Name: "x", Value: "y"}}, Body: "b",
		Metadata: map[string]any{"k": []any{"v", map[string]any{"n": 1.0}}}, Charges: []authz.Charge{{Name: "n", Key: "k"}}}
	c := ownDecision(d)
	if !reflect.DeepEqual(c, d) {
		t.Fatalf("%+v is not %+v", c, d)
	}
	d.Reasons[0], d.Headers[0].Value, d.Charges[0].Key = "z", "z", "z"
	d.Metadata["k"].([]any)[0] = "z"
	if c.Reasons[0] != "a" || c.Headers[0].Value != "y" || c.Charges[0].Key != "k" || c.Metadata["k"].([]any)[0] != "v" {
		t.Errorf("%+v", c)
	}
}
