package deploy

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	mesh "istio.io/api/mesh/v1alpha1"
)

// TestIstiosProviderFailsShut reads the mesh configuration by Istio's own type,
// which refuses fields that it does not have.
func TestIstiosProviderFailsShut(t *testing.T) {
	b, err := os.ReadFile("../../deploy/istio/mesh.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var o any
	if err := yaml.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var m mesh.MeshConfig
	if err := protojson.Unmarshal(j, &m); err != nil {
		t.Fatalf("deploy/istio/mesh.yaml: %v", err)
	}
	if len(m.GetExtensionProviders()) != 1 {
		t.Fatalf("it has %d providers, want 1", len(m.GetExtensionProviders()))
	}
	p := m.GetExtensionProviders()[0].GetEnvoyExtAuthzGrpc()
	if p == nil || p.GetFailOpen() || p.GetStatusOnError() != "503" || p.GetTimeout().AsDuration() != time.Second || p.GetClearRouteCache() {
		t.Errorf("the provider is %v", p)
	}
}
