package machine

import (
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

func mustParse(tb testing.TB, text string) *ast.Module {
	tb.Helper()
	m, err := ast.ParseModuleWithOpts("t.rego", text, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}
