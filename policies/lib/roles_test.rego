package neosc.lib.roles_test

import data.neosc.fixtures_test as fixtures
import data.neosc.lib.roles

on(route, method, held) := fixtures.signed_in(fixtures.request(route, method, "/"), fixtures.session(held, {}))

# Roles are an array by contract. In any other shape they open nothing, even if
# "admin" stands somewhere in it.
test_odd_roles_open_nothing[note] if {
	some note, held in {
		"zitadel's object": {"admin": {"360327617871609860": "kappa4.com"}},
		"object of names": {"first": "admin"},
		"object of numbers": {"admin": 1},
		"text": "admin",
		"text with commas": "admin,neosc",
		"number": 1,
		"null": null,
		"true": true,
		"empty array": [],
		"array in an array": [["admin"]],
		"objects in an array": [{"admin": {}}, {"key": "admin"}],
		"nulls in an array": [null, 0, false],
		"other case": ["Admin", "ADMIN"],
		"spaces": [" admin", "admin "],
		"a wildcard": ["*", "admin*"],
	}
	req := on("portal", "GET", held)
	not roles.method_open with input as req
	roles.classes == set() with input as req
	roles.explain == false with input as req
}

test_absent_roles_open_nothing if {
	req := object.remove(fixtures.request("portal", "GET", "/"), [])
	not roles.method_open with input as req
	roles.held == [] with input as req
	roles.classes == set() with input as req
	roles.explain == false with input as req
}

test_groups_are_no_roles if {
	base := on("portal", "GET", [])
	not roles.method_open with input as object.union(base, {"session": {"groups": ["admin", "owner"]}})
}

test_classes_and_methods if {
	roles.classes == {"read"} with input as on("api", "POST", ["user", "demo-user"])
	roles.classes == {"all", "read"} with input as on("api", "POST", ["neosc", "user"])
	not roles.method_open with input as on("api", "POST", ["user"])
	roles.method_open with input as on("api", "POST", ["neosc", "user"])
}

test_roles_are_data if {
	req := on("admin", "GET", ["auditor"])
	not roles.method_open with input as req
	roles.method_open with input as req with data.neosc.routes.admin.roles.auditor as "read"
	not roles.method_open with input as on("admin", "POST", ["auditor"])
		with data.neosc.routes.admin.roles.auditor as "read"
}

# A class that the data lacks opens nothing.
test_unknown_class if {
	not roles.method_open with input as on("admin", "GET", ["auditor"])
		with data.neosc.routes.admin.roles.auditor as "everything"
}

test_explain if {
	roles.explain == true with input as on("portal", "GET", ["admin", "user"])
	roles.explain == false with input as on("portal", "GET", ["neosc", "user", "demo-user"])
	roles.explain == true with input as on("portal", "GET", ["neosc"]) with data.neosc.explain_roles as {"neosc": true}
	roles.explain == false with input as on("portal", "GET", ["admin"]) with data.neosc.explain_roles as {"admin": false}
}

test_one_of[note] if {
	some note, [names, held, expected] in {
		"one": [["admin"], ["admin", "user"], true],
		"one of two": [["auditor", "user"], ["user"], true],
		"none": [["auditor"], ["user"], false],
		"no names": [[], ["user"], false],
		"no roles": [["user"], [], false],
		"odd roles": [["admin"], {"admin": {}}, false],
		"a set": [{"user"}, ["user"], true],
	}
	holds(names, on("portal", "GET", held)) == expected
}

holds(names, req) if roles.one_of(names) with input as req

else := false
