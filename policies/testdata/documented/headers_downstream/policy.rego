# Headers for the client on an allow.
package envoy.authz

decision := {
	"allowed": true,
	"headers": {"x-validated-by": "policy"},
	"response_headers_to_add": {"x-tenant": "north", "vary": ["cookie", "origin"]},
}
