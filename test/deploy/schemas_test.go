package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// published names the modules whose custom resources are judged here, with the
// checksum of what was read when the manifests were written.
var published = map[string]struct{ sum, files string }{
	"github.com/envoyproxy/gateway@v1.9.1": {"h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=", "charts/gateway-helm/charts/crds/crds/*.yaml charts/gateway-helm/charts/crds/crds/generated/*.yaml"},
	"istio.io/api@v1.31.1":                 {"h1:5Yb5ihcz4YQsCkciusK7DnFpBMwRB6EFWeUKH1Atuyk=", "kubernetes/customresourcedefinitions.gen.yaml"},
}

// kubernetesSchemas is where install.sh puts Kubernetes' own, strict ones.
const kubernetesSchemas = "../../.tools/kubernetes-schemas/kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict"

// judge refuses what no schema describes.
func judge(t *testing.T, object map[string]any) error {
	t.Helper()
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	if s, ok := customSchemas(t)[version+" "+kind]; ok {
		return s.Validate(object)
	}
	group, v, found := strings.Cut(version, "/")
	name := strings.ToLower(kind)
	switch {
	case !found:
		name += "-" + group
	default:
		group, _, _ = strings.Cut(group, ".")
		name += "-" + group + "-" + v
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(kubernetesLoader{})
	s, err := c.Compile(kubernetesID + name + ".json")
	if err != nil {
		return err
	}
	return s.Validate(object)
}

// kubernetesID is where Kubernetes' schemas say they are.
const kubernetesID = "https://kubernetes.io/api/"

// kubernetesLoader finds them where install.sh put them, and nothing else.
type kubernetesLoader struct{}

func (kubernetesLoader) Load(url string) (any, error) {
	name, ok := strings.CutPrefix(url, kubernetesID)
	if !ok {
		return nil, fmt.Errorf("%s is not read", url)
	}
	b, err := os.ReadFile(filepath.Join(kubernetesSchemas, filepath.Base(name)))
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(b))
}

var custom = sync.OnceValues(readCustomSchemas)

func customSchemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	all, err := custom()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func readCustomSchemas() (map[string]*jsonschema.Schema, error) {
	all := map[string]*jsonschema.Schema{}
	for module, p := range published {
		out, err := exec.Command("go", "mod", "download", "-json", module).Output()
		if err != nil {
			return nil, fmt.Errorf("go mod download %s: %w\n%s", module, err, out)
		}
		var got struct{ Dir, Sum string }
		if err := json.Unmarshal(out, &got); err != nil {
			return nil, err
		}
		if got.Sum != p.sum {
			return nil, fmt.Errorf("%s has checksum %s, want %s", module, got.Sum, p.sum)
		}
		for pattern := range strings.FieldsSeq(p.files) {
			files, err := filepath.Glob(filepath.Join(got.Dir, pattern))
			if err != nil || len(files) == 0 {
				return nil, fmt.Errorf("%s has no %s", module, pattern)
			}
			for _, f := range files {
				if err := addDefinitions(f, all); err != nil {
					return nil, fmt.Errorf("%s: %w", f, err)
				}
			}
		}
	}
	return all, nil
}

// addDefinitions reads the CustomResourceDefinitions of one file.
func addDefinitions(file string, all map[string]*jsonschema.Schema) error {
	objects, err := read(file)
	if err != nil {
		return err
	}
	for _, o := range objects {
		var d struct {
			Kind string
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
					}
				}
			}
		}
		b, err := json.Marshal(o)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &d); err != nil || d.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, v := range d.Spec.Versions {
			id := d.Spec.Group + "/" + v.Name + " " + d.Spec.Names.Kind
			c := jsonschema.NewCompiler()
			if err := c.AddResource("memory:///"+strings.ReplaceAll(id, " ", "/"), rooted(closed(v.Schema.OpenAPIV3Schema))); err != nil {
				return err
			}
			if all[id], err = c.Compile("memory:///" + strings.ReplaceAll(id, " ", "/")); err != nil {
				return err
			}
		}
	}
	return nil
}

// closed refuses the fields that a schema does not name: a server would drop
// them in silence, and with them what they were to protect.
func closed(schema map[string]any) map[string]any {
	if keep, _ := schema["x-kubernetes-preserve-unknown-fields"].(bool); keep {
		return schema
	}
	if props, ok := schema["properties"].(map[string]any); ok {
		for name, p := range props {
			if m, ok := p.(map[string]any); ok && name != "metadata" {
				props[name] = closed(m)
			}
		}
		if _, ok := schema["additionalProperties"]; !ok && schema["type"] == "object" {
			schema["additionalProperties"] = false
		}
	}
	for _, k := range []string{"items", "additionalProperties"} {
		if m, ok := schema[k].(map[string]any); ok {
			schema[k] = closed(m)
		}
	}
	return schema
}

// rooted allows what every object has, which some definitions leave unsaid.
func rooted(schema map[string]any) map[string]any {
	if props, ok := schema["properties"].(map[string]any); ok {
		for _, k := range []string{"apiVersion", "kind", "metadata"} {
			if _, ok := props[k]; !ok {
				props[k] = true
			}
		}
	}
	return schema
}

// read returns the objects of a YAML file as JSON has them.
func read(file string) ([]map[string]any, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []map[string]any
	for d := yaml.NewDecoder(bytes.NewReader(b)); ; {
		var o map[string]any
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if o == nil {
			continue
		}
		j, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
		if err != nil {
			return nil, err
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, errors.New("a document is no object")
		}
		all = append(all, m)
	}
}
