package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/authz/engine"
)

const testedPolicy = `package neosc.authz

decision := {"allowed": true, "reasons": ["ok"]} if staff

else := {"allowed": false, "reasons": ["role_required"]}

staff if "staff" in input.session.roles

never if input.session.id == data.banned
`

func runTests(t *testing.T, policy, tests string, o engine.TestOptions) (*engine.TestReport, error) {
	t.Helper()
	src := engine.Source{Modules: map[string]string{"authz.rego": policy}, Data: map[string]any{"banned": "x"}}
	return engine.RunTests(t.Context(), src, map[string]string{"authz_test.rego": tests}, engine.Edge{SessionCookie: "_pomerium", Forwarded: []string{"accept"}}, o)
}

const someTests = `package neosc.authz_test

import data.neosc.authz

test_staff if authz.decision.allowed with input as {"session": {"roles": ["staff"]}}

test_wrong if {
	d := authz.decision with input as {}
	n := count(d.reasons)
	n == 2
}

test_cases[note] if {
	some note, roles in {"staff": ["staff"], "others": ["other"], "nobody": []}
	print("case", note)
	authz.decision.allowed with input as {"session": {"roles": roles}}
}

todo_test_later if false
`

func TestTestsAreRunAndFailuresExplained(t *testing.T) {
	t.Parallel()
	r, err := runTests(t, testedPolicy, someTests, engine.TestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Passed() || len(r.Tests) != 4 {
		t.Fatalf("%+v", r.Tests)
	}
	staff, wrong, cases, later := r.Tests[0], r.Tests[1], r.Tests[2], r.Tests[3]
	if !staff.Passed() || staff.Name != "neosc.authz_test.test_staff" || staff.Line != 5 || !later.Skipped {
		t.Errorf("%+v, %+v", staff, later)
	}
	if !wrong.Failed || wrong.FailedAt != "authz_test.rego:10" || !strings.Contains(wrong.Values, "n == 2") || !strings.Contains(wrong.Values, "1") {
		t.Errorf("%+v", wrong)
	}
	if !cases.Failed || cases.Count != 3 || !slices.Equal(cases.Cases, []string{"nobody", "others"}) || !strings.Contains(cases.Output, "case staff") {
		t.Errorf("%+v", cases)
	}
}

func TestCoverageNamesLinesThatNoTestReaches(t *testing.T) {
	t.Parallel()
	r, err := runTests(t, testedPolicy, someTests, engine.TestOptions{Run: "test_staff|test_wrong"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Tests) != 2 || len(r.Files) != 1 || !slices.Equal(r.Files[0].Missed, []int{9}) || r.Files[0].Lines <= r.Files[0].Covered {
		t.Errorf("%+v", r)
	}
}

func TestWhatTheGateRefusesIsNotTested(t *testing.T) {
	t.Parallel()
	passing := "package neosc.authz_test\n\ntest_it if true\n"
	for name, c := range map[string]struct{ policy, tests, says string }{
		"BuiltIn":         {testedPolicy + "\nout := http.send({\"method\": \"GET\", \"url\": \"http://a\"})\n", passing, "authz.rego:11: built-in http.send"},
		"BuiltInOfATest":  {testedPolicy, passing + "\ntest_out if rand.intn(\"a\", 2) == 1\n", "authz_test.rego:5: built-in rand.intn"},
		"Header":          {testedPolicy + "\nh := input.attributes.request.http.headers.forwarded\n", passing, "authz.rego:11"},
		"Field":           {testedPolicy + "\nh := input.session.role\n", passing, "authz.rego:11"},
		"TestThatIsNone":  {testedPolicy, "package (", "authz_test.rego:1"},
		"UnusedInATest":   {testedPolicy, passing + "\ntest_x if {\n\ty := 1\n\ttrue\n}\n", "authz_test.rego:6"},
		"NoEntryPoint":    {"package a\n\nx := 1\n", passing, "no rule data.neosc.authz.decision"},
		"WrongExpression": {testedPolicy, passing, "which tests"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := engine.TestOptions{}
			if name == "WrongExpression" {
				o.Run = "("
			}
			if _, err := runTests(t, c.policy, c.tests, o); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error does not say %q: %v", c.says, err)
			}
		})
	}
}

func TestASetWithoutTestsHasNotPassed(t *testing.T) {
	t.Parallel()
	r, err := runTests(t, testedPolicy, "package neosc.authz_test\n\ntodo_test_x if true\n", engine.TestOptions{})
	if err != nil || r.Passed() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTestsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	src := engine.Source{Modules: map[string]string{"authz.rego": testedPolicy}, Data: map[string]any{"banned": "x"}}
	_, err := engine.RunTests(ctx, src, map[string]string{"authz_test.rego": someTests}, engine.Edge{}, engine.TestOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
