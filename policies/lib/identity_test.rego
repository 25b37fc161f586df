package neosc.lib.identity_test

import data.neosc.fixtures_test as fixtures
import data.neosc.lib.identity

portal := fixtures.signed_in(fixtures.request("portal", "GET", "/"), fixtures.session(["user", "neosc"], {}))

workspace := fixtures.signed_in(
	fixtures.request("workspace", "GET", "/"),
	fixtures.session(["neosc"], fixtures.demo_claims),
)

all_three := {
	"x-pomerium-email": "ana@kappa4.com",
	"x-pomerium-user": "user-7",
	"x-pomerium-groups": "neosc,user,field,ops",
}

without(req, path) := json.remove(req, [path])

test_identity if {
	identity.headers == all_three with input as portal
}

test_prefix_is_the_routes if {
	identity.headers == {
		"x-neosc-email": "ana@kappa4.com",
		"x-neosc-user": "user-7",
		"x-neosc-groups": "neosc,user,field,ops",
	} with input as json.patch(portal, [{"op": "replace", "path": "/route/identity_headers/prefix", "value": "x-neosc-"}])
}

test_routes_that_pass_no_identity if {
	identity.headers == {} with input as without(portal, "/route/identity_headers")
	identity.headers == {
		"x-session-id": "demo-1234567890-abc",
		"x-user-email": "ana@kappa4.com",
		"x-workspace-type": "linux",
	} with input as without(workspace, "/route/identity_headers")
}

test_unverified_email_is_not_passed_on[note] if {
	some note, value in {"false": false, "text": "true", "null": null, "number": 1}
	req := json.patch(workspace, [{"op": "replace", "path": "/session/user/email_verified", "value": value}])
	identity.headers == {
		"x-pomerium-user": "user-7",
		"x-pomerium-groups": "neosc,field,ops",
		"x-session-id": "demo-1234567890-abc",
		"x-workspace-type": "linux",
	} with input as req
}

test_absent_or_empty_email if {
	identity.headers == object.remove(all_three, ["x-pomerium-email"]) with input as without(portal, "/session/user/email")
	identity.headers == object.remove(all_three, ["x-pomerium-email"]) with input as json.patch(
		portal,
		[{"op": "replace", "path": "/session/user/email", "value": ""}],
	)
	identity.headers == object.remove(all_three, ["x-pomerium-email"]) with input as without(
		portal,
		"/session/user/email_verified",
	)
}

test_workspace if {
	identity.headers == {
		"x-pomerium-email": "ana@kappa4.com",
		"x-pomerium-user": "user-7",
		"x-pomerium-groups": "neosc,field,ops",
		"x-session-id": "demo-1234567890-abc",
		"x-user-email": "ana@kappa4.com",
		"x-workspace-type": "linux",
	} with input as workspace
}

# A claim that would break out of its header is left out; the rest stands.
test_claims_do_not_inject if {
	req := json.patch(workspace, [{
		"op": "replace", "path": "/session/claims/neosc:workspace_type",
		"value": "linux\r\nx-pomerium-groups: admin",
	}])
	not identity.headers["x-workspace-type"] with input as req
	identity.headers["x-session-id"] == "demo-1234567890-abc" with input as req
}

test_groups[note] if {
	some note, [roles, groups, expected] in {
		"roles first, each sorted": [["user", "admin"], ["zebra", "beta"], "admin,user,beta,zebra"],
		"roles alone": [["user"], [], "user"],
		"groups alone": [[], ["ops"], "ops"],
		"neither": [[], [], ""],
		"odd roles": [{"admin": {}}, ["ops"], "ops"],
		"odd groups": [["user"], {"x": "admin"}, "user"],
		"null groups": [["user"], null, "user"],
	}
	identity.groups == expected with input as {"session": {"roles": roles, "groups": groups}}
}

test_nobody[note] if {
	some note, session in {
		"empty": {},
		"no user": {"roles": ["admin"]},
		"empty id": {"user": {"id": ""}, "roles": ["admin"]},
		"null id": {"user": {"id": null}, "roles": ["admin"]},
		"number as id": {"user": {"id": 7}, "roles": ["admin"]},
		"list as user": {"user": ["admin"], "roles": ["admin"]},
		"null": null,
		"true": true,
		"text": "admin",
	}
	req := fixtures.signed_in(fixtures.request("portal", "GET", "/"), session)
	not identity.user with input as req
	identity.headers == {} with input as req
}
