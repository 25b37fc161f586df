package neosc.lib.admin_test

import data.neosc.authz
import data.neosc.fixtures_test as fixtures
import data.neosc.lib.admin
import data.neosc.lib.identity
import data.neosc.lib.roles

opted := {"zitadel_onprem": true, "zitadel_cloud": false}

person(provider, held, groups) := object.union(
	fixtures.signed_in(fixtures.request("admin", "POST", "/settings"), fixtures.session(held, {})),
	{"session": {"provider": provider, "groups": groups}},
)

decided(req) := decision if {
	decision := authz.decision with input as req
		with time.now_ns as fixtures.noon
		with data.neosc.admin_rule.providers as opted
}

test_by_role[note] if {
	some note in ["admin", "Admin", "administrator", "ADMINISTRATOR", "org-admin", "PortalAdmins", "owner", "Owner"]
	admin.administrator with input as person("zitadel_onprem", ["user", note], []) with data.neosc.admin_rule.providers as opted
	decided(person("zitadel_onprem", ["user", note], [])).allowed
}

test_by_group[note] if {
	some note in ["admins", "Domain Admins", "ADMIN"]
	admin.administrator with input as person("zitadel_onprem", [], [note]) with data.neosc.admin_rule.providers as opted
	decided(person("zitadel_onprem", [], [note])).allowed
}

test_not_by_other_names[note] if {
	some note, names in {
		"other roles": {"roles": ["user", "neosc", "operator", "owners", "co-owner", "adm in"], "groups": []},
		"other groups": {"roles": ["user"], "groups": ["owner", "operators"]},
		"nothing": {"roles": [], "groups": []},
		"roles of a grant": {"roles": ["demo-user-12345", "demo-admin-12345", "Demo-Admin-12345", "demo-administrator"], "groups": []},
		"odd roles": {"roles": {"admin": "admin"}, "groups": ["admin"]},
		"odd groups": {"roles": ["user"], "groups": "admin"},
		"odd names": {"roles": [1, null, ["admin"], {"admin": true}], "groups": [["admin"]]},
	}
	req := person("zitadel_onprem", names.roles, names.groups)
	not admin.administrator with input as req with data.neosc.admin_rule.providers as opted
	not decided(req).allowed
}

# A grant's role takes nothing from whoever is an administrator otherwise.
test_a_grant_beside_another_role if decided(person("zitadel_onprem", ["demo-admin-12345", "org-admin"], [])).allowed

# Choice: it holds for no provider until one is named.
test_opt_in[note] if {
	some note in ["local", "zitadel_cloud", "zitadel_other"]
	not decided(person(note, ["org-admin", "owner"], ["admins"])).allowed
}

test_off_as_shipped[note] if {
	some note in ["local", "zitadel_onprem", "zitadel_cloud"]
	not authz.decision.allowed with input as person(note, ["org-admin", "owner"], ["admins"]) with time.now_ns as fixtures.noon
}

test_without_a_session if {
	not admin.administrator with input as fixtures.request("admin", "GET", "/") with data.neosc.admin_rule.providers as opted
}

test_what_it_gives if {
	req := person("zitadel_onprem", ["org-admin"], ["ops"])
	roles.held == ["org-admin", "admin"] with input as req with data.neosc.admin_rule.providers as opted
	roles.classes == {"all"} with input as req with data.neosc.admin_rule.providers as opted
	roles.explain with input as req with data.neosc.admin_rule.providers as opted
	identity.groups == "admin,org-admin,ops" with input as req with data.neosc.admin_rule.providers as opted
}

test_admin_is_not_said_twice if {
	req := person("zitadel_onprem", ["admin"], ["ops"])
	roles.held == ["admin"] with input as req with data.neosc.admin_rule.providers as opted
	identity.groups == "admin,ops" with input as req with data.neosc.admin_rule.providers as opted
}

# Somebody of a provider with the rule for whom it does not hold.
test_it_takes_nothing_away if {
	req := person("zitadel_onprem", ["user"], ["ops"])
	roles.held == ["user"] with input as req with data.neosc.admin_rule.providers as opted
	identity.groups == "user,ops" with input as req with data.neosc.admin_rule.providers as opted
}

# Exceptions for paths, and hours, know the role too.
test_other_rules_know_it if {
	req := object.union(person("zitadel_onprem", ["owner"], []), {"route": {"policy": {"business_hours": true}}})
	sunday := time.parse_rfc3339_ns("2026-03-08T18:00:00Z")
	not authz.decision.allowed with input as req with time.now_ns as sunday with data.neosc.admin_rule.providers as opted
	authz.decision.allowed with input as req with time.now_ns as sunday
		with data.neosc.admin_rule.providers as opted
		with data.neosc.hours.exempt_roles as ["admin"]
}

# The role that it gives is data.
test_the_role_is_data if {
	req := person("zitadel_onprem", ["owner"], [])
	roles.held == ["owner", "neosc"] with input as req with data.neosc.admin_rule.providers as opted
		with data.neosc.admin_rule.role as "neosc"
	not authz.decision.allowed with input as req with time.now_ns as fixtures.noon
		with data.neosc.admin_rule.providers as opted
		with data.neosc.admin_rule.role as "neosc"
}
