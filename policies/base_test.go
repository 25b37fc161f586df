package policies_test

import (
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/neosc/gate/policies"
)

func TestBaseHasWhatTheGatesOwnPagesNeed(t *testing.T) {
	t.Parallel()
	base, err := policies.Base()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{policies.SchemaFile, "lib/own.rego", "lib/paths.rego", "lib/roles.rego"} {
		if len(base[name]) == 0 {
			t.Errorf("%s is not there", name)
		}
	}
	var data struct {
		NeoSC map[string]any `yaml:"neosc"`
	}
	if err := yaml.Unmarshal(base[policies.DataFile], &data); err != nil {
		t.Fatal(err)
	}
	routes, _ := data.NeoSC["routes"].(map[string]any)
	names := []string{}
	for name := range routes {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"gate", "gate-api"}) || data.NeoSC["methods"] == nil || data.NeoSC["hours"] != nil {
		t.Errorf("routes are %v, data\n%s", names, base[policies.DataFile])
	}
}
