# METADATA
# title: Fixtures
# description: Requests and sessions that the tests are made of.
# scope: package
package neosc.fixtures_test

# Wednesday, 4 March 2026, 12:00:00 in Mexico City (UTC-6).
noon := time.parse_rfc3339_ns("2026-03-04T18:00:00Z")

# METADATA
# description: A request as the gate presents it, with nobody signed in. The path has no query.
# scope: rule
request(route, method, path) := {
	"version": {"encoding": "protojson", "ext_authz": "v3"},
	"attributes": {
		"source": {"address": {"socketAddress": {"address": "203.0.113.9", "portValue": 4711}}},
		"request": {"http": {
			"id": "7d4f", "method": method, "path": path, "headers": {"accept": "*/*"},
			"host": "portal.kappa4.com", "scheme": "https", "protocol": "HTTP/1.1",
		}},
		"contextExtensions": {"route": route},
	},
	"parsed_path": split(trim_left(urlquery.decode(replace(path, "+", "%2B")), "/"), "/"),
	"parsed_query": {},
	"parsed_body": null,
	"route": {"name": route, "policy": {}, "identity_headers": {"prefix": "x-pomerium-"}},
}

# METADATA
# description: A session with these roles and claims.
# scope: rule
session(roles, claims) := {
	"id": "5c1e",
	"user": {"id": "user-7", "email": "ana@kappa4.com", "email_verified": true, "name": "Ana"},
	"roles": roles,
	"groups": ["ops", "field"],
	"claims": claims,
	"provider": "local",
	"authenticated_at": "2026-03-04T17:00:00Z",
	"expires_at": "2026-03-05T01:00:00Z",
	"amr": ["pwd"],
	"kind": "browser",
}

# METADATA
# description: The request with that session.
# scope: rule
signed_in(req, sess) := object.union(req, {"session": sess})

# METADATA
# description: The request on a route with these settings.
# scope: rule
with_settings(req, settings) := object.union(req, {"route": {"policy": settings}})

demo_claims := {
	"neosc:demo_session_id": "demo-1234567890-abc",
	"neosc:workspace_type": "linux",
}

# METADATA
# description: The reasons as a set, whichever way the decision gives them.
# scope: rule
reasons(decision) := {reason | some reason in decision.reasons}
