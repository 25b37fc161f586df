package inspect_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/inspect"
)

const rules = `package neosc.authz

# METADATA
# entrypoint: true
decision := {"allowed": allowed, "reasons": ["told"], "rate_limits": [{"name": "a", "key": "k", "requests_per_second": data.rate, "burst": 5}]}

default allowed := false

allowed if {
	some role in input.session.roles
	role in data.roles
}
`

// set is a policy folder of files: a name and a text each.
func set(t *testing.T, files ...string) *bundles.Opened {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{
		"authz.rego": rules, "data.json": `{"rate": 5, "roles": ["user", "admin"]}`,
		"authz_test.rego": "package neosc.authz_test\n\ntest_a if data.neosc.authz.decision.allowed with input as {\"session\": {\"roles\": [\"user\"]}}\n",
	}
	for i := 0; i < len(files); i += 2 {
		all[files[i]] = files[i+1]
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := bundles.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestInspectNamesRulesEntryPointsAndTests(t *testing.T) {
	t.Parallel()
	r, err := inspect.Inspect(set(t), "", nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range r.Rules {
		names = append(names, x.Path+"@"+strings.Join(x.At, "+"))
	}
	if got := strings.Join(names, " "); got != "neosc.authz.allowed@authz.rego:7+authz.rego:9 neosc.authz.decision@authz.rego:5" {
		t.Errorf("rules %s", got)
	}
	if strings.Join(r.EntryPoints, " ") != "neosc.authz.decision" || strings.Join(r.Tests, " ") != "neosc.authz_test.test_a" || len(r.Files) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestDiffFindsWhatIsOtherwise(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files []string
		says  string // how rules, tests and data differ
		group string // the largest group of decisions: from, to, parts
	}{
		"Nothing":         {nil, "", ""},
		"CommentsAndForm": {[]string{"authz.rego", "# other\n" + strings.ReplaceAll(rules, "default allowed := false", "default   allowed  :=  false")}, "", ""},
		"ARuleTurned":     {[]string{"authz.rego", strings.Replace(rules, "role in data.roles", "not role in data.roles", 1)}, "~neosc.authz.allowed", "told"},
		"ARoleLess":       {[]string{"data.json", `{"rate": 5, "roles": ["user"]}`}, "data /roles", "allow told>deny told"},
		"ALimit":          {[]string{"data.json", `{"rate": 6, "roles": ["user", "admin"]}`}, "data /rate", "rate_limits"},
		"ARuleMore":       {[]string{"more.rego", "package neosc.more\n\nx := 1\n"}, "+neosc.more.x", ""},
		"NoTests":         {[]string{"authz_test.rego", "package neosc.authz_test\n"}, "-neosc.authz_test.test_a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := inspect.Compare(t.Context(), set(t), set(t, c.files...), inspect.Options{Edge: engine.Edge{}, Requests: 1000})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range []inspect.Change{d.Rules, d.Tests} {
				for sign, names := range map[string][]string{"+": x.Added, "-": x.Removed, "~": x.Changed} {
					for _, n := range names {
						got = append(got, sign+n)
					}
				}
			}
			for _, x := range d.Data {
				got = append(got, "data "+x.Path)
			}
			if strings.Join(got, " ") != c.says {
				t.Errorf("differs %q, want %q", got, c.says)
			}
			group := ""
			if len(d.Decisions.Groups) > 0 {
				g := d.Decisions.Groups[0]
				group = g.Before + ">" + g.After + " " + strings.Join(g.Parts, "+")
			}
			if (c.group == "") != (group == "") || !strings.Contains(group, c.group) {
				t.Errorf("decisions: %q, want %q (%d of %d)", group, c.group, d.Decisions.Changed, d.Decisions.Asked)
			}
			if d.Empty() != (c.says == "" && c.group == "") {
				t.Errorf("empty: %v", d.Empty())
			}
		})
	}
}
