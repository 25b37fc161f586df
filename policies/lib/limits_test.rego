package neosc.lib.limits_test

import data.neosc.fixtures_test as fixtures
import data.neosc.lib.limits

req(settings) := fixtures.with_settings(fixtures.request("portal", "GET", "/"), settings)

user_charge := [{"name": "user", "key": "user-7", "requests_per_second": 10, "burst": 20, "cost": 1}]

address_charge(key) := [{"name": "address", "key": key, "requests_per_second": 10, "burst": 20, "cost": 1}]

test_asked_for[note] if {
	some note, [settings, expected] in {
		"not asked for": [{}, []],
		"switched off": [{"rate_limit": false}, []],
		"asked for": [{"rate_limit": true}, user_charge],
		"a misspelt value asks": [{"rate_limit": "no"}, user_charge],
		"null asks": [{"rate_limit": null}, user_charge],
	}
	limits.charges == expected with input as fixtures.signed_in(req(settings), fixtures.session(["user"], {}))
}

test_strangers_are_charged_by_address if {
	limits.charges == address_charge("203.0.113.9") with input as req({"rate_limit": true})
}

test_without_address_all_share_a_bucket if {
	bare := {"route": {"name": "portal", "policy": {"rate_limit": true}}}
	limits.charges == address_charge("unknown") with input as bare
}

test_limits_are_data if {
	limits.charges[0].requests_per_second == 3 with input as fixtures.signed_in(
		req({"rate_limit": true}),
		fixtures.session(["user"], {}),
	)
		with data.neosc.switches.user_requests_per_second as 3
}

test_strangers_are_not_charged_unless_asked_for if {
	limits.charges == [] with input as req({})
}

test_switches_set_the_limits[note] if {
	some note, [request, expected] in {
		"a person": [fixtures.signed_in(req({"rate_limit": true}), fixtures.session(["user"], {})), [0.5, 3]],
		"an address": [req({"rate_limit": true}), [7, 9]],
	}
	charges := limits.charges with input as request
		with data.neosc.switches as {
			"user_requests_per_second": 0.5, "user_burst": 3,
			"address_requests_per_second": 7, "address_burst": 9,
		}
	[charges[0].requests_per_second, charges[0].burst] == expected
}
