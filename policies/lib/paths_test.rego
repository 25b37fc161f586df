package neosc.lib.paths_test

import data.neosc.fixtures_test as fixtures
import data.neosc.lib.paths

access(req) := "public" if paths.public with input as req

else := "session" if paths.session_open with input as req

else := "closed"

# METADATA
# description: Every exception of the data, and its neighbours, written out by hand.
# scope: rule
expected := {
	"gate": {
		"GET /oauth2/sign_in": "public", "POST /oauth2/sign_in": "public", "PUT /oauth2/sign_in": "closed",
		"GET /oauth2/sign_in?rd=https://portal.kappa4.com/a?b": "public",
		"POST /oauth2/sign_out": "public", "GET /oauth2/sign_out": "closed",
		"POST /zitadel/actions": "public", "GET /zitadel/actions": "closed", "POST /zitadel/actions/x": "closed",
		"GET /callback/zitadel_onprem": "public", "POST /callback/zitadel_onprem": "closed",
		"GET /callback/zitadel_onprem?code=a/b&state=c": "public",
		"POST /api/auth/register": "public", "POST /api/auth/login": "public", "POST /api/auth/login/second-factor": "public",
		"POST /api/auth/refresh": "public", "POST /api/auth/verify-email": "public", "POST /api/auth/password-reset": "public",
		"POST /api/auth/password-reset/confirm": "public", "GET /api/auth/login": "closed", "GET /api/openapi.json": "public",
		"GET /api/openapi.yaml": "public", "POST /api/openapi.json": "closed", "GET /api/auth/me": "closed",
		"GET /callback": "closed", "GET /callback/": "closed",
		"GET /assets/gate.css": "public", "GET /assets/fonts/inter.woff2": "public", "POST /assets/gate.css": "closed",
		"GET /.well-known/pomerium/jwks.json": "public", "POST /.well-known/pomerium/jwks.json": "closed",
		"GET /favicon.ico": "public", "GET /": "closed", "GET /oauth2": "closed", "GET /oauth2/other": "closed",
	},
	"gate-api": {
		"POST /api/auth/register": "public", "POST /api/auth/login": "public", "POST /api/auth/token-exchange": "public",
		"GET /api/auth/register": "closed", "GET /api/auth/login": "closed", "GET /api/auth/token-exchange": "closed",
		"GET /api/auth/me": "session", "POST /api/auth/me": "closed",
		"POST /api/auth/logout": "session", "GET /api/auth/logout": "closed",
		"GET /api/audit-logs": "session", "DELETE /api/audit-logs": "closed", "GET /api/audit-logs/7": "closed",
		"GET /api/organizations": "session", "POST /api/organizations": "closed",
		"GET /api/sessions": "session", "DELETE /api/sessions": "session", "POST /api/sessions": "closed",
		"GET /api/sessions/7": "session", "DELETE /api/sessions/7": "session", "PUT /api/sessions/7": "closed",
		"GET /api/demo-sessions": "session", "POST /api/demo-sessions": "session",
		"DELETE /api/demo-sessions/7": "session", "PATCH /api/demo-sessions/7": "closed",
		"POST /api/auth/login/second-factor": "public", "POST /api/auth/refresh": "public", "GET /api/auth/refresh": "closed",
		"POST /api/auth/verify-email": "public", "POST /api/auth/password-reset": "public",
		"POST /api/auth/password-reset/confirm": "public", "POST /api/auth/password-reset/other": "closed",
		"GET /api/openapi.json": "public", "GET /api/openapi.yaml": "public", "GET /api/openapi": "closed",
		"POST /api/invitations/accept": "session", "GET /api/invitations": "closed", "POST /api/invitations": "closed",
		"PATCH /api/users/me": "session", "POST /api/users/me/password": "session", "PATCH /api/users/7": "closed",
		"PATCH /api/organizations/7": "closed", "POST /api/organizations/7/invitations": "closed",
		"GET /api/users/me": "session", "DELETE /api/users/me": "closed", "GET /api/users": "closed",
		"GET /api/users/7": "closed", "GET /api": "closed", "GET /": "closed", "GET /api/auth": "closed",
	},
	"portal": {"GET /": "closed", "POST /api/auth/login": "closed", "GET /assets/gate.css": "closed"},
	"elsewhere": {"POST /api/auth/login": "closed", "GET /assets/gate.css": "closed"},
}

test_exceptions[note] if {
	some route, table in expected
	some line, want in table
	[method, path] := split(line, " ")
	note := sprintf("%v %v", [route, line])
	req := json.patch(fixtures.request(route, method, path), [{
		"op": "replace", "path": "/parsed_path",
		"value": split(trim_left(split(path, "?")[0], "/"), "/"),
	}])
	access(fixtures.signed_in(req, fixtures.session(["user"], {}))) == want
}

# A second spelling of an open path is not open: what reads it next may read
# another path in it.
test_other_spellings_are_closed[note] if {
	some route, table in {
		"gate-api": {
			"POST": [
				"//api/auth/login", "/api//auth/login", "/api/auth/login/", "/api/auth/login;x", "/api/auth;x/login",
				"/API/auth/login", "/api/auth/Login", "/api/auth/%6cogin", "/api/auth%2flogin", "/api%2Fauth%2Flogin",
				"/api/auth/./login", "/api/auth/x/../login", "/api/auth/login%00", "/api/auth/login%20",
				"/api/auth/login#x", "/api/auth/login%3fx", "/api/auth/login\\x", "\\api\\auth\\login", "api/auth/login",
				"https://api.portal.kappa4.com/api/auth/login", "/api/auth/login/x", "/x/api/auth/login", "",
				"/%61pi/demo-sessions", "/api/demo-sessions/", "/api/demo-sessions//", "/api/demo-sessions;/x",
			],
			"DELETE": [
				"/api/sessions/", "/api/sessions//7", "/api/sessions/7/", "/api/sessions/7;x", "/api/sessions/..",
				"/api/sessions/../users/7", "/api/sessions/%2e%2e/users/7", "/api/sessions/..;/users/7",
				"/api/sessions/.../users", "/api/sessions/./7", "/api/sessions/7%2f..%2f..%2fusers",
				"/api/sessions/7#x", "/api/sessions/7\\..\\users", "/api/sessionsx/7", "/API/sessions/7",
				"//api/sessions/7", "/api//sessions/7", "/api/sessions/a b", "/api/sessions/*", "/api/sessions/é",
			],
		},
		"gate": {"GET": [
			"/assets", "/assets/", "/assets//gate.css", "/assets/../admin", "/assets/..;/admin", "/assets/%2e%2e/admin",
			"/assets/.hidden", "/Assets/gate.css", "//assets/gate.css", "/assets/gate.css/", "/assets\\gate.css",
			"/callback/..", "/callback/a/../b", "/callback;/a", "/favicon.ico/", "/favicon.ico;.css", "/Favicon.ico",
			"/.well-known/pomerium/jwks.json/", "/.well-known//pomerium/jwks.json", "/%2ewell-known/pomerium/jwks.json",
		]},
		"api": {"POST": [
			"/api/workspaces/7/launch/", "/api/workspaces//launch", "/api/workspaces/../launch",
			"/api/workspaces/7;x/launch", "/api/workspaces/7/launch;x", "/api/workspaces/7/Launch",
			"/API/workspaces/7/launch", "/api/Workspaces/7/stop", "/api/workspaces/%37/launch",
			"/api/workspaces/7%2flaunch", "//api/workspaces/7/launch", "/api//workspaces/7/launch",
			"/api/workspaces/./launch", "/api/workspaces/{id}/launch", "/api/workspaces/*/launch",
			"/api/workspaces/7/launch/x", "/api/workspaces/7/8/launch", "/api/workspaces/launch", "/api/workspaces/7",
			"/api/workspaces/7/delete", "/api/workspaces", "/api/workspaces/reset", "/api/users/7/launch",
		]},
	}
	some method, spellings in table
	some path in spellings
	note := sprintf("%v %v %q", [route, method, path])
	access(fixtures.signed_in(fixtures.request(route, method, path), fixtures.session(["user"], {}))) == "closed"
}

# Raw path and segments that contradict each other open nothing, whichever of
# them looks harmless.
test_contradictions_are_closed[note] if {
	some note, [path, segments] in {
		"raw open": ["/api/auth/login", ["api", "users", "7"]],
		"segments open": ["/api/users/7", ["api", "auth", "login"]],
		"segments absent": ["/api/auth/login", null],
		"segments as text": ["/api/auth/login", "/api/auth/login"],
		"joined segment": ["/api/auth/login", ["api/auth", "other"]],
	}
	req := json.patch(
		fixtures.request("gate-api", "POST", path),
		[{"op": "replace", "path": "/parsed_path", "value": segments}],
	)
	access(req) == "closed"
}

test_users_launch_and_stop[note] if {
	some note, [method, path, role, want] in {
		"launch": ["POST", "/api/workspaces/ws-7/launch", "user", "session"],
		"stop": ["POST", "/api/workspaces/ws-7/stop", "user", "session"],
		"with a query": ["POST", "/api/workspaces/ws-7/launch?size=2", "user", "session"],
		"an id with dots": ["POST", "/api/workspaces/a.b_c~d/launch", "user", "session"],
		"disconnect": ["POST", "/api/workspaces/ws-7/disconnect", "user", "session"],
		"standard users too": ["POST", "/api/workspaces/ws-7/stop", "neosc", "session"],
		"not by other methods": ["DELETE", "/api/workspaces/ws-7/launch", "user", "closed"],
		"not for demo users": ["POST", "/api/workspaces/ws-7/launch", "demo-user", "closed"],
		"not for unknown roles": ["POST", "/api/workspaces/ws-7/launch", "owner", "closed"],
	}
	req := json.patch(fixtures.request("api", method, path), [{
		"op": "replace", "path": "/parsed_path",
		"value": split(trim_left(split(path, "?")[0], "/"), "/"),
	}])
	access(fixtures.signed_in(req, fixtures.session([role], {}))) == want
}

# "below" says nothing of the path itself.
test_below_is_not_at if {
	table := {"below": {"/a": {"GET": "public"}, "/b/c": {"GET": "public"}}}
	reached := {path |
		some path in ["/a", "/a/x", "/a/x/y", "/b", "/b/c", "/b/c/x", "/b/x", "/b/x/c"]
		paths.public with input as fixtures.request("gate", "GET", path) with data.neosc.routes.gate as table
	}
	reached == {"/a/x", "/a/x/y", "/b/c/x"}
}
