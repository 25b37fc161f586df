package access_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/access"
	"github.com/neosc/gate/policies"
)

func compiled(t *testing.T, src engine.Source) access.Policy {
	t.Helper()
	modules := maps.Clone(src.Modules)
	src.Timeout = 30 * time.Second
	p, err := engine.Compile(src, engine.Edge{SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: []string{"accept", "origin", "access-control-request-method", "x-tenant"},
		Settable: []string{"x-pomerium-*", "x-session-id", "x-user-email", "x-workspace-type"}})
	if err != nil {
		t.Fatal(err)
	}
	return access.Policy{Judge: engine.NewJudge(p), Modules: modules}
}

// opens is a policy that opens everything on a condition.
func opens(t *testing.T, condition string, data map[string]any, rest ...string) access.Policy {
	t.Helper()
	text := "package neosc.authz\n\ndefault decision := {\"allowed\": false, \"reasons\": [\"no\"]}\n\ndecision := {\"allowed\": true, \"reasons\": [\"yes\"]} if {\n\t" + condition + "\n}\n" + strings.Join(rest, "\n")
	return compiled(t, engine.Source{Modules: map[string]string{"a.rego": text}, Data: data})
}

// TestDiffFindsConstantsOfRules: one condition for another, each of which holds
// for what the rules alone name.
func TestDiffFindsConstantsOfRules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][2]string{
		"ClaimText":      {`input.session.claims.tier == "gold"`, `input.session.claims.tier == "silver"`},
		"ClaimByName":    {`claims := input.session.claims; claims.tier == "gold"`, `claims := input.session.claims; claims.tier == "silver"`},
		"ClaimList":      {`"gold" in input.session.claims.tiers`, `"silver" in input.session.claims.tiers`},
		"ClaimNumber":    {`input.session.claims.level >= 3`, `input.session.claims.level >= 2`},
		"ClaimBeyond":    {`input.session.claims.level > 3`, `input.session.claims.level > 4`},
		"ClaimFraction":  {`input.session.claims.level > 3.5`, `input.session.claims.level > 0.5`},
		"Role":           {`"auditor" in input.session.roles`, `"auditors" in input.session.roles`},
		"Group":          {`"ops" in input.session.groups`, `"devs" in input.session.groups`},
		"EmailDomain":    {`endswith(input.session.user.email, "@a.example")`, `endswith(input.session.user.email, "@b.example")`},
		"Email":          {`input.session.user.email == "a@a.example"`, `input.session.user.email == "b@a.example"`},
		"Organization":   {`input.session.user.organization == "7"`, `input.session.user.organization == "8"`},
		"User":           {`input.session.user.id == "u-7"`, `input.session.user.id == "u-8"`},
		"Provider":       {`input.session.provider == "cloud"`, `input.session.provider == "other"`},
		"Factor":         {`"hwk" in input.session.amr`, `"face" in input.session.amr`},
		"Kind":           {`input.session.kind == "bearer"`, `input.session.kind == "none"`},
		"Address":        {`net.cidr_contains("10.0.0.0/8", input.attributes.source.address.socketAddress.address)`, `net.cidr_contains("10.0.0.0/16", input.attributes.source.address.socketAddress.address)`},
		"Host":           {`input.attributes.request.http.host == "a.example"`, `input.attributes.request.http.host == "b.example"`},
		"Path":           {`startswith(input.attributes.request.http.path, "/ops/")`, `startswith(input.attributes.request.http.path, "/dev/")`},
		"PathSegment":    {`input.parsed_path[0] == "ops"`, `input.parsed_path[0] == "dev"`},
		"Setting":        {`input.route.policy.level == "high"`, `input.route.policy.level == "low"`},
		"Hour":           {`[h, _, _] := time.clock([time.now_ns(), "UTC"]); h >= 22`, `[h, _, _] := time.clock([time.now_ns(), "UTC"]); h >= 23`},
		"Date":           {`time.now_ns() > time.parse_rfc3339_ns("2027-01-01T00:00:00Z")`, `time.now_ns() > time.parse_rfc3339_ns("2028-01-01T00:00:00Z")`},
		"TextOfData":     {`input.session.claims.tier == data.best`, `input.session.claims.tier == data.worst`},
		"OfAnotherRule":  {`best[input.session.claims.tier]`, `worst[input.session.claims.tier]`},
		"NamedElsewhere": {`mail == "a@a.example"`, `mail == "b@a.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := map[string]any{"best": "gold", "worst": "tin"}
			rest := []string{`best := {"gold"}`, `worst := {"tin"}`, `mail := input.session.user.email`}
			old, now := opens(t, c[0], data, rest...), opens(t, c[1], data, rest...)
			d, err := access.OfPolicies(ops, old, now).Diff(t.Context(), old.Judge, now.Judge, nil)
			if err != nil || d.Changed == 0 || d.Disagreed > 0 {
				t.Errorf("%d of %d are decided otherwise, %v, unexplored %q", d.Changed, d.Asked, err, d.Unexplored)
			}
		})
	}
}

// TestAZeroSaysWhatItDoesNotCover: changes that are not found, and the input of
// which that is said.
func TestAZeroSaysWhatItDoesNotCover(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][3]string{
		"Header":          {`input.attributes.request.http.headers["x-tenant"] == "1"`, `input.attributes.request.http.headers["x-tenant"] == "2"`, "input.attributes.request.http.headers.x-tenant"},
		"Query":           {`input.parsed_query.a[0] == "1"`, `input.parsed_query.a[0] == "2"`, "input.parsed_query.a"},
		"Pattern":         {`regex.match("^g[0-9]{3}$", input.session.claims.tier)`, `regex.match("^h[0-9]{3}$", input.session.claims.tier)`, "input.session.claims.tier: "},
		"PatternOfGroup":  {`regex.match("^g[0-9]{3}$", input.session.groups[0])`, `regex.match("^h[0-9]{3}$", input.session.groups[0])`, "input.session.groups"},
		"AnyClaim":        {`some claim in input.session.claims; claim.deep == 1`, `some claim in input.session.claims; claim.deep == 2`, "input.session.claims.*: "},
		"DeepClaim":       {`input.session.claims.a.b == "1"`, `input.session.claims.a.b == "2"`, "input.session.claims.a.b"},
		"Port":            {`input.attributes.source.address.socketAddress.portValue == 1`, `input.attributes.source.address.socketAddress.portValue == 2`, "input.attributes.source.address.socketAddress.portValue"},
		"Scheme":          {`input.attributes.request.http.scheme == "http"`, `input.attributes.request.http.scheme == "ftp"`, "input.attributes.request.http.scheme"},
		"PathByPattern":   {`regex.match("^/a[0-9]+$", input.attributes.request.http.path)`, `regex.match("^/b[0-9]+$", input.attributes.request.http.path)`, "input.attributes.request.http.path: "},
		"Instant":         {`time.now_ns() < 5`, `time.now_ns() < 6`, "time.now_ns: "},
		"ThroughFunction": {`ours(input.session.user.email, "2")`, `ours(input.session.user.email, "3")`, "input.session.user.email"},
		"ThroughRule":     {`mail == concat("", ["a", "2"])`, `mail == concat("", ["a", "3"])`, "input.session.user.email"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rest := []string{`ours(a, n) if a == concat("", ["x", n])`, `mail := input.session.user.email`}
			old, now := opens(t, c[0], nil, rest...), opens(t, c[1], nil, rest...)
			d, err := access.OfPolicies(ops, old, now).Diff(t.Context(), old.Judge, now.Judge, nil)
			says := func(list []string) bool {
				return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, c[2]) })
			}
			if err != nil || d.Changed != 0 || !says(d.Unexplored) || !says(d.Relevant) {
				t.Errorf("%d of %d are decided otherwise, %v, unexplored %q, relevant %q", d.Changed, d.Asked, err, d.Unexplored, d.Relevant)
			}
			d, err = access.OfPolicies(ops, old, old).Diff(t.Context(), old.Judge, old.Judge, nil)
			if err != nil || d.Changed != 0 || len(d.Relevant) > 0 || !says(d.Unexplored) {
				t.Errorf("of one policy: %v, unexplored %q, relevant %q", err, d.Unexplored, d.Relevant)
			}
		})
	}
}

func TestWhatChangedDataIsReadWithIsRelevant(t *testing.T) {
	t.Parallel()
	condition := `input.attributes.request.http.headers["x-tenant"] == data.tenant`
	old, now := opens(t, condition, map[string]any{"tenant": "1"}), opens(t, condition, map[string]any{"tenant": "2"})
	u := access.OfPolicies(ops, old, now)
	if want := []string{"input.attributes.request.http.headers.x-tenant"}; !slices.Equal(u.Relevant, want) {
		t.Errorf("%q, want %q", u.Relevant, want)
	}
}

func TestWithoutTextsOfRulesAllIsUnexplored(t *testing.T) {
	t.Parallel()
	p := opens(t, `input.session.claims.tier == "gold"`, nil)
	u := access.Of(ops, p.Judge)
	if !slices.ContainsFunc(u.Unexplored, func(s string) bool { return strings.HasPrefix(s, "input.session.claims.tier") }) {
		t.Errorf("%q", u.Unexplored)
	}
}

func TestBoundsOfTheMatrixAreTold(t *testing.T) {
	t.Parallel()
	roles, texts := map[string]any{}, []string{}
	for i := range 100 {
		text := "x" + strings.Repeat("y", i)
		if texts = append(texts, `"`+text+`"`); len(text) < 64 {
			roles[text] = true
		}
	}
	u := access.OfPolicies(ops, opens(t, `"a" in input.session.roles; input.session.claims.tier in {`+strings.Join(texts, ", ")+`}`, map[string]any{"roles": roles}))
	for _, want := range []string{"roles: ", "input.session.claims.tier: "} {
		if !slices.ContainsFunc(u.Unexplored, func(s string) bool { return strings.HasPrefix(s, want) && strings.Contains(s, " are not tried") }) {
			t.Errorf("%q is not in %q", want, u.Unexplored)
		}
	}
}

// TestEachDayOfTheWeekIsTried: of the policy that is shipped, one day closed or
// opened.
func TestEachDayOfTheWeekIsTried(t *testing.T) {
	t.Parallel()
	shipped := func(day string) access.Policy {
		src, err := bundles.Load(policies.Files())
		if err != nil {
			t.Fatal(err)
		}
		days := src.Data["neosc"].(map[string]any)["hours"].(map[string]any)["days"].(map[string]any)
		if day != "" {
			days[day] = days[day] != true
		}
		return compiled(t, src)
	}
	old := shipped("")
	for d := time.Sunday; d <= time.Saturday; d++ {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			now := shipped(d.String())
			u := access.OfPolicies(map[string]*authz.Route{"portal": {Name: "portal", Policy: map[string]any{"business_hours": true}}}, old, now)
			u.Paths["portal"] = []string{"/"}
			diff, err := u.Diff(t.Context(), old.Judge, now.Judge, []string{"portal"})
			if err != nil || diff.Changed == 0 {
				t.Errorf("%d of %d are decided otherwise, %v", diff.Changed, diff.Asked, err)
			}
		})
	}
}

func TestHoursOfEachZoneAreTried(t *testing.T) {
	t.Parallel()
	hours := func(zone string, from, until json.Number) map[string]any {
		return map[string]any{"timezone": zone, "from": []any{from, json.Number("0"), json.Number("0")}, "until": []any{until, json.Number("0"), json.Number("0")}}
	}
	at := func(until json.Number) access.Policy {
		return opens(t, `t := time.clock([time.now_ns(), data.b.timezone]); t >= data.b.from; t < data.b.until`,
			map[string]any{"a": hours("America/Mexico_City", "8", "20"), "b": hours("Europe/Berlin", "6", until)})
	}
	old, now := at("7"), at("9")
	for range 20 {
		u := access.OfPolicies(ops, old, now)
		if len(u.Hours) != 3 {
			t.Fatalf("%+v", u.Hours)
		}
		if zone := u.Hours[0].Zone.String(); zone != "America/Mexico_City" { // that of "a", whatever order a map has
			t.Fatalf("the usual hours are those of %s", zone)
		}
		d, err := u.Diff(t.Context(), old.Judge, now.Judge, nil)
		if err != nil || d.Changed == 0 {
			t.Fatalf("%+v %v", d, err)
		}
	}
}
