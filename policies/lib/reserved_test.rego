package neosc.lib.reserved_test

import data.neosc.authz
import data.neosc.fixtures_test as fixtures
import data.neosc.lib.reserved

asked(route, method, path, roles) := fixtures.signed_in(fixtures.request(route, method, path), fixtures.session(roles, {}))

closed(req) if reserved.against with input as req

else := false

test_reserved[note] if {
	some note, [method, path, role, expected] in {
		"creating": ["POST", "/api/workspaces", "neosc", true],
		"updating": ["PUT", "/api/workspaces/7", "neosc", true],
		"patching": ["PATCH", "/api/workspaces/7", "neosc", true],
		"deleting": ["DELETE", "/api/workspaces/7", "neosc", true],
		"resetting": ["POST", "/api/workspaces/reset", "neosc", true],
		"whatever is below": ["POST", "/api/workspaces/7/8/9", "neosc", true],
		"a user": ["POST", "/api/workspaces", "user", true],
		"nobody": ["POST", "/api/workspaces", "nobody", true],
		"an administrator": ["POST", "/api/workspaces", "admin", false],
		"reading": ["GET", "/api/workspaces/7", "neosc", false],
		"asking": ["OPTIONS", "/api/workspaces", "neosc", false],
		"an unknown method": ["PURGE", "/api/workspaces", "neosc", true],
		"a neighbour": ["POST", "/api/workspacesx", "neosc", false],
		"above": ["POST", "/api", "neosc", false],
		"elsewhere": ["POST", "/api/files/workspaces", "neosc", false],
		"a space elsewhere": ["POST", "/api/files/a%20b", "neosc", false],
	}
	closed(asked("api", method, path, [role])) == expected
}

# Any of these could be read as a reserved path by what reads it next.
test_other_spellings_are_reserved_too[note] if {
	some path in [
		"/api/workspaces/", "//api/workspaces", "/api//workspaces", "/api/./workspaces", "/API/Workspaces/7",
		"/api/work%73paces/7", "/api/workspaces;x/7", "/api;x/workspaces", "/api/workspaces%2f7", "/api%2fworkspaces",
		"/x/../api/workspaces", "/x/%2e%2e/api/workspaces", "/x/..;/api/workspaces", "/api%5cworkspaces",
		"/api/work%2573paces", "/api/workspaces%00", "/api%0a/workspaces",
	]
	note := path
	closed(asked("api", "POST", path, ["neosc"]))
	not closed(asked("api", "POST", path, ["admin"]))
}

test_without_segments_everything_is_reserved if {
	closed(json.patch(asked("api", "POST", "/x", ["neosc"]), [{"op": "replace", "path": "/parsed_path", "value": null}]))
}

test_other_routes_reserve_nothing[route] if {
	some route in ["portal", "workspace", "gate", "elsewhere"]
	closed(asked(route, "POST", "/api/workspaces", ["neosc"])) == false
}

reasons(req) := fixtures.reasons(decision) if {
	decision := authz.decision with input as req with time.now_ns as fixtures.noon
}

# METADATA
# description: Who may do what with workspaces, written out by hand.
# scope: rule
table := {
	"admin": {"list": true, "create": true, "update": true, "delete": true, "reset": true, "launch": true, "stop": true, "disconnect": true},
	"neosc": {
		"list": true, "create": "role_required", "update": "role_required", "delete": "role_required", "reset": "role_required",
		"launch": true, "stop": true, "disconnect": true,
	},
	"user": {
		"list": true, "create": "read_only", "update": "read_only", "delete": "read_only", "reset": "read_only",
		"launch": true, "stop": true, "disconnect": true,
	},
	"demo-user": {
		"list": "role_required", "create": "role_required", "update": "role_required", "delete": "role_required",
		"reset": "role_required", "launch": "role_required", "stop": "role_required", "disconnect": "role_required",
	},
}

operations := {
	"list": ["GET", "/api/workspaces"], "create": ["POST", "/api/workspaces"], "update": ["PUT", "/api/workspaces/7"],
	"delete": ["DELETE", "/api/workspaces/7"], "reset": ["POST", "/api/workspaces/reset"],
	"launch": ["POST", "/api/workspaces/7/launch"], "stop": ["POST", "/api/workspaces/7/stop"],
	"disconnect": ["POST", "/api/workspaces/7/disconnect"],
}

test_workspaces[note] if {
	some role, row in table
	some operation, expected in row
	note := sprintf("%v %v", [role, operation])
	[method, path] := operations[operation]
	reasons(asked("api", method, path, [role])) == {reason_of(expected)}
}

reason_of(true) := "matched_policy"

reason_of(reason) := reason if is_string(reason)

# The same backend answers under the host of the administrators.
test_the_other_host_is_for_administrators if {
	reasons(asked("admin", "POST", "/api/workspaces", ["neosc"])) == {"role_required"}
	reasons(asked("admin", "POST", "/api/workspaces", ["admin"])) == {"matched_policy"}
}
