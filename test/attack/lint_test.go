package attack

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// typed calls f for every message of a type in an Envoy configuration.
func typed(v any, kind string, f func(map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			typed(x, kind, f)
		}
	case map[string]any:
		if name, _ := v["@type"].(string); strings.HasSuffix(name, "."+kind) {
			f(v)
		}
		for _, x := range v {
			typed(x, kind, f)
		}
	}
}

// B6: of the configuration that this siege is about nothing is to be said, and
// what would have let it in is found where it is.
func openedEdges(t *testing.T, s *siege) {
	dir := t.TempDir()
	file := filepath.Join(dir, "envoy.yaml")
	s.Run(t, "envoy", "bootstrap", "-o", file)
	own, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	linted := func(text []byte) (string, bool) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), s.Bin, "envoy", "lint", "-")
		cmd.Stdin = strings.NewReader(string(text))
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	if out, clean := linted(own); !clean {
		t.Errorf("the edge itself is not clean:\n%s", out)
	}
	const check, manager = "ExtAuthz", "HttpConnectionManager"
	for what, c := range map[string]struct {
		kind, rule string
		change     map[string]any
	}{
		"requests go on without a check": {check, "failure_mode_allow", map[string]any{"failure_mode_allow": true}},
		"the route is chosen anew":       {check, "clear_route_cache", map[string]any{"clear_route_cache": true}},
		"some are not checked":           {check, "filter_enabled", map[string]any{"deny_at_disable": nil, "filter_enabled": map[string]any{"default_value": map[string]any{"numerator": 50}}}},
		"nothing is stripped":            {manager, "not_stripped", map[string]any{"early_header_mutation_extensions": nil}},
		"paths stay as they came":        {manager, "normalize_path", map[string]any{"normalize_path": nil}},
		"escaped slashes are kept":       {manager, "escaped_slashes", map[string]any{"path_with_escaped_slashes_action": "KEEP_UNCHANGED"}},
	} {
		var doc map[string]any
		if err := yaml.Unmarshal(own, &doc); err != nil {
			t.Fatal(err)
		}
		changed := 0
		typed(doc, c.kind, func(m map[string]any) {
			changed++
			maps.Copy(m, c.change)
			maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
		})
		text, err := yaml.Marshal(doc)
		if err != nil || changed == 0 {
			t.Fatalf("%d %ss in the configuration: %v", changed, c.kind, err)
		}
		if out, clean := linted(text); clean || !strings.Contains(out, c.rule) {
			t.Errorf("where %s the linter does not say %s:\n%s", what, c.rule, out)
		}
	}
}
