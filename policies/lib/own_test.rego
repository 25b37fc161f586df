package neosc.lib.own_test

import data.neosc.authz
import data.neosc.fixtures_test as fixtures
import data.neosc.lib.own

requests := [
	["gate", "GET", "/oauth2/sign_in"], ["gate", "POST", "/oauth2/sign_in"], ["gate", "GET", "/"], ["gate", "GET", "/admin"],
	["gate", "POST", "/oauth2/sign_out"], ["gate", "GET", "/assets/gate.css"], ["gate", "GET", "/account"],
	["gate-api", "POST", "/api/auth/login"], ["gate-api", "GET", "/api/auth/me"], ["gate-api", "GET", "/api/users"],
	["gate-api", "DELETE", "/api/sessions/7"], ["gate", "TRACE", "/"],
]

# As the shipped policy, for strangers and for every role.
test_as_shipped[note] if {
	some [route, method, path] in requests
	some held in [["stranger"], [], ["user"], ["neosc"], ["admin"]]
	note := sprintf("%v %v %v %v", [route, method, path, held])
	req := asked(fixtures.request(route, method, path), held)
	refused := count(own.denials) > 0 with input as req
	decision := authz.decision with input as req with time.now_ns as fixtures.noon
	refused != decision.allowed
}

asked(req, held) := req if held == ["stranger"]

asked(req, held) := fixtures.signed_in(req, fixtures.session(held, {})) if held != ["stranger"]

test_reasons if {
	own.denials == {"unauthenticated"} with input as fixtures.request("gate", "GET", "/")
	own.denials == {"role_required"} with input as asked(fixtures.request("gate-api", "GET", "/api/users"), ["user"])
	own.denials == set() with input as fixtures.request("gate", "GET", "/oauth2/sign_in")
}

test_other_routes_are_not_its if {
	own.route with input as fixtures.request("gate", "GET", "/")
	own.route == false with input as fixtures.request("portal", "GET", "/")
	own.denials == set() with input as fixtures.request("portal", "GET", "/")
}
