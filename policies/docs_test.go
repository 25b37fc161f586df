package policies_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/policies"
)

var (
	regoBlock   = regexp.MustCompile("(?s)```rego\n(.*?)```")
	packageLine = regexp.MustCompile(`(?m)^package ([a-z_.]+)$`)
)

// Every Rego example of the page about policies compiles as the gate compiles it,
// beside the helpers that it shows, and passes the tests that it shows.
func TestExamplesOfTheDocumentationRun(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, section := range strings.Split(string(page), "\n## ") {
		heading, _, _ := strings.Cut(section, "\n")
		found := regoBlock.FindAllStringSubmatch(section, -1)
		if len(found) == 0 {
			continue
		}
		blocks += len(found)
		t.Run(strings.ReplaceAll(heading, " ", ""), func(t *testing.T) {
			t.Parallel()
			runExamples(t, found)
		})
	}
	if blocks < 4 {
		t.Errorf("%d examples were found: has the page another form now?", blocks)
	}
}

func runExamples(t *testing.T, found [][]string) {
	t.Helper()
	src, err := bundles.Load(policies.Files())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{}
	for _, block := range found {
		name := packageLine.FindStringSubmatch(block[1])
		switch {
		case name == nil:
			t.Fatalf("an example names no package:\n%s", block[1])
		case strings.HasSuffix(name[1], "_test"):
			tests["example_test.rego"] += block[1]
		case name[1] == "neosc.authz":
			src.Modules["authz.rego"] = block[1]
		default:
			src.Modules["example.rego"] = block[1]
		}
	}
	report, err := engine.RunTests(t.Context(), src, tests, engine.Edge{
		SessionCookie: "_pomerium", IdentityPrefix: "x-pomerium-", Forwarded: []string{"accept", "origin", "access-control-request-method"}, Settable: []string{"x-*"},
	}, engine.TestOptions{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Passed() {
		t.Errorf("%+v", report.Tests)
	}
}
