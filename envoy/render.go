package envoy

import (
	"bytes"
	"encoding/json"
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// RenderYAML writes a bootstrap as the YAML that Envoy reads. The same
// bootstrap always gives the same bytes: keys are sorted.
func RenderYAML(b *bootstrapv3.Bootstrap) ([]byte, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("rendering the bootstrap: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("rendering the bootstrap: %w", err)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(plainNumbers(tree)); err != nil {
		return nil, fmt.Errorf("rendering the bootstrap: %w", err)
	}
	return out.Bytes(), nil
}

// plainNumbers turns json.Number, which YAML would write as text, into numbers.
func plainNumbers(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, el := range x {
			x[k] = plainNumbers(el)
		}
	case []any:
		for i, el := range x {
			x[i] = plainNumbers(el)
		}
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return i
		}
		if f, err := x.Float64(); err == nil {
			return f
		}
	}
	return v
}
