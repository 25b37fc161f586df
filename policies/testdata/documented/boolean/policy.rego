# The oldest shape: the decision is a bare boolean.
package envoy.authz

default allow := false

allow if input.attributes.request.http.method == "GET"

allow if {
	input.attributes.request.http.method == "POST"
	input.parsed_path == ["orders"]
}
