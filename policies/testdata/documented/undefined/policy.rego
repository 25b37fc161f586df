# A rule without a default: where it does not hold there is no decision at all.
package envoy.authz

allow if input.parsed_path[0] == "open"
