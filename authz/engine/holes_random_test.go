package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
	"pgregory.net/rapid"
)

// personal are texts that each person has of their own; those of claims may be of any
// kind or missing.
var personal = []string{
	"input.session.user.id", "input.session.user.email", "input.session.user.name", "input.session.user.organization", "input.session.id",
	"input.session.claims.x", "input.session.claims.y", `input.attributes.request.http.headers["x-tag"]`, "input.attributes.source.address.socketAddress.address",
}

// passedOn is what a policy does with a text, FIELD, beside another, OTHER.
var passedOn = []string{
	`headers["x-pomerium-N"] := FIELD`, `headers["x-pomerium-N"] := FIELD`, `headers["x-pomerium-N"] := [FIELD, "c", OTHER]`, `headers["x-pomerium-N"] := same(FIELD)`,
	`headers["x-pomerium-N"] := FIELD if is_string(FIELD)`, `headers["x-pomerium-N"] := other("ana", FIELD)`, `headers["x-pomerium-N"] := either`,
	`headers["x-pomerium-N"] := object.union({"a": FIELD}, {"b": OTHER}).a`, `headers["x-pomerium-N"] := [FIELD, OTHER][data.one]`,
	`headers["x-pomerium-N"] := FIELD if FIELD != ""`, `headers["x-pomerium-N"] := FIELD if not FIELD in {"ana", "bob"}`,
	`headers["x-pomerium-N"] := concat("-", [FIELD, "x"])`, `headers["x-pomerium-N"] := upper(FIELD)`, `headers["x-pomerium-N"] := [x | some x in [FIELD, OTHER]]`,
	`headers["x-pomerium-N"] := sort([FIELD, OTHER])`, `headers["x-pomerium-N"] := data.names[FIELD]`,
	`response["x-N"] := FIELD`, `response["x-N"] := {"a": [FIELD]}.a`, `limits := [{"name": "n", "key": FIELD, "requests_per_second": 1, "burst": 2}]`,
	`limits := [{"name": "n", "key": FIELD, "requests_per_second": 1, "burst": 2}] if FIELD != "bob"`,
}

// lookedAt is what makes a text one that is looked at, or takes it elsewhere.
var lookedAt = []string{
	`allowed if FIELD == OTHER`, `allowed if FIELD == "ana"`, `allowed if FIELD != "bob"`, `allowed if FIELD`, `allowed if not FIELD`, `allowed if startswith(FIELD, "a")`,
	`allowed if data.names[FIELD]`, `allowed if FIELD in {"ana", "bob"}`, `allowed if FIELD < OTHER`, `allowed if count(FIELD) > 3`, `allowed if is_string(FIELD)`,
	`allowed if {"a": FIELD} == {"a": "ana"}`, `allowed if { some x in [FIELD, OTHER]; x == "bob" }`, `allowed if count({FIELD, OTHER}) == 1`,
	`allowed if same(FIELD) == "bob"`, `allowed if equal_to(FIELD, OTHER)`, `allowed if { x := {FIELD: 1}; x.ana }`, `allowed if FIELD == false`,
	`reasons contains "same" if FIELD == OTHER`, `reasons contains FIELD`, `reasons contains type_name(FIELD)`, `body := FIELD`, `body := "b" if FIELD`,
	`metadata["k"] := FIELD`, `metadata["k"] := [FIELD]`, `metadata[FIELD] := 1`, `status := 404 if FIELD == "ana"`, `query["q"] := FIELD`,
}

const rest = `
decision := {"allowed": allowed, "reasons": reasons, "headers": headers, "response_headers_to_add": response, "rate_limits": limits, "body": body,
	"dynamic_metadata": metadata, "http_status": status, "query_parameters_to_set": query}
default allowed := false
default limits := []
default body := ""
default status := 403
reasons contains "always"
headers["x-pomerium-z"] := "z"
response["x-z"] := ["z", "ana"]
metadata["z"] := 1
query["z"] := "z"
same(x) := x
other(x, y) := x if y == "" else := y
equal_to(x, y) if x == y
either := FIELD if input.attributes.request.http.method == "GET" else := OTHER
`

// pieces is a policy of some of each.
func pieces(t *rapid.T) string {
	b := strings.Builder{}
	field := func() string { return rapid.SampledFrom(personal).Draw(t, "field") }
	add := func(piece string, n int) {
		b.WriteString(strings.NewReplacer("FIELD", field(), "OTHER", field(), "-N", fmt.Sprint("-", n)).Replace(piece) + "\n")
	}
	add(rest, 0)
	for i := range rapid.IntRange(1, 4).Draw(t, "said") {
		add(rapid.SampledFrom(passedOn).Draw(t, "piece"), i)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "looked") {
		add(rapid.SampledFrom(lookedAt).Draw(t, "piece"), i)
	}
	return b.String()
}

// somebody is a request of one of few people, whose texts are of a few, some of them
// odd, or their own.
func somebody(t *rapid.T, n int) *authz.Request {
	own := fmt.Sprint("own-", n)
	text := func() string {
		if rapid.IntRange(0, 3).Draw(t, "own") > 0 {
			return own
		}
		return rapid.SampledFrom([]string{"ana", "bob", "", "a\r\nb", "\xff", " ana", "ünï", strings.Repeat("x", 300)}).Draw(t, "text")
	}
	value := func() any {
		if rapid.IntRange(0, 3).Draw(t, "own") > 0 {
			return own
		}
		return rapid.SampledFrom([]any{"ana", "bob", "", "a\nb", 5, 1.5, true, false, nil, []any{"ana"}, map[string]any{"ana": own}, absent{}}).Draw(t, "value")
	}
	r := &authz.Request{Time: at, Method: rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method"), Path: "/a", Host: "portal.kappa4.com", Scheme: "https", Protocol: "HTTP/2",
		Route: &authz.Route{Name: "portal"}, Source: person(n).Source}
	if rapid.IntRange(0, 5).Draw(t, "tag") > 0 {
		r.Headers = authz.Headers{{Name: "x-tag", Value: text()}}
	}
	if rapid.IntRange(0, 9).Draw(t, "session") > 0 {
		r.Session = &session.Session{Key: session.Key{byte(n)}, ExpiresAt: at.Add(time.Hour), Identity: session.Identity{
			UserID: text(), Email: text(), Name: text(), Organization: text(), Claims: with(with(nil, "x", value()), "y", value()),
		}}
	}
	return r
}

// TestWhatPeopleShareOfRandomPolicies: whatever a policy does with what is somebody's
// own, and whoever asks in which order, each is told what is decided anew, in all of
// it, and what OPA's evaluator says.
func TestWhatPeopleShareOfRandomPolicies(t *testing.T) {
	t.Parallel()
	most := 1000
	if slow {
		most = 20
	}
	rapid.Check(t, func(rt *rapid.T) {
		if most--; most < 0 {
			return
		}
		rego := pieces(rt)
		p, err := Compile(Source{Modules: map[string]string{"a.rego": "package neosc.authz\n\n" + rego},
			Data: map[string]any{"one": 1, "names": map[string]any{"ana": "bob", "bob": "ana", "own-1": "x"}}, Timeout: time.Minute}, shippedEdge)
		if err != nil {
			return // a rule of no use
		}
		c := newCrowd(t, p, 1<<20)
		var list []*authz.Request
		for n := range rapid.IntRange(2, 5).Draw(rt, "people") {
			list = append(list, somebody(rt, n))
		}
		list = append(list, slices.Clone(list)...)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(list)-1), 6, 20).Draw(rt, "order") {
			r := ownRequest(list[i])
			d, by := c.ask(rt, r)
			if by == Cached {
				if want, err := p.Decide(t.Context(), r); compareDecisions(d, nil, want, err) == disagreed {
					rt.Fatalf("%+v; OPA says %+v, %v", d, want, err)
				}
			}
		}
	})
}
