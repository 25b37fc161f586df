package neosc.lib.mfa_test

import data.neosc.authz
import data.neosc.fixtures_test as fixtures
import data.neosc.lib.mfa

# The session signed in at 17:00, an hour before noon.
session(roles, amr, extra) := object.union(
	object.union(fixtures.session(roles, object.get(extra, "claims", {})), {"amr": amr}),
	object.remove(extra, ["claims"]),
)

request(route, path, settings) := fixtures.with_settings(fixtures.request(route, "GET", path), settings)

reasons(route, path, settings, who) := fixtures.reasons(decision) if {
	decision := authz.decision with input as fixtures.signed_in(request(route, path, settings), who)
		with time.now_ns as fixtures.noon
}

switched(route, path, settings, who) := fixtures.reasons(decision) if {
	decision := authz.decision with input as fixtures.signed_in(request(route, path, settings), who)
		with time.now_ns as fixtures.noon
		with data.neosc.switches.mfa_required as true
}

open := {"matched_policy"}

test_off_by_default if {
	data.neosc.switches.mfa_required == false
	reasons("portal", "/", {}, session(["admin"], ["pwd"], {})) == open
}

test_the_switch_asks_everybody[note] if {
	some note, [who, expected] in {
		"password alone": [session(["user"], ["pwd"], {}), {"mfa_required"}],
		"no method said": [session(["user"], [], {}), {"mfa_required"}],
		"not even a list": [session(["user"], "mfa", {}), {"mfa_required"}],
		"another's word": [session(["user"], ["sms"], {}), {"mfa_required"}],
		"code": [session(["user"], ["pwd", "otp", "mfa"], {}), open],
		"passkey": [session(["user"], ["hwk", "mfa"], {}), open],
		"recovery code": [session(["user"], ["pwd", "recovery", "mfa"], {}), open],
		"a provider's word": [session(["user"], ["mfa"], {"provider": "zitadel_cloud"}), open],
		"a provider's password": [session(["user"], ["pwd"], {"provider": "zitadel_cloud"}), {"mfa_required"}],
		"excused here": [session(["user"], ["pwd"], {"claims": {"mfa_enabled": false}}), open],
		"excused by a provider": [session(["user"], ["pwd"], {"provider": "zitadel_cloud", "claims": {"mfa_enabled": false}}), {"mfa_required"}],
		"a program": [session(["user"], [], {"kind": "service"}), open],
		"for nobody without a role": [session([], ["pwd"], {}), {"role_required"}],
	}
	switched("portal", "/", {}, who) == expected
}

test_the_switch_misspelt_asks if {
	decision := authz.decision with input as fixtures.signed_in(request("portal", "/", {}), session(["user"], ["pwd"], {}))
		with time.now_ns as fixtures.noon
		with data.neosc.switches.mfa_required as "off"
	fixtures.reasons(decision) == {"mfa_required"}
}

test_the_configuration_asks[note] if {
	some note, [rule, roles, amr, expected] in {
		"required": ["required", ["user"], ["pwd"], {"mfa_required"}],
		"required and shown": ["required", ["user"], ["pwd", "otp", "mfa"], open],
		"of admins": ["admins", ["admin"], ["pwd"], {"mfa_required"}],
		"of admins who have": ["admins", ["admin"], ["hwk", "mfa"], open],
		"of others not": ["admins", ["neosc"], ["pwd"], open],
		"of nobody": ["optional", ["admin"], ["pwd"], open],
	}
	reasons("portal", "/", {}, session(roles, amr, {"claims": {"neosc:mfa": rule}})) == expected
}

# Excusing an account holds against the switch, and not against what the
# operator configured.
test_the_configuration_excuses_nobody if {
	who := session(["admin"], ["pwd"], {"claims": {"neosc:mfa": "admins", "mfa_enabled": false}})
	reasons("portal", "/", {}, who) == {"mfa_required"}
}

test_a_route_asks[note] if {
	some note, [settings, amr, expected] in {
		"for a second factor": [{"second_factor": true}, ["pwd"], {"mfa_required"}],
		"and it was shown": [{"second_factor": true}, ["pwd", "otp", "mfa"], open],
		"not": [{"second_factor": false}, ["pwd"], open],
		"for a fresh one": [{"second_factor_within": 3601}, ["pwd", "otp", "mfa"], open],
		"for a fresher one": [{"second_factor_within": 3600}, ["pwd", "otp", "mfa"], {"step_up_required"}],
		"for a fresh one, of which there is none": [{"second_factor_within": 3601}, ["pwd"], {"mfa_required"}],
		"in words": [{"second_factor_within": "an hour"}, ["pwd", "otp", "mfa"], {"step_up_required"}],
	}
	reasons("portal", "/", settings, session(["user"], amr, {})) == expected
}

test_an_unreadable_time_is_not_fresh if {
	who := session(["user"], ["hwk", "mfa"], {"authenticated_at": "just now"})
	reasons("portal", "/", {"second_factor_within": 3601}, who) == {"step_up_required"}
}

test_the_way_to_a_second_factor_is_open[note] if {
	some note, [route, path, expected] in {
		"the list": ["gate", "/account/security", open],
		"an app": ["gate", "/account/security/app", open],
		"signing out": ["gate", "/oauth2/sign_out", open],
		"showing it": ["gate", "/oauth2/second_factor", open],
		"the landing page": ["gate", "/", {"mfa_required"}],
		"other pages of the account": ["gate", "/account", {"mfa_required"}],
		"what only looks like it": ["gate", "/account/security;x", {"mfa_required"}],
		"doubled": ["gate", "/account/security//app", {"mfa_required"}],
		"encoded": ["gate", "/account%2Fsecurity", {"mfa_required"}],
		"who one is": ["gate-api", "/api/auth/me", open],
		"everything else there": ["gate-api", "/api/audit-logs", {"mfa_required"}],
		"the same path elsewhere": ["portal", "/account/security", {"mfa_required"}],
	}
	switched(route, path, {}, session(["user"], ["pwd"], {})) == expected
}

# Programs are told by 401, as when nobody is signed in; with another reason
# beside it a second factor alone would not help.
test_status[note] if {
	some note, [route, settings, status] in {
		"second factor": ["portal", {}, 401],
		"and closed hours": ["portal", {"business_hours": true}, 403],
		"a role is missing": ["admin", {}, 403],
	}
	decision := authz.decision with input as fixtures.signed_in(request(route, "/", settings), session(["user"], ["pwd"], {}))
		with time.now_ns as time.parse_rfc3339_ns("2026-03-08T18:00:00Z")
		with data.neosc.switches.mfa_required as true
	object.get(decision, "http_status", 403) == status
}

test_strangers_are_asked_to_sign_in if {
	decision := authz.decision with input as request("portal", "/", {"second_factor": true})
		with time.now_ns as fixtures.noon
	fixtures.reasons(decision) == {"unauthenticated"}
	not mfa.shown with input as {}
}
