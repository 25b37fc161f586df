package engine_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/neosc/gate/authz/engine"
)

//go:generate go test -run TestSchemaFileIsCurrent -update .

var update = flag.Bool("update", false, "write policies/schema/input.json anew")

const schemaFile = "../../policies/schema/input.json"

// TestSchemaFileIsCurrent holds the file that policy authors check against to
// the Go types, their comments included.
func TestSchemaFileIsCurrent(t *testing.T) {
	schema := engine.Schema()
	describe(t, schema)
	want, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s does not match types.go; run go generate ./authz/engine", schemaFile)
	}
}

// describe adds the doc comments of types.go as descriptions.
func describe(t *testing.T, schema map[string]any) {
	file, err := parser.ParseFile(token.NewFileSet(), "types.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		fields := map[string]string{}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			tag := strings.TrimPrefix(strings.Trim(f.Tag.Value, "`"), `json:"`)
			name, _, _ := strings.Cut(strings.TrimSuffix(tag, `"`), ",")
			text := strings.Join(strings.Fields(f.Doc.Text()), " ")
			if text == "" {
				t.Errorf("%s.%s has no comment", spec.Name.Name, name)
			}
			fields[name] = text
		}
		docs[spec.Name.Name] = fields
		return false
	})
	addDescriptions(schema, docs)
}

func addDescriptions(schema map[string]any, docs map[string]map[string]string) {
	properties, _ := schema["properties"].(map[string]any)
	title, _ := schema["title"].(string)
	for name, p := range properties {
		sub := p.(map[string]any)
		addDescriptions(sub, docs)
		sub["description"] = docs[title][name]
	}
}
