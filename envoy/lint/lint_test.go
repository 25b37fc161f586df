package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
	"github.com/neosc/gate/envoy/lint"
)

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func check(t *testing.T, name string, data []byte) *lint.Report {
	t.Helper()
	r, err := lint.Check(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rules lists what was found, notes apart, each once.
func rules(r *lint.Report) []string {
	var out []string
	for _, f := range r.Findings {
		if f.Severity != lint.Note {
			out = append(out, f.Rule)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wanted are the rules that the file's second line names.
func wanted(t *testing.T, name string, data []byte) []string {
	t.Helper()
	if strings.HasSuffix(name, ".json") { // which has no comments
		return []string{"failure_mode_allow"}
	}
	_, rest, ok := strings.Cut(string(data), "\n# want: ")
	line, _, _ := strings.Cut(rest, "\n")
	if !ok || line == "" {
		t.Fatalf("%s does not say what is wanted", name)
	}
	return strings.Fields(line)
}

func TestEachBrokenConfigIsCaught(t *testing.T) {
	files, err := os.ReadDir("testdata/broken")
	if err != nil || len(files) < 10 {
		t.Fatal(err, len(files))
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			data := read(t, "testdata/broken", f.Name())
			r := check(t, f.Name(), data)
			if got, want := rules(r), wanted(t, f.Name(), data); !slices.Equal(got, want) {
				t.Errorf("found %v, want %v\n%+v", got, want, r.Findings)
			}
			for _, f := range r.Findings {
				if f.Path == "" || f.Problem == "" || f.Severity != lint.Note && f.Mend == "" {
					t.Errorf("a finding without place, problem or mend: %+v", f)
				}
			}
			if r.Clean() || r.Listeners != 1 || r.Routes != 2 {
				t.Errorf("clean %v, %d listeners, %d routes", r.Clean(), r.Listeners, r.Routes)
			}
		})
	}
}

func TestAHardenedEdgeIsClean(t *testing.T) {
	r := check(t, "good.yaml", read(t, "testdata/good.yaml"))
	if len(r.Findings) > 0 {
		t.Errorf("%+v", r.Findings)
	}
}

// TestOurOwnOutputIsClean renders the shipped routes, with all that is optional.
func TestOurOwnOutputIsClean(t *testing.T) {
	production, err := route.Load("../../deploy/production/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, leash := range []string{"/run/gate/leash.sock"} {
		b, err := envoy.Bootstrap(envoy.Options{
			Routes: production, AuthzSocket: "/run/gate/authz.sock", GateSocket: "/run/gate/http.sock", LeashSocket: leash, AdminSocket: "/run/gate/envoy.sock",
		})
		if err != nil {
			t.Fatal(err)
		}
		y, err := envoy.RenderYAML(b)
		if err != nil {
			t.Fatal(err)
		}
		r := check(t, "bootstrap", y)
		if len(r.Findings) > 0 || r.Listeners != 1 || r.Routes < 10 {
			t.Errorf("%d listeners, %d routes: %+v", r.Listeners, r.Routes, r.Findings)
		}
	}
}

func TestAFindingSaysWhere(t *testing.T) {
	r := check(t, "x", read(t, "testdata/broken/failure_mode_allow.yaml"))
	const want = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.failure_mode_allow"
	if len(r.Findings) != 1 || r.Findings[0].Path != want || r.Findings[0].Severity != lint.Error {
		t.Errorf("%+v", r.Findings)
	}
}

func TestWhatIsUnknownIsNamedNotJudged(t *testing.T) {
	good := string(read(t, "testdata/good.yaml"))
	data := strings.Replace(good, "          - name: envoy.filters.http.router\n", `          - name: acme
            typed_config: {"@type": type.googleapis.com/acme.filters.v1.Thing, surprising: [1, {deep: true}]}
          - name: envoy.filters.http.router
`, 1)
	r := check(t, "x", []byte(data))
	if len(r.Findings) != 1 || r.Findings[0].Rule != "not_judged" || !strings.Contains(r.Findings[0].Problem, "Thing") || !r.Clean() {
		t.Errorf("%+v", r.Findings)
	}
}

func TestWhatIsNoConfigIsRefused(t *testing.T) {
	for name, data := range map[string]string{
		"Empty": "", "Text": "hello", "List": "[1, 2]", "NoYAML": "a: [", "NothingInIt": "node: {id: x}",
		"Deep":    "static_resources: " + strings.Repeat("[", 5000),
		"DeepToo": `{"static_resources":` + strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 301),
		"Aliases": bomb(),
	} {
		if r, err := lint.Check(name, []byte(data)); err == nil {
			t.Errorf("%s: judged: %+v", name, r)
		}
	}
	if _, err := lint.Check("large", make([]byte, lint.MaxSize+1)); err == nil {
		t.Error("more than MaxSize was judged")
	}
}

// bomb is YAML that grows a billionfold by aliases.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return b.String()
}

// FuzzCheck: whatever is in a file, it is judged or refused.
func FuzzCheck(f *testing.F) {
	f.Add([]byte("admin: {}\n"))
	for _, p := range []string{"testdata/good.yaml", "testdata/broken/config_dump.json", "testdata/broken/client_chooses.yaml"} {
		b, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := lint.Check("x", data)
		if (r == nil) == (err == nil) {
			t.Errorf("report %v and error %v", r, err)
		}
	})
}
