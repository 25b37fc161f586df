# METADATA
# title: Role, route, method
# description: |
#   The whole table, cell by cell, written out here a second time and by hand:
#   a slip in the data must not carry over into what is expected of it.
# scope: package
package neosc.matrix_test

import data.neosc.authz
import data.neosc.fixtures_test as fixtures

# What a person may do on a route: any, read or none.
expected := {
	"portal": {
		"admin": "any", "neosc": "any", "user": "any",
		"demo-user": "none", "owner": "none", "nobody": "none",
	},
	"api": {
		"admin": "any", "neosc": "any", "user": "read",
		"demo-user": "none", "owner": "none", "nobody": "none",
	},
	"gate-api": {
		"admin": "any", "neosc": "none", "user": "none",
		"demo-user": "none", "owner": "none", "nobody": "none",
	},
	"admin": {
		"admin": "any", "neosc": "none", "user": "none",
		"demo-user": "none", "owner": "none", "nobody": "none",
	},
	"workspace": {
		"admin": "any", "neosc": "any", "user": "none",
		"demo-user": "any", "owner": "none", "nobody": "none",
	},
	"gate": {
		"admin": "any", "neosc": "any", "user": "any",
		"demo-user": "any", "owner": "any", "nobody": "any",
	},
}

method_classes := {
	"safe": {"GET", "HEAD", "OPTIONS"},
	"unsafe": {"POST", "PUT", "PATCH", "DELETE"},
	"odd": {"TRACE", "CONNECT", "PROPFIND", "FOO", "get", "Post", "GET ", ""},
}

outcomes := {
	"any": {"safe": "matched_policy", "unsafe": "matched_policy", "odd": "method_not_allowed"},
	"read": {"safe": "matched_policy", "unsafe": "read_only", "odd": "method_not_allowed"},
	"none": {"safe": "role_required", "unsafe": "role_required", "odd": "method_not_allowed"},
}

roles_of := {
	"admin": ["admin"], "neosc": ["neosc"], "user": ["user"], "demo-user": ["demo-user"],
	"owner": ["owner"], "nobody": [],
}

cells[name] := cell if {
	some route, row in expected
	some person, may in row
	some class, methods in method_classes
	some method in methods
	name := sprintf("%v/%v/%q", [person, route, method])
	cell := {
		"input": fixtures.signed_in(
			fixtures.request(route, method, "/anything"),
			fixtures.session(roles_of[person], fixtures.demo_claims),
		),
		"reasons": {outcomes[may][class]},
		"allowed": outcomes[may][class] == "matched_policy",
	}
}

test_every_cell_is_there if count(cells) == 540

test_cell[name] if {
	some name, cell in cells
	decision := authz.decision with input as cell.input with time.now_ns as fixtures.noon
	fixtures.reasons(decision) == cell.reasons
	decision.allowed == cell.allowed
}

anonymous_cells[name] := fixtures.request(route, method, "/anything") if {
	some route, _ in expected
	some methods in method_classes
	some method in methods
	name := sprintf("%v/%q", [route, method])
}

test_anonymous_cell[name] if {
	some name, req in anonymous_cells
	decision := authz.decision with input as req with time.now_ns as fixtures.noon
	decision == {"allowed": false, "reasons": {"unauthenticated"}, "explain": false}
}

# Somebody with several roles may do what any of them may.
test_roles_add_up[note] if {
	some note, case in {
		"user and demo-user read the api": [["demo-user", "user"], "api", "GET", "matched_policy"],
		"user and demo-user do not write": [["demo-user", "user"], "api", "POST", "read_only"],
		"user and neosc write": [["neosc", "user"], "api", "POST", "matched_policy"],
		"user and demo-user open a workspace": [["demo-user", "user"], "workspace", "GET", "matched_policy"],
		"unknown roles take nothing away": [["auditor", "user"], "portal", "POST", "matched_policy"],
	}
	[roles, route, method, reason] := case
	req := fixtures.request(route, method, "/")
	decision := authz.decision with input as fixtures.signed_in(req, fixtures.session(roles, fixtures.demo_claims))
		with time.now_ns as fixtures.noon
	fixtures.reasons(decision) == {reason}
}
