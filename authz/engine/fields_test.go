package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// TestEveryFieldReachesPolicy has a policy per way of reading each part,
// and compares what it sees with the whole document.
func TestEveryFieldReachesPolicy(t *testing.T) {
	whole, err := newBuilder(Edge{IdentityPrefix: "x-"}).build(fullRequest())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"input.version", "input.parsed_path", "input.parsed_path[1]", "input.parsed_query", "input.parsed_query.x", "input.route",
		"input.session", "input.session.claims.exp", "input.attributes.contextExtensions", "input.attributes.contextExtensions.route",
		"input.attributes.source", "input.attributes.source.address.socketAddress.portValue", "input.attributes.destination",
		"input.attributes.source.certificate", "input.attributes.source.certificate.uri_names[0]", "input.attributes.source.certificate.not_after",
		"input.attributes.request.time", "input.attributes.request.http.id", "input.attributes.request.http.method",
		"input.attributes.request.http.headers.accept", "input.attributes.request.http.headers.cookie",
		"input.attributes.request.http.path", "input.attributes.request.http.host", "input.attributes.request.http.scheme",
		"input.attributes.request.http.protocol",
	} {
		ref := ast.MustParseRef(path)
		want, err := whole.Value.Find(ref[1:])
		if err != nil {
			t.Fatal(path, err)
		}
		keys := ast.NewArray(slices.Clone(ref[1:])...)
		for how, rule := range map[string]string{
			"plainly":         fmt.Sprintf("x := %s", path),
			"by a function":   fmt.Sprintf("x := object.get(input, %s, null)", keys),
			"by a variable":   fmt.Sprintf("x := y if {\n\ta := input\n\ty := a%s\n}", path[len("input"):]),
			"by another rule": fmt.Sprintf("a := input\n\nx := a%s", path[len("input"):]),
		} {
			p, err := Compile(Source{
				Modules:    map[string]string{"p.rego": "package p\n\ndecision := {\"allowed\": true, \"dynamic_metadata\": {\"x\": x}}\n\n" + rule},
				EntryPoint: "data.p.decision", Timeout: DefaultTimeout * 100,
			}, Edge{IdentityPrefix: "x-", Forwarded: []string{"accept", "cookie"}})
			if err != nil {
				t.Fatal(path, how, err)
			}
			d, err := p.Decide(context.Background(), fullRequest())
			if err != nil {
				t.Fatal(path, how, err)
			}
			got, err := ast.InterfaceToValue(d.Metadata["x"])
			if err != nil || got.Compare(want) != 0 {
				t.Errorf("%s read %s: got %v, want %v", path, how, got, want)
			}
		}
	}
}
