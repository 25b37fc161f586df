package engine_test

import (
	"context"
	"encoding/base64"
	"reflect"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
)

// TestPoliciesOfOPAsEnvoyPluginRun has policies of the shapes that
// opa-envoy-plugin documents: another package, imports of the request, a
// boolean, an object with its fields, tokens decoded in the policy.
func TestPoliciesOfOPAsEnvoyPluginRun(t *testing.T) {
	segment := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	token := segment(`{"alg":"none"}`) + "." + segment(`{"role":"admin"}`) + "."
	edge := engine.Edge{
		Forwarded: []string{"authorization", "x-api-version"}, Settable: []string{"x-ext-auth-*", "x-old"},
		ResponseSettable: []string{"x-ext-auth-*", "x-hint"},
	}
	for _, c := range []struct {
		name, entry, rego string
		change            func(*authz.Request)
		want              authz.Decision
	}{
		{"BooleanByMethodAndPath", "envoy/authz/allow", `
import input.attributes.request.http as http_request

default allow := false

allow if {
	http_request.method == "GET"
	input.parsed_path == ["public", "status"]
}`, func(r *authz.Request) { r.Path = "/public/status" }, authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}}},
		{"BooleanByQuery", "envoy/authz/allow", `
default allow := false

allow if input.parsed_query.lang == ["en"]`, func(r *authz.Request) { r.Path = "/a?lang=de" }, authz.Decision{Reasons: []string{"policy_denied"}}},
		{"BooleanByTokenRole", "envoy/authz/allow", `
import input.attributes.request.http as http_request

default allow := false

allow if {
	[_, encoded] := split(http_request.headers.authorization, " ")
	[_, payload, _] := io.jwt.decode(encoded)
	payload.role == "admin"
}`, func(r *authz.Request) {
			r.Headers = authz.Headers{{Name: "authorization", Value: "Bearer " + token}}
		}, authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}}},
		{"ObjectOnAllow", "data.envoy.authz.result", `
result["allowed"] := true

result["headers"] := {"x-ext-auth-allow": "yes"}

result["request_headers_to_remove"] := ["x-old"]

result["response_headers_to_add"] := {"x-hint": "h"}

result["query_parameters_to_remove"] := ["debug"]

result["dynamic_metadata"] := {"version": input.version.ext_authz}`, nil, authz.Decision{
			Allowed: true, Reasons: []string{"matched_policy"}, Headers: []authz.Header{{Name: "x-ext-auth-allow", Value: "yes"}},
			RemoveRequestHeaders: []string{"x-old"}, ResponseHeaders: []authz.Header{{Name: "x-hint", Value: "h"}},
			QueryRemove: []string{"debug"}, Metadata: map[string]any{"version": "v3"},
		}},
		{"ObjectOnDenial", "envoy/authz/allow", `
default allow := {"allowed": false, "headers": {"x-ext-auth-allow": "no"}, "body": "Unauthorized Request", "http_status": 301}

allow := {"allowed": true} if input.attributes.source.address.socketAddress.address == "198.51.100.1"`, nil, authz.Decision{
			Reasons: []string{"policy_denied"}, Status: 301, Body: "Unauthorized Request",
			Headers: []authz.Header{{Name: "x-ext-auth-allow", Value: "no"}},
		}},
		{"ContextExtensions", "envoy/authz/allow", `
allow := input.attributes.contextExtensions.route == "portal"`, nil, authz.Decision{Allowed: true, Reasons: []string{"matched_policy"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := engine.Compile(engine.Source{
				Modules:    map[string]string{"policy.rego": "package envoy.authz\n" + c.rego},
				EntryPoint: c.entry, Revision: "r", Timeout: 10 * time.Second,
			}, edge)
			if err != nil {
				t.Fatal(err)
			}
			r := testRequest()
			if c.change != nil {
				c.change(r)
			}
			d, err := p.Decide(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			c.want.Revision = "r"
			if !reflect.DeepEqual(*d, c.want) {
				t.Errorf("got  %+v\nwant %+v", *d, c.want)
			}
		})
	}
}
