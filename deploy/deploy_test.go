// Package deploy_test holds what lies in deploy to the program: the alert rules
// pass their own tests, and every metric that rules and dashboard name is one
// that the source registers.
package deploy_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const prefix = "pomerium_"

// registered returns the names of all metrics in the source, without prefix:
// every string constant of a non-test file that has the form of one. The files
// are read here, so that a cached result cannot hide that a name went.
func registered(t *testing.T) map[string]bool {
	t.Helper()
	form := regexp.MustCompile(`^(?:` + prefix + `)?([a-z]+(?:_[a-z0-9]+)+)$`)
	names := map[string]bool{}
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != ".." && (strings.HasPrefix(n, ".") || n == "testdata" || n == "test" || n == "out" || n == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil {
			return err
		}
		if !importsPrometheus(f) {
			return nil
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					if m := form.FindStringSubmatch(s); m != nil {
						names[m[1]] = true
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 5 {
		t.Fatalf("found only %d metrics; is the test in its place?", len(names))
	}
	return names
}

func importsPrometheus(f *ast.File) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool {
		return i.Path.Value == `"github.com/prometheus/client_golang/prometheus"`
	})
}

var metricName = regexp.MustCompile(`\b` + prefix + `[a-z0-9_]+`)

// named returns the metrics in a query, without prefix and histogram suffix.
func named(query string) []string {
	var out []string
	for _, m := range metricName.FindAllString(query, -1) {
		m = strings.TrimPrefix(m, prefix)
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			m = strings.TrimSuffix(m, suffix)
		}
		out = append(out, m)
	}
	return out
}

type rules struct {
	Groups []struct {
		Rules []struct{ Record, Alert, Expr string }
	}
}

func readRules(t *testing.T) rules {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("prometheus", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var r rules
	if err := yaml.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ Expr string }
}

func readDashboard(t *testing.T) (panels []panel, annotations []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("grafana", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels      []panel
		Annotations struct{ List []struct{ Expr string } }
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	for _, a := range d.Annotations.List {
		annotations = append(annotations, a.Expr)
	}
	return d.Panels, annotations
}

func TestEveryNamedMetricExists(t *testing.T) {
	t.Parallel()
	queries := map[string]string{}
	recorded := map[string]bool{}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			queries["rule "+r.Record+r.Alert] = r.Expr
			recorded[r.Record] = r.Record != ""
		}
	}
	panels, annotations := readDashboard(t)
	for _, p := range panels {
		for _, x := range p.Targets {
			queries["panel "+p.Title] += " " + x.Expr
		}
	}
	for _, a := range annotations {
		queries["annotation"] += " " + a
	}
	have := registered(t)
	seen := 0
	for where, q := range queries {
		for _, m := range named(q) {
			if seen++; !have[m] {
				t.Errorf("%s names %s%s, which the program does not register", where, prefix, m)
			}
		}
		for _, r := range regexp.MustCompile(`\bgate:[a-z0-9_:]+`).FindAllString(q, -1) {
			if !recorded[r] {
				t.Errorf("%s uses %s, which no rule records", where, r)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d metrics are named; are the files read?", seen)
	}
}

// The four queries that operators were promised, each in the rules and on the
// dashboard.
func TestTheFourQueriesAreThere(t *testing.T) {
	t.Parallel()
	var inRules, onDashboard strings.Builder
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			inRules.WriteString(r.Expr + "\n")
		}
	}
	panels, _ := readDashboard(t)
	for _, p := range panels {
		for _, x := range p.Targets {
			onDashboard.WriteString(x.Expr + "\n")
		}
	}
	for _, m := range []string{"authenticate_success_total", "authenticate_total", "authorize_deny_total", "active_sessions",
		"policy_evaluation_duration_seconds_sum", "policy_evaluation_duration_seconds_count"} {
		if !strings.Contains(inRules.String(), prefix+m) || !strings.Contains(onDashboard.String(), prefix+m) {
			t.Errorf("%s%s is not in both the rules and the dashboard", prefix, m)
		}
	}
}

func TestDashboardPanelsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	panels, _ := readDashboard(t)
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range panels {
		if ids[p.ID] {
			t.Errorf("panel id %d is used twice", p.ID)
		}
		ids[p.ID] = true
		if p.Title == "" || (p.Type != "row" && len(p.Targets) == 0) {
			t.Errorf("panel %d has no title or no query", p.ID)
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is wider than the grid", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("panels %q and %q overlap", other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

func TestRulesPassPromtool(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v (Debian package: prometheus)\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Each alert has a test that makes it fire: an alert that never can is worse
// than none.
func TestEveryAlertIsSeenFiring(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("prometheus", "rules_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Tests []struct {
			Alerts []struct {
				Name  string      `yaml:"alertname"`
				Fires []yaml.Node `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	fires := map[string]bool{}
	for _, x := range f.Tests {
		for _, a := range x.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Fires) > 0
		}
	}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			if r.Alert != "" && !fires[r.Alert] {
				t.Errorf("no test makes %s fire", r.Alert)
			}
		}
	}
}
