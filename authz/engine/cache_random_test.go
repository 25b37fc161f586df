package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// conditions are parts of rules; %[1]d tells those of one rule apart.
var conditions = []string{
	`input.attributes.request.http.method == "GET"`,
	`startswith(input.attributes.request.http.path, "/a")`,
	`input.parsed_path[0] == "ana"`,
	`"ana" in input.session.roles`,
	`some role%[1]d in input.session.groups; role%[1]d != "bob"`,
	`input.session.claims.flag`,
	`not input.session.claims.flag`,
	`_ = input.session.claims.flag`,
	`is_string(input.session.claims.ends)`,
	`input.session.claims.level > 3`,
	`input.route.policy.zone`,
	`input.session`,
	`not input.session`,
	`input.session.user.email_verified`,
	`input.attributes.request.http.headers.accept != ""`,
	`input.parsed_query.ana[0] == "bob"`,
	`net.cidr_contains("10.0.0.0/8", input.attributes.source.address.socketAddress.address)`,
	`time.now_ns() < time.parse_rfc3339_ns(input.session.claims.ends)`,
	`time.now_ns() >= time.parse_rfc3339_ns(input.session.expires_at)`,
	`time.now_ns() < input.session.claims.until * 1000000000`,
	`time.now_ns() / 1000000000 >= input.session.claims.until`,
	`[hour%[1]d, minute%[1]d, _] := time.clock([time.now_ns(), %[2]q]); [hour%[1]d, minute%[1]d] >= [%[3]d, 30]`,
	`clock%[1]d := time.clock([time.now_ns(), %[2]q]); clock%[1]d < [%[3]d, 0, 0]`,
	`time.weekday([time.now_ns(), %[2]q]) in {"Saturday", "Sunday"}`,
	`time.weekday([time.now_ns(), data.zones[input.attributes.request.http.method]]) != "Friday"`,
	`[_, month%[1]d, day%[1]d] := time.date([time.now_ns(), %[2]q]); month%[1]d * 100 + day%[1]d > 329`,
	`time.format([time.now_ns(), %[2]q, "15:04"]) < "12:30"`,
	`time.add_date(time.now_ns(), 0, 0, 1) > time.parse_rfc3339_ns(input.session.claims.ends)`,
	`floor(time.now_ns() / 60000000000) %% 2 == 0`,
	`time.diff(time.now_ns(), time.parse_rfc3339_ns(input.session.authenticated_at))[3] < %[3]d`,
}

// values are what decisions say besides.
var values = []string{
	`object.get(object.get(input, "session", {}), "kind", "none")`, `time.format([time.now_ns(), "UTC", "2006-01-02"])`, `sprintf("%v", [data.zones])`,
	`concat(",", sort([z | some z in data.zones]))`, `sprintf("%d", [time.clock(time.now_ns())[0]])`,
}

// echoes are what decisions only pass on.
var echoes = []string{
	"input.session.user.id", "input.session.user.email", "input.session.id", "input.session.expires_at", "input.session.kind",
	"input.attributes.request.http.method", "input.attributes.request.http.headers.accept", "input.attributes.source.address.socketAddress.address",
}

// randomPolicy has some rules of some conditions each.
func randomPolicy(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("decision := {\"allowed\": allowed, \"reasons\": reasons, \"response_headers_to_add\": {\"x-a\": said, \"x-b\": echoed}}\n\n")
	b.WriteString("default allowed := false\n\ndefault said := \"\"\n\ndefault echoed := []\n\n")
	fmt.Fprintf(&b, "echoed := [%s, %s]\n\n", echoes[r.IntN(len(echoes))], echoes[r.IntN(len(echoes))])
	zones := []string{"Asia/Kolkata", "America/Mexico_City", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"}
	body := func() {
		b.WriteString(" if {\n")
		for i := range 1 + r.IntN(3) {
			c := conditions[r.IntN(len(conditions))]
			if strings.Contains(c, "%") {
				c = fmt.Sprintf(c+"%.[4]s", i, zones[r.IntN(len(zones))], r.IntN(24), "")
			}
			b.WriteString("\t" + c + "\n")
		}
		b.WriteString("}\n\n")
	}
	for range 1 + r.IntN(3) {
		b.WriteString("allowed")
		body()
	}
	for i := range 1 + r.IntN(4) {
		fmt.Fprintf(&b, "reasons contains \"r_%d\"", i)
		body()
	}
	fmt.Fprintf(&b, "said := %s", values[1+r.IntN(len(values)-1)])
	body()
	return b.String()
}

// Over random policies, requests and clocks, too, a remembered decision is what
// OPA would say at that instant. That enough is remembered for this to be worth
// something is asked of known policies only: how much it is of others is a
// matter of their draw.
func TestWhatIsRememberedOfRandomPolicies(t *testing.T) {
	t.Parallel()
	policies, steps := 40, 150
	if testing.Short() || slow {
		policies = 6
	}
	t.Run("Known", func(t *testing.T) {
		t.Parallel()
		if hits := rememberedOfPolicies(t, 1, policies, steps); hits < policies*steps/50 {
			t.Errorf("%d of %d only were remembered", hits, policies*steps)
		}
	})
	t.Run("New", func(t *testing.T) {
		t.Parallel()
		rememberedOfPolicies(t, rand.Uint64(), policies, steps)
	})
}

// rememberedOfPolicies compares as many policies of the seed as given, and
// returns how many decisions were remembered.
func rememberedOfPolicies(t *testing.T, seed uint64, policies, steps int) (hits int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 5))
	for range policies {
		rego := randomPolicy(r)
		p, err := Compile(Source{Modules: map[string]string{"a.rego": "package neosc.authz\n\n" + rego}, Data: cacheData()}, shippedEdge)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, rego)
		}
		hits += rememberedAsFresh(t, p, r.Uint64(), steps)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, rego)
		}
	}
	t.Logf("%d of %d were remembered", hits, policies*steps)
	return hits
}
