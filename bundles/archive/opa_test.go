package archive_test

import (
	"bytes"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
)

// What OPA writes and signs is read and found good here.
func TestABundleThatOPAWritesAndSignsIsTaken(t *testing.T) {
	t.Parallel()
	private, public := pair(t, "ES256", "release")
	text := "package neosc.authz\n\ndecision := true\n"
	roots := []string{"neosc"}
	b := bundle.Bundle{
		Manifest: bundle.Manifest{Revision: "opa-1", Roots: &roots},
		Data:     map[string]any{"neosc": map[string]any{"open": true, "list": []any{"<a>", nil, "é"}}},
		Modules:  []bundle.ModuleFile{{URL: "/authz.rego", Path: "/authz.rego", RelativePath: "/authz.rego", Raw: []byte(text), Parsed: ast.MustParseModule(text)}},
	}
	b.SetRegoVersion(ast.RegoV1)
	if err := b.GenerateSignature(bundle.NewSigningConfig(private, "ES256", ""), "release", false); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).Write(b); err != nil {
		t.Fatal(err)
	}
	a := read(t, out.Bytes())
	if a.Manifest.Revision != "opa-1" || len(a.Files) != 2 || a.Files[0].Name != "authz.rego" {
		t.Errorf("%+v, %d files", a.Manifest, len(a.Files))
	}
	s, err := trust(t, public).Verify(a, noon)
	if err != nil || s.KeyID != "release" {
		t.Errorf("%+v, %v", s, err)
	}
}
