# METADATA
# title: Pages of accounts and of administrators
# description: Who reaches them on the gate's own host, however their paths are spelt.
# scope: package
package neosc.console_test

import data.neosc.authz
import data.neosc.fixtures_test as fixtures

decide(req) := decision if {
	decision := authz.decision with input as req with time.now_ns as fixtures.noon
}

asked(roles, method, path) := decide(fixtures.signed_in(fixtures.request("gate", method, path), fixtures.session(roles, {})))

test_the_console_is_for_administrators[note] if {
	some path in ["/admin", "/admin/users", "/admin/users/usr_1/delete", "/admin/audit", "/admin/switches"]
	some method in ["GET", "POST", "HEAD"]
	note := sprintf("%v %v", [method, path])
	asked(["admin"], method, path).allowed
	some roles in [["neosc"], ["user"], ["demo-user"], ["administrator"], []]
	refused := asked(roles, method, path)
	not refused.allowed
	fixtures.reasons(refused) == {"role_required"}
}

test_other_spellings_are_the_console_too[note] if {
	some path in [
		"/admin/", "//admin", "/./admin", "/ADMIN", "/Admin/users", "/%61dmin", "/admin;x/users", "/admin%2fusers",
		"/x/../admin", "/x/%2e%2e/admin", "/x/..;/admin", "/admin%5cusers", "/%2561dmin",
	]
	note := sprintf("%q", [path])
	not asked(["neosc"], "GET", path).allowed
}

test_everybody_has_an_account_page[note] if {
	some path in ["/account", "/account/security", "/administration", "/"]
	some roles in [["neosc"], ["user"], []]
	note := sprintf("%v %v", [roles, path])
	asked(roles, "GET", path).allowed
	asked(roles, "POST", path).allowed
}

test_strangers_register_and_follow_links[note] if {
	some path in ["/register", "/account/verify", "/account/forgot", "/account/reset", "/account/invitation"]
	some method in ["GET", "POST"]
	note := sprintf("%v %v", [method, path])
	decide(fixtures.request("gate", method, path)).allowed
}

test_strangers_reach_nothing_else[note] if {
	some path in ["/account", "/account/", "/account/profile", "/account/password", "/account/sessions/end", "/admin", "/account/verify/x", "/register/", "/Register"]
	note := sprintf("%q", [path])
	fixtures.reasons(decide(fixtures.request("gate", "GET", path))) == {"unauthenticated"}
}
