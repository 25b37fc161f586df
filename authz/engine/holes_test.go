package engine

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// crowd is a runner of a policy and one beside it that remembers nothing.
type crowd struct {
	*runner
	plain *runner
}

func newCrowd(t testing.TB, p *Program, bytes int64) crowd {
	t.Helper()
	f, err := newFast(p)
	if err != nil {
		t.Fatal(err)
	}
	return crowd{newRunner(f, bytes, newFacts(f.machine.Rules())), newRunner(f, 0, newFacts(f.machine.Rules()))}
}

// open names the slots that are holes now.
func (c crowd) open() (list []string) {
	if c.blanks != nil {
		for _, h := range c.blanks.holes.Load().list {
			list = append(list, strings.Join(h.slot.doc, "."))
		}
	}
	return list
}

// ask decides r, and fails unless all of the decision is what is decided anew.
func (c crowd) ask(t failing, r *authz.Request) (d *authz.Decision, by string) {
	t.Helper()
	d, by, err := c.Decide(context.Background(), r, 1)
	want, _, wantErr := c.plain.Decide(context.Background(), ownRequest(r), 1)
	if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Fatalf("by %s: %v; want %v", by, err, wantErr)
	}
	if err == nil && !sameButUntil(d, want) {
		t.Fatalf("by %s:\n%+v; want\n%+v", by, d, want)
	}
	return d, by
}

type failing interface {
	Helper()
	Fatalf(string, ...any)
}

// sameButUntil compares all but until when the decision would be the same, which
// depends on when it was taken.
func sameButUntil(a, b *authz.Decision) bool {
	x, y := *a, *b
	x.Trace.Until, y.Trace.Until = 0, 0
	return reflect.DeepEqual(x, y)
}

// person is a request of somebody of whom all texts are their own.
func person(n int) *authz.Request {
	r := fullRequest()
	s := *r.Session
	s.Key = session.Key{byte(n), byte(n >> 8), 1}
	s.Identity.UserID, s.Identity.Email, s.Identity.Name = fmt.Sprint("id-", n), fmt.Sprintf("p%d@example.com", n), fmt.Sprint("Name ", n)
	s.Identity.EmailVerified = true
	s.Identity.Claims = maps.Clone(s.Identity.Claims)
	s.Identity.Claims["team"] = fmt.Sprint("team ", n)
	r.Session = &s
	r.Headers = append(r.Headers, authz.Header{Name: "x-tag", Value: fmt.Sprint("tag ", n)})
	return r
}

func headerOf(d *authz.Decision, name string) (values []string) {
	for _, h := range slices.Concat(d.Headers, d.ResponseHeaders) {
		if h.Name == name {
			values = append(values, h.Value)
		}
	}
	return values
}

// people is how many there are.
const people = 30

// TestPeopleShareADecisionWhoseTextsAreTheirOwn: of as many people as there are the
// first two are decided on by evaluation, and each has their own texts.
func TestPeopleShareADecisionWhoseTextsAreTheirOwn(t *testing.T) {
	t.Parallel()
	for name, rego := range map[string]string{
		"Header":   `decision := {"allowed": true, "headers": {"x-pomerium-t": input.session.user.id}}`,
		"Two":      `decision := {"allowed": true, "headers": {"x-pomerium-t": input.session.user.id, "x-pomerium-e": input.session.user.email}}`,
		"Twice":    `decision := {"allowed": true, "headers": {"x-pomerium-t": [input.session.user.id, "x", input.session.user.id]}}`,
		"Objects":  `decision := {"allowed": true, "headers": [{"x-pomerium-t": input.session.user.id}, {"x-pomerium-e": [input.session.user.email]}]}`,
		"Response": `decision := {"allowed": true, "response_headers_to_add": {"x-t": input.session.user.id}, "headers": {"x-pomerium-t": input.session.id}}`,
		"Denied":   `decision := {"allowed": false, "headers": {"x-t": input.session.user.id}, "reasons": ["no"], "http_status": 404}`,
		"Limit":    `decision := {"allowed": true, "rate_limits": [{"name": "n", "key": input.session.user.id, "requests_per_second": 1, "burst": 2}], "headers": {"x-pomerium-t": input.session.user.id}}`,
		"Claim":    `decision := {"allowed": true, "headers": {"x-pomerium-t": input.session.claims.team}}`,
		"Request":  `decision := {"allowed": true, "headers": {"x-pomerium-t": input.attributes.request.http.headers["x-tag"]}}`,
		"Known":    `decision := {"allowed": input.session.user.id != "", "headers": {"x-pomerium-t": input.session.user.id}} if input.session.user.email != "root@example.com"`,
		"Rules": `decision := object.union(permit, {"explain": true}) if "neosc" in input.session.roles
permit := {"allowed": true, "headers": headers}
headers := {"x-pomerium-t": id, concat("", [input.route.identity_headers.prefix, "e"]): email} if is_string(id)
id := input.session.user.id
email := input.session.user.email if input.session.user.email_verified else := ""`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, compiled(t, rego, nil), 1<<20)
			evaluated, filled := 0, 0
			for n := range people {
				d, by := c.ask(t, person(n))
				if by == Machine {
					evaluated++
				}
				filled += len(headerOf(d, "x-pomerium-t")) + len(headerOf(d, "x-t"))
				for m := range people {
					if m != n && strings.Contains(fmt.Sprintf("%+v ", *d), fmt.Sprintf("-%d ", m)) {
						t.Fatalf("person %d gets what is person %d's: %+v", n, m, d)
					}
				}
			}
			if evaluated != 2 || filled < people {
				t.Errorf("%d evaluations for %d people, of whom %d have texts; holes are %q", evaluated, people, filled, c.open())
			}
			if n := entries(c.blanks.cache); n != 1 {
				t.Errorf("%d blanks for decisions that are alike", n)
			}
			for n := range people {
				first, by := c.ask(t, person(n))
				if again, _ := c.ask(t, person(n)); by != Cached || again != first {
					t.Errorf("person %d is decided on by %s, and again at another place", n, by)
				}
			}
		})
	}
}

func entries(c *cache) (n int) {
	for i := range c.places {
		if c.places[i].Load() != nil {
			n++
		}
	}
	return n
}

// TestWhatIsLookedAtIsInTheKey: a text that is more than a header's value is part of
// the key, whatever else is done with it.
func TestWhatIsLookedAtIsInTheKey(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]string{
		"Comparison":    `decision := {"allowed": input.session.user.id == input.session.user.email, "headers": {"x-pomerium-t": input.session.user.id}}`,
		"BuiltIn":       `decision := {"allowed": endswith(input.session.user.id, "0"), "headers": {"x-pomerium-t": input.session.user.id}}`,
		"Order":         `decision := {"allowed": input.session.user.id < "id-2", "headers": {"x-pomerium-t": input.session.user.id}}`,
		"LookUp":        `decision := {"allowed": object.get(data.zones, input.session.user.id, "") != "", "headers": {"x-pomerium-t": input.session.user.id}}`,
		"Concatenation": `decision := {"allowed": true, "headers": {"x-pomerium-t": concat("", ["a", input.session.user.id])}}`,
		"Key":           `decision := {"allowed": true, "dynamic_metadata": {input.session.user.id: 1}, "headers": {"x-pomerium-t": input.session.user.id}}`,
		"HeaderName":    `decision := {"allowed": true, "headers": {concat("", ["x-pomerium-", input.session.user.id]): "1"}}`,
		"Iteration":     `decision := {"allowed": true, "headers": {"x-pomerium-t": [x | some x in [input.session.user.id, "y"]]}}`,
		"Set":           `decision := {"allowed": count({input.session.user.id, "id-1"}) == 2, "headers": {"x-pomerium-t": input.session.user.id}}`,
		"With": `decision := {"allowed": v, "headers": {"x-pomerium-t": input.session.user.id}} if v := q with input.session.user.name as input.session.user.id
q if input.session.user.name == "id-1"`,
		"Reasons":        `decision := {"allowed": true, "reasons": [replace(input.session.user.id, "-", "_")], "headers": {"x-pomerium-t": input.session.user.id}}`,
		"Body":           `decision := {"allowed": false, "body": input.session.user.id, "headers": {"x-t": input.session.user.id}}`,
		"Metadata":       `decision := {"allowed": true, "dynamic_metadata": {"a": [{"b": input.session.user.id}]}, "headers": {"x-pomerium-t": input.session.user.id}}`,
		"Query":          `decision := {"allowed": true, "query_parameters_to_set": {"q": input.session.user.id}, "headers": {"x-pomerium-t": input.session.user.id}}`,
		"QueryRemoved":   `decision := {"allowed": true, "query_parameters_to_remove": [input.session.user.id], "headers": {"x-pomerium-t": input.session.user.id}}`,
		"LimitName":      `decision := {"allowed": true, "rate_limits": [{"name": input.session.user.id, "key": "k", "requests_per_second": 1, "burst": 2}]}`,
		"SetOfLimits":    `decision := {"allowed": true, "rate_limits": {{"name": "n", "key": input.session.user.id, "requests_per_second": 1, "burst": 2}, {"name": "n", "key": "id-1", "requests_per_second": 1, "burst": 2}}}`,
		"HeadersRemoved": `decision := {"allowed": true, "request_headers_to_remove": [concat("", ["x-pomerium-", input.session.user.id])]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, compiled(t, rest, cacheData()), 1<<20)
			for range 2 {
				for n := range 6 {
					if _, by := c.ask(t, person(n)); by == OPA {
						t.Fatalf("person %d is left to OPA", n)
					}
				}
			}
			if slices.Contains(c.open(), "session.user.id") {
				t.Errorf("the id is a hole")
			}
			for n := range 6 {
				if _, by := c.ask(t, person(n)); by != Cached && name != "With" {
					t.Errorf("person %d is decided on by %s", n, by)
				}
			}
		})
	}
}

// TestAnotherTextStaysAHole: what is found in the body by and by is none any more;
// the others are.
func TestAnotherTextStaysAHole(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": false, "body": input.session.user.name, "headers": {"x-t": input.session.user.id}}`, nil), 1<<20)
	if got := c.open(); len(got) != 2 {
		t.Fatalf("at first %q are holes", got)
	}
	of := func(n, name int) *authz.Request {
		r := person(n)
		r.Session.Identity.Name = fmt.Sprint("Name ", name)
		return r
	}
	evaluated := 0
	for n := range people {
		if _, by := c.ask(t, of(n, n%2)); by == Machine {
			evaluated++
		}
	}
	if got := c.open(); !slices.Equal(got, []string{"session.user.id"}) {
		t.Errorf("%q are holes", got)
	}
	if evaluated > 6 {
		t.Errorf("%d evaluations for two bodies", evaluated)
	}
}

// TestManyAtOnceHaveTheirOwn: nobody has another's texts, however many ask at once.
func TestManyAtOnceHaveTheirOwn(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": true, "body": b, "headers": {"x-pomerium-t": input.session.user.id}, "rate_limits": [{"name": "n", "key": input.session.user.email, "requests_per_second": 1, "burst": 2}]}
b := input.session.user.name if input.attributes.request.http.method == "POST" else := ""`, nil), 512<<10)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				n := (i*7 + g*11) % 40
				r := person(n)
				r.Path = fmt.Sprint("/", i%3)
				if i > 150 && i%5 == 0 {
					r.Method = "POST"
				}
				d, _, err := c.Decide(context.Background(), r, 1)
				if err != nil || d.Headers[0].Value != fmt.Sprint("id-", n) || d.Charges[0].Key != fmt.Sprintf("p%d@example.com", n) || d.Body != "" && d.Body != fmt.Sprint("Name ", n) {
					t.Errorf("person %d: %+v, %v", n, d, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestABlankHoldsAsLongAsItsDecision: not longer than to its horizon, nor for an
// instant before.
func TestABlankHoldsAsLongAsItsDecision(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": h < 12, "headers": {"x-pomerium-t": input.session.user.id}} if [h, _, _] := time.clock(time.now_ns())`, nil), 1<<20)
	start := time.Date(2026, 3, 5, 11, 30, 0, 0, time.UTC)
	for n, x := range []struct {
		after time.Duration
		by    string
	}{
		{0, Machine}, {time.Minute, Machine}, {2 * time.Minute, Cached}, {30*time.Minute - 1, Cached}, {30 * time.Minute, Machine},
		{31 * time.Minute, Machine}, {32 * time.Minute, Cached}, {0, Machine}, {2 * time.Minute, Machine},
	} {
		r := person(n)
		r.Time = start.Add(x.after)
		if d, by := c.ask(t, r); d.Allowed != (r.Time.Hour() < 12) || by != x.by {
			t.Errorf("at %v: %v by %s, want it by %s", r.Time, d.Allowed, by, x.by)
		}
	}
	r := person(2) // whose own was filled in before noon
	r.Time = start.Add(33 * time.Minute)
	c.ask(t, r)
}

// TestABlankIsOfTwoPeople: one alone makes none, however often they ask.
func TestABlankIsOfTwoPeople(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": true, "headers": {"x-pomerium-t": input.session.user.id}}`, nil), 1<<20)
	for i, n := range []int{0, 0, 0, 1, 2} {
		c.cache.clear()
		if _, by := c.ask(t, person(n)); (by == Cached) != (i == 4) {
			t.Errorf("time %d: by %s", i, by)
		}
	}
}

// TestAnAnalysisThatIsWrongIsFoundOut: were a text looked at all the same, that is
// seen once there are two, and nothing is shared then.
func TestAnAnalysisThatIsWrongIsFoundOut(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": startswith(input.session.user.id, "id-"), "headers": {"x-pomerium-t": input.session.user.id}}`, nil), 1<<20)
	for _, s := range c.slots.all {
		if s.kind == slotUserID {
			c.blanks = newBlanks(holesOf([]hole{{slot: s, mark: "a-mark"}}, len(c.slots.all)), 1<<20)
		}
	}
	for n := range 6 {
		c.ask(t, person(n))
	}
	if got := c.open(); len(got) > 0 {
		t.Errorf("%q are holes", got)
	}
}

// TestTextsInHolesAreCopies: a request's texts are gone with it, what is kept is not.
func TestTextsInHolesAreCopies(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, compiled(t, `decision := {"allowed": true, "headers": {"x-pomerium-t": [input.attributes.request.http.headers["x-tag"], "x"]}}`, nil), 1<<20)
	for n := range 5 {
		r := person(n)
		tag := r.Headers[len(r.Headers)-1].Value
		c.ask(t, r)
		d, by := c.ask(t, r)
		if got := d.Headers[0].Value; by != Cached || got != tag || unsafe.StringData(got) == unsafe.StringData(tag) {
			t.Errorf("person %d: %q by %s is the request's own text", n, got, by)
		}
	}
	for i := range c.blanks.cache.places {
		if e := c.blanks.cache.places[i].Load(); e != nil && strings.Contains(fmt.Sprintf("%+v", *e.decision), "tag") {
			t.Errorf("a blank has a text in it: %+v", e.decision)
		}
	}
}
