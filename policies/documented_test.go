package policies_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"
)

// documented is the shape of testdata/documented/*/expected.json.
type documented struct {
	Entrypoint string    `json:"entrypoint"`
	Now        time.Time `json:"now"`
	Cases      []struct {
		Name     string `json:"name"`
		Input    any    `json:"input"`
		Decision any    `json:"decision"`
	} `json:"cases"`
}

// The stock evaluator gives the decisions that the examples expect, so whatever
// else runs them is measured against the truth.
func TestDocumentedShapes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "documented", "*", "expected.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want documented
			decode(t, raw, &want)
			query, err := rego.New(
				rego.Query(want.Entrypoint),
				rego.Load([]string{filepath.Join(dir, "policy.rego")}, nil),
			).PrepareForEval(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range want.Cases {
				results, err := query.Eval(context.Background(), rego.EvalInput(c.Input), rego.EvalTime(want.Now))
				if err != nil {
					t.Fatal(err)
				}
				var got any
				if len(results) == 1 {
					got = results[0].Expressions[0].Value
				}
				if !reflect.DeepEqual(normal(t, got), normal(t, c.Decision)) {
					t.Errorf("%s: decision\n %v, want\n %v", c.Name, got, c.Decision)
				}
			}
		})
	}
}

// decode refuses fields that documented lacks, and keeps numbers exact.
func decode(t *testing.T, raw []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// normal brings a value into the form that decode gives.
func normal(t *testing.T, value any) any {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	decode(t, raw, &out)
	return out
}
