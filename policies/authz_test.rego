package neosc.authz_test

import data.neosc.authz
import data.neosc.fixtures_test as fixtures

decide(req, now) := decision if decision := authz.decision with input as req with time.now_ns as now

person(route, method, path, roles, claims) := fixtures.signed_in(
	fixtures.request(route, method, path),
	fixtures.session(roles, claims),
)

sunday := time.parse_rfc3339_ns("2026-03-08T18:00:00Z")

test_permit_in_full if {
	req := fixtures.with_settings(
		person("portal", "GET", "/", ["admin"], {}),
		{"business_hours": true, "rate_limit": true},
	)
	decide(req, fixtures.noon) == {
		"allowed": true,
		"reasons": ["matched_policy"],
		"headers": {
			"x-pomerium-email": "ana@kappa4.com",
			"x-pomerium-user": "user-7",
			"x-pomerium-groups": "admin,field,ops",
		},
		"rate_limits": [{"name": "user", "key": "user-7", "requests_per_second": 10, "burst": 20, "cost": 1}],
	}
}

test_refusal_in_full if {
	req := person("admin", "GET", "/", ["neosc"], {})
	decide(req, fixtures.noon) == {"allowed": false, "reasons": {"role_required"}, "explain": false}
}

# An unknown route says nothing else, whoever asks.
test_unknown_route[note] if {
	some note, route in {
		"another name": "backend", "other case": "Portal", "empty": "", "number": 7, "null": null,
		"list": ["portal"], "object": {"name": "portal"},
	}
	some roles in [["admin"], []]
	req := person(route, "GET", "/", roles, {"neosc:demo_expires_at": 1})
	fixtures.reasons(decide(req, fixtures.noon)) == {"unknown_route"}
	fixtures.reasons(decide(fixtures.request(route, "GET", "/"), fixtures.noon)) == {"unknown_route"}
}

test_route_absent if {
	req := object.remove(person("portal", "GET", "/", ["admin"], {}), ["route"])
	decide(req, fixtures.noon) == {"allowed": false, "reasons": {"unknown_route"}, "explain": true}
}

test_empty_input if {
	decide({}, fixtures.noon) == {"allowed": false, "reasons": {"unknown_route"}, "explain": false}
}

# A session that is nobody's is no session.
test_odd_sessions[note] if {
	some note, session in {
		"empty": {}, "null": null, "true": true, "text": "admin", "list": ["admin"],
		"roles alone": {"roles": ["admin"]},
		"user without id": {"user": {"email": "a@kappa4.com"}, "roles": ["admin"]},
		"empty id": {"user": {"id": ""}, "roles": ["admin"]},
	}
	req := fixtures.signed_in(fixtures.request("portal", "GET", "/"), session)
	fixtures.reasons(decide(req, fixtures.noon)) == {"unauthenticated"}
}

# Nor does such a session's demo, or want of one, tell a stranger anything.
test_nobodys_demo_is_no_reason if {
	claims := {"neosc:demo_expires_at": 1}
	session := object.remove(fixtures.session(["admin"], claims), ["user"])
	req := fixtures.signed_in(fixtures.request("workspace", "GET", "/"), session)
	fixtures.reasons(decide(req, fixtures.noon)) == {"unauthenticated"}
}

test_unknown_route_outside_hours if {
	req := fixtures.with_settings(person("nowhere", "GET", "/", ["admin"], {}), {"business_hours": true})
	fixtures.reasons(decide(req, sunday)) == {"unknown_route"}
}

test_strangers_are_told_nothing_more if {
	req := fixtures.with_settings(fixtures.request("portal", "TRACE", "/"), {"business_hours": true})
	fixtures.reasons(decide(req, sunday)) == {"unauthenticated"}
}

test_without_request_nothing_is_open if {
	req := object.remove(person("portal", "GET", "/", ["admin"], {}), ["attributes"])
	fixtures.reasons(decide(req, fixtures.noon)) == {"method_not_allowed"}
}

test_public_paths if {
	decide(fixtures.request("gate-api", "POST", "/api/auth/login"), fixtures.noon) == {
		"allowed": true, "reasons": ["matched_policy"], "headers": {}, "rate_limits": [],
	}
	decide(fixtures.request("gate", "GET", "/oauth2/sign_in"), fixtures.noon).allowed
	not decide(fixtures.request("gate", "GET", "/"), fixtures.noon).allowed
}

test_self_service_needs_no_role if {
	decide(person("gate-api", "GET", "/api/auth/me", [], {}), fixtures.noon).allowed
	decide(person("gate", "GET", "/", [], {}), fixtures.noon).allowed
	not decide(fixtures.request("gate-api", "GET", "/api/auth/me"), fixtures.noon).allowed
}

test_the_rest_of_the_gates_api_is_for_administrators if {
	fixtures.reasons(decide(person("gate-api", "GET", "/api/users", ["neosc"], {}), fixtures.noon)) == {"role_required"}
	decide(person("gate-api", "GET", "/api/users", ["admin"], {}), fixtures.noon).allowed
	decide(person("gate-api", "DELETE", "/api/users/7;x", ["admin"], {}), fixtures.noon).allowed
}

test_launching_is_an_exception_to_read_only if {
	decide(person("api", "POST", "/api/workspaces/7/launch", ["user"], {}), fixtures.noon).allowed
	decide(person("api", "POST", "/api/workspaces/7/stop", ["user"], {}), fixtures.noon).allowed
	fixtures.reasons(decide(person("api", "POST", "/api/workspaces", ["user"], {}), fixtures.noon)) == {"read_only"}
	fixtures.reasons(decide(person("api", "PUT", "/api/workspaces/7", ["user"], {}), fixtures.noon)) == {"read_only"}
	fixtures.reasons(decide(
		person("api", "POST", "/api/workspaces/7/launch", ["demo-user"], {}),
		fixtures.noon,
	)) == {"role_required"}
}

test_the_exception_is_data if {
	req := person("api", "POST", "/api/workspaces/7/launch", ["user"], {})
	decision := authz.decision with input as req with data.neosc.routes.api as object.remove(data.neosc.routes.api, ["shapes"])
	fixtures.reasons(decision) == {"read_only"}
}

test_workspace_needs_a_demo_session[note] if {
	some note, [roles, claims, reasons] in {
		"administrator": [["admin"], fixtures.demo_claims, {"matched_policy"}],
		"administrator without": [["admin"], {}, {"demo_required"}],
		"neosc without": [["neosc"], {}, {"demo_required"}],
		"demo user without": [["demo-user"], {}, {"demo_required"}],
		"empty id": [["demo-user"], {"neosc:demo_session_id": ""}, {"demo_required"}],
		"id in a list": [["demo-user"], {"neosc:demo_session_id": ["demo-1"]}, {"demo_required"}],
		"claims as text": [["demo-user"], "neosc:demo_session_id", {"demo_required"}],
		"the claim is no role": [["user"], fixtures.demo_claims, {"role_required"}],
		"neither": [["user"], {}, {"role_required"}],
	}
	fixtures.reasons(decide(person("workspace", "GET", "/", roles, claims), fixtures.noon)) == reasons
}

test_other_routes_need_no_demo_session if {
	decide(person("portal", "GET", "/", ["neosc"], {}), fixtures.noon).allowed
}

demo_end := 1772713800

test_demo_end_closes_every_route_but_the_gate[note] if {
	some note, [route, before, after] in {
		"portal": ["portal", {"matched_policy"}, {"demo_expired"}],
		"api": ["api", {"matched_policy"}, {"demo_expired"}],
		"admin": ["admin", {"matched_policy"}, {"demo_expired"}],
		"workspace": ["workspace", {"matched_policy"}, {"demo_expired"}],
		"gate-api": ["gate-api", {"matched_policy"}, {"demo_expired"}],
		"gate": ["gate", {"matched_policy"}, {"matched_policy"}],
	}
	claims := object.union(fixtures.demo_claims, {"neosc:demo_expires_at": demo_end})
	req := person(route, "GET", "/", ["admin"], claims)
	fixtures.reasons(decide(req, (demo_end * 1000000000) - 1)) == before
	fixtures.reasons(decide(req, demo_end * 1000000000)) == after
}

test_unreadable_demo_end_has_passed if {
	req := person("portal", "GET", "/", ["admin"], {"neosc:demo_expires_at": "soon"})
	fixtures.reasons(decide(req, fixtures.noon)) == {"demo_expired"}
}

# Signing in again must not need the session that has run out.
test_public_paths_stay_open_after_a_demo if {
	req := person("gate-api", "POST", "/api/auth/login", ["demo-user"], {"neosc:demo_expires_at": 1})
	decision := decide(req, fixtures.noon)
	decision.allowed
	not decision.stream_until
}

test_streams_end_with_the_demo if {
	claims := object.union(fixtures.demo_claims, {"neosc:demo_expires_at": "2026-03-05T12:30:00Z"})
	decide(person("workspace", "GET", "/", ["demo-user"], claims), fixtures.noon).stream_until == demo_end * 1000000000
	decide(person("portal", "GET", "/", ["admin"], claims), fixtures.noon).stream_until == demo_end * 1000000000
	not decide(person("gate", "GET", "/", ["admin"], claims), fixtures.noon).stream_until
	not decide(person("workspace", "GET", "/", ["demo-user"], fixtures.demo_claims), fixtures.noon).stream_until
	not decide(person("portal", "GET", "/", ["demo-user"], claims), fixtures.noon).stream_until
}

test_hours_only_where_asked_for if {
	req := person("portal", "GET", "/", ["neosc"], {})
	decide(req, sunday).allowed
	fixtures.reasons(decide(fixtures.with_settings(req, {"business_hours": true}), sunday)) == {"outside_business_hours"}
	decide(fixtures.with_settings(req, {"business_hours": true}), fixtures.noon).allowed
}

test_hours_hold_for_public_paths_too if {
	req := fixtures.with_settings(fixtures.request("gate-api", "POST", "/api/auth/login"), {"business_hours": true})
	fixtures.reasons(decide(req, sunday)) == {"outside_business_hours"}
	decide(req, fixtures.noon).allowed
}

test_several_reasons_at_once if {
	req := fixtures.with_settings(
		person("workspace", "TRACE", "/", ["user"], {"neosc:demo_expires_at": 1}),
		{"business_hours": true},
	)
	fixtures.reasons(decide(req, sunday)) == {"method_not_allowed", "demo_expired", "outside_business_hours"}
	both := person("workspace", "GET", "/", ["neosc"], {"neosc:demo_expires_at": 1})
	fixtures.reasons(decide(both, fixtures.noon)) == {"demo_required", "demo_expired"}
}

# Refused or not, there is always a reason, and only a permit says matched_policy.
test_reasons_are_never_empty[note] if {
	some route in ["portal", "api", "admin", "workspace", "gate-api", "gate", "nowhere"]
	some method in ["POST", "TRACE"]
	some path in ["/api/auth/login", "/oauth2/sign_out", "/api/workspaces/7/stop"]
	some roles in [["admin"], ["user"], "admin"]
	some claims in [fixtures.demo_claims, {"neosc:demo_expires_at": false}]
	some now in [fixtures.noon, sunday]
	note := sprintf("%v %v %v %v %v %v", [route, method, path, roles, claims, now])
	req := fixtures.with_settings(person(route, method, path, roles, claims), {"business_hours": true})
	decision := decide(req, now)
	count(decision.reasons) > 0
	matched := "matched_policy" in fixtures.reasons(decision)
	decision.allowed == matched
}
