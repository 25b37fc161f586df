package policies_test

import (
	"context"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/neosc/gate/policies"
)

// prepare compiles the embedded policy for the stock evaluator.
func prepare(tb testing.TB) rego.PreparedEvalQuery {
	tb.Helper()
	bundle, err := loader.NewFileLoader().WithFS(policies.Files()).AsBundle(".")
	if err != nil {
		tb.Fatal(err)
	}
	options := []func(*rego.Rego){
		rego.Query(policies.Entrypoint),
		// Data read as AST values spares a conversion on every look-up.
		rego.Store(inmem.NewFromObjectWithOpts(bundle.Data,
			inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false))),
	}
	for _, module := range bundle.Modules {
		options = append(options, rego.ParsedModule(module.Parsed))
	}
	query, err := rego.New(options...).PrepareForEval(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return query
}

// request returns an input as the gate builds it.
func request(route, method, path string, segments, roles []any, settings, claims map[string]any) map[string]any {
	return map[string]any{
		"version": map[string]any{"encoding": "protojson", "ext_authz": "v3"},
		"attributes": map[string]any{
			"source": map[string]any{"address": map[string]any{
				"socketAddress": map[string]any{"address": "203.0.113.9", "portValue": 4711},
			}},
			"request": map[string]any{"http": map[string]any{
				"id": "7d4f", "method": method, "path": path, "host": "portal.kappa4.com", "scheme": "https",
				"protocol": "HTTP/1.1", "headers": map[string]any{"accept": "text/html", "user-agent": "test"},
			}},
			"contextExtensions": map[string]any{"route": route},
		},
		"parsed_path": segments, "parsed_query": map[string]any{}, "parsed_body": nil,
		"route": map[string]any{
			"name": route, "policy": settings,
			"identity_headers": map[string]any{"prefix": "x-pomerium-"},
		},
		"session": map[string]any{
			"id":    "5c1e",
			"user":  map[string]any{"id": "user-7", "email": "ana@kappa4.com", "email_verified": true, "name": "Ana"},
			"roles": roles, "groups": []any{"field", "ops"}, "claims": claims, "provider": "local",
			"authenticated_at": "2026-03-04T17:00:00Z", "expires_at": "2026-03-05T01:00:00Z",
			"amr": []any{"pwd"}, "kind": "browser",
		},
	}
}

// BenchmarkStock times the stock evaluator, which decides wherever a faster one
// does not, on an input that is already in its own representation.
func BenchmarkStock(b *testing.B) {
	query := prepare(b)
	noon := time.Date(2026, 3, 4, 18, 0, 0, 0, time.UTC)
	demo := map[string]any{
		"neosc:demo_session_id": "demo-1234567890-abc",
		"neosc:demo_expires_at": "2026-03-04T18:30:00Z",
		"neosc:workspace_type":  "linux",
	}
	both := map[string]any{"business_hours": true, "rate_limit": true}
	for name, input := range map[string]map[string]any{
		"PortalAllSettings": request("portal", "GET", "/a", []any{"a"}, []any{"neosc"}, both, demo),
		"APIRead":           request("api", "GET", "/a", []any{"a"}, []any{"user"}, map[string]any{}, map[string]any{}),
		"APIReadOnly":       request("api", "POST", "/a", []any{"a"}, []any{"user"}, map[string]any{}, map[string]any{}),
		"WorkspaceDemo":     request("workspace", "GET", "/", []any{""}, []any{"demo-user"}, map[string]any{}, demo),
		"GateAPISelf": request("gate-api", "DELETE", "/api/sessions/5c1e", []any{"api", "sessions", "5c1e"},
			[]any{"user"}, map[string]any{}, map[string]any{}),
	} {
		value, err := ast.InterfaceToValue(input)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				results, err := query.Eval(context.Background(), rego.EvalParsedInput(value), rego.EvalTime(noon))
				if err != nil || len(results) != 1 {
					b.Fatalf("no decision: %v, %v", results, err)
				}
			}
		})
	}
}
