package engine_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/policies"
)

func shippedSource(t testing.TB) engine.Source {
	t.Helper()
	src, err := bundles.Load(policies.Files())
	if err != nil {
		t.Fatal(err)
	}
	src.Timeout = 10 * time.Second
	return src
}

func compileShipped(t testing.TB, src engine.Source) *engine.Program {
	t.Helper()
	edge := testEdge()
	edge.Settable = append(edge.Settable, "x-user-email", "x-workspace-type")
	p, err := engine.Compile(src, edge)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func explain(t testing.TB, p *engine.Program, r *authz.Request) *engine.Explanation {
	t.Helper()
	e, err := p.Explain(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// on asks for a route as somebody with roles.
func on(route string, roles []string, edit func(*authz.Request)) *authz.Request {
	r := testRequest()
	r.RouteName, r.Route, r.Path = route, &authz.Route{Name: route, PassIdentityHeaders: true}, "/x"
	r.Extensions = map[string]string{"route": route}
	r.Session.Identity.Roles, r.Session.Identity.Claims = roles, map[string]any{}
	if edit != nil {
		edit(r)
	}
	return r
}

// find returns the first rule whose text begins so.
// find returns the first rule that begins so, with its file before it or without.
func find(t *testing.T, e *engine.Explanation, text string) engine.RuleTrace {
	t.Helper()
	for _, r := range e.Rules {
		if strings.HasPrefix(r.Text, text) || strings.HasPrefix(r.File+": "+r.Text, text) {
			return r
		}
	}
	t.Fatalf("no rule begins with %q", text)
	return engine.RuleTrace{}
}

func valueOf(r engine.RuleTrace, name string) string {
	for _, c := range r.Conditions {
		for _, v := range c.Values {
			if v.Name == name {
				return v.Value
			}
		}
	}
	return "(not shown)"
}

func TestExplainNamesRuleAndValuesOfEveryDenial(t *testing.T) {
	t.Parallel()
	p := compileShipped(t, shippedSource(t))
	claims := func(kv ...string) func(*authz.Request) {
		return func(r *authz.Request) {
			for i := 0; i < len(kv); i += 2 {
				r.Session.Identity.Claims[kv[i]] = kv[i+1]
			}
		}
	}
	hours := func(at string) func(*authz.Request) {
		return func(r *authz.Request) {
			r.Route.Policy = map[string]any{"business_hours": true}
			r.Time, _ = time.Parse(time.RFC3339, at)
		}
	}
	for name, tc := range map[string]struct {
		r      *authz.Request
		reason string
		first  string // the rule that gave the reason
		rule   string // a rule that made the difference
		state  engine.State
		value  [2]string
	}{
		"NoRole": {on("admin", []string{"neosc"}, nil), "role_required", "denials contains access_denial", "method_open", engine.NotHeld,
			[2]string{"data.neosc.routes.admin.roles", `{"admin": "all"}`}},
		"ReadOnly": {on("api", []string{"user"}, func(r *authz.Request) { r.Method = "POST" }), "read_only", "denials contains access_denial", "method_open", engine.NotHeld,
			[2]string{"data.neosc.methods.read", `{"GET": true, "HEAD": true, "OPTIONS": true}`}},
		"OddMethod": {on("api", []string{"admin"}, func(r *authz.Request) { r.Method = "BREW" }), "method_not_allowed", "denials contains access_denial", "known_method", engine.NotHeld,
			[2]string{"data.neosc.methods.all.BREW", "undefined"}},
		"Anonymous": {on("portal", nil, func(r *authz.Request) { r.Session = nil }), "unauthenticated", `denials contains "unauthenticated"`, "user := input.session.user.id", engine.NotHeld,
			[2]string{"input.session.user.id", "undefined"}},
		"UnknownRoute": {on("nowhere", []string{"admin"}, nil), "unknown_route", `denials contains "unknown_route"`, "route := data.neosc.routes", engine.NotHeld,
			[2]string{"data.neosc.routes.nowhere", "undefined"}},
		"NoDemo": {on("workspace", []string{"neosc"}, nil), "demo_required", `denials contains "demo_required"`, "session_id := printable", engine.NotHeld,
			[2]string{`input.session.claims["neosc:demo_session_id"]`, "undefined"}},
		"DemoOver": {on("workspace", []string{"demo-user"}, claims("neosc:demo_session_id", "d1", "neosc:demo_expires_at", "2026-03-05T17:59:59Z")), "demo_expired",
			`denials contains "demo_expired"`, "running if", engine.NotHeld, [2]string{"ends_at", "1772733599000000000"}},
		"Sunday": {on("portal", []string{"user"}, hours("2026-03-08T18:00:00Z")), "outside_business_hours", `denials contains "outside_business_hours"`, "open if {", engine.NotHeld,
			[2]string{"time.weekday(instant)", `"Sunday"`}},
		"FirstSecondOut": {on("portal", []string{"user"}, hours("2026-03-05T20:00:00-06:00")), "outside_business_hours", `denials contains "outside_business_hours"`, "lib/hours.rego: open if {", engine.NotHeld,
			[2]string{"data.neosc.hours.until", "[20, 0, 0]"}},
		"LastSecondIn": {on("portal", []string{"user"}, hours("2026-03-05T19:59:59-06:00")), "matched_policy", "else := permit if", "lib/hours.rego: open if {", engine.Held,
			[2]string{"clock", "[19, 59, 59]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := explain(t, p, tc.r)
			if e.Err != nil || !slices.Contains(e.Decision.Reasons, tc.reason) {
				t.Fatalf("decided %+v, %v", e.Decision, e.Err)
			}
			if first := e.Rules[0]; !strings.HasPrefix(first.Text, tc.first) || first.State != engine.Held || !first.Decided {
				t.Errorf("the first rule is %q, %s, want %q", first.Text, first.State, tc.first)
			}
			x := find(t, e, tc.rule)
			if x.State != tc.state || !x.Decided || x.File == "" || x.Line == 0 || x.Title == "" && tc.rule != "known_method" {
				t.Errorf("%+v", x)
			}
			if got := valueOf(x, tc.value[0]); got != tc.value[1] {
				t.Errorf("%s is shown as %s, want %s\n%+v", tc.value[0], got, tc.value[1], x)
			}
			last := x.Conditions[len(x.Conditions)-1]
			if last.Holds != (tc.state == engine.Held) {
				t.Errorf("the last condition %+v of a rule that is %s", last, x.State)
			}
		})
	}
}

func TestExplainDecidesAsDecide(t *testing.T) {
	t.Parallel()
	p := compileShipped(t, shippedSource(t))
	for _, route := range []string{"portal", "api", "gate-api", "admin", "workspace", "gate", "other"} {
		for _, roles := range [][]string{nil, {"user"}, {"neosc"}, {"admin"}, {"demo-user", "user"}} {
			r := on(route, roles, func(r *authz.Request) { r.Route.Policy = map[string]any{"business_hours": true, "rate_limit": true} })
			want, err := p.Decide(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			e := explain(t, p, r)
			a, _ := json.Marshal(want)
			b, _ := json.Marshal(e.Decision)
			if string(a) != string(b) {
				t.Errorf("%s %v: explained %s, decided %s", route, roles, b, a)
			}
			held := 0
			for _, x := range e.Rules {
				if x.Rule == "data.neosc.authz.decision" && x.State == engine.Held {
					held++
				}
			}
			if held != 1 {
				t.Errorf("%s %v: %d definitions of the decision held", route, roles, held)
			}
		}
	}
}

func TestExplainFollowsARuleThatWasSwapped(t *testing.T) {
	t.Parallel()
	src := shippedSource(t)
	src.Modules["authz.rego"] = strings.Replace(src.Modules["authz.rego"], `access_denial := "role_required" if {`, `access_denial := "not_your_desk" if {`, 1)
	e := explain(t, compileShipped(t, src), on("admin", []string{"neosc"}, nil))
	if x := e.Rules[1]; x.Text != `access_denial := "not_your_desk" if {` || !slices.Contains(x.Gives, `"not_your_desk"`) {
		t.Errorf("the second rule is %+v", x)
	}
}

func TestExplainMasksSecretsWhereverTheyTurnUp(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-v4lue"
	p := mustCompile(t, rego(`
default decision := {"allowed": false}
decision := {"allowed": true, "headers": {"x-pomerium-note": nested}} if {
	some name, value in input.session.claims
	some part in split(input.attributes.request.http.headers.cookie, "; ")
	nested := input.session.claims.deep[0].api_token
	auth := split(input.attributes.request.http.headers.authorization, " ")
	auth[1] != ""
	all := input.session
	count(all) > 0
	q := input.parsed_query
	raw := input.attributes.request.http.path
	renamed := {"note": concat("-", ["a", nested, raw, q.code[0], part, name, json.marshal(value)])}
	renamed.note == "never"
}
`))
	r := testRequest()
	r.Path = "/cb?code=" + secret + "&x=1"
	r.Headers = authz.Headers{{Name: "authorization", Value: "Bearer " + secret}, {Name: "cookie", Value: "theme=dark; other=" + secret}}
	r.Session.Identity.Claims = map[string]any{"password": secret, "deep": []any{map[string]any{"api_token": secret}}, "plain": "seen"}
	e := explain(t, p, r)
	b, err := json.Marshal(e.Rules)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), secret) {
		t.Errorf("the secret is in %s", b)
	}
	if !strings.Contains(string(b), "seen") || !strings.Contains(string(b), authz.Masked) {
		t.Errorf("what is no secret is gone, or nothing is masked: %s", b)
	}
	if got := e.Hide("a " + secret + " b"); got != "a (masked) b" {
		t.Errorf("Hide gives %q", got)
	}
}

// TestExplainIsBounded runs by itself: the trace has five seconds. Where the machine
// is so busy that they end first, time after time, that is the bound.
func TestExplainIsBounded(t *testing.T) {
	p := mustCompile(t, rego(`
default decision := false
decision if {
	some i in numbers.range(1, 40000)
	big := numbers.range(1, 5)
	count(big) < i - 200000
}
`))
	e, err := p.Explain(t.Context(), testRequest())
	for range 2 {
		if err != nil {
			e, err = p.Explain(t.Context(), testRequest())
		}
	}
	if late, ok := errors.AsType[*engine.Error](err); ok && late.Kind == engine.Timeout {
		t.Logf("three times: %v", late)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(e.Rules)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Cut || e.Events < 100_000 || len(b) > 16<<10 {
		t.Errorf("cut %t after %d events, %d bytes", e.Cut, e.Events, len(b))
	}
}

// The language's forms: none may panic, mix up rules or lose a value.
func TestExplainKnowsTheFormsOfRego(t *testing.T) {
	t.Parallel()
	e := explain(t, mustCompile(t, rego(`
default decision := false
decision := {"allowed": true, "reasons": names} if {
	size("abc") == 3
	grade == "low"
	every r in input.session.roles { startswith(r, "neo") }
	count([x | some x in input.session.roles; x != "q"]) == 1
	input.route.name in {"portal", "api"}
	object.get(table, "b", 0) == 2
	not missing
	obj.key == "v"
}
size(s) := 0 if s == ""
size(s) := count(s) if s != ""
grade := "high" if { input.parsed_path[0] == "zzz" } else := "low" if { true }
names contains "fine" if true
names contains x if { some x in ["also_fine"] }
table := {"a": 1, "b": 2}
missing if input.session.claims.nothing
obj[k] := v if { k := "key"; v := "v" }
unasked if { true }
`)), testRequest())
	if e.Err != nil || !e.Decision.Allowed {
		t.Fatalf("%+v %v", e.Decision, e.Err)
	}
	for text, state := range map[string]engine.State{
		"decision := {": engine.Held, "size(s) := 0": engine.NotHeld, "size(s) := count(s)": engine.Held, `grade := "high"`: engine.NotHeld,
		`names contains "fine"`: engine.Held, "names contains x": engine.Held, "missing if": engine.NotHeld, "obj[k]": engine.Held, "unasked": engine.NotEvaluated,
	} {
		if x := find(t, e, text); x.State != state || x.Decided != (state != engine.NotEvaluated) && text != "size(s) := 0" && text != `grade := "high"` {
			t.Errorf("%s: %+v, want %s", text, x, state)
		}
	}
}

func TestExplainSaysWhyADecisionIsUndefined(t *testing.T) {
	t.Parallel()
	e := explain(t, mustCompile(t, rego("decision := true if input.session.user.id == \"nobody\"")), testRequest())
	if e.Err == nil || e.Decision != nil || len(e.Rules) != 1 {
		t.Fatalf("%+v", e)
	}
	if x := e.Rules[0]; x.State != engine.NotHeld || !x.Decided || valueOf(x, "input.session.user.id") != `"u1"` {
		t.Errorf("%+v", x)
	}
}
