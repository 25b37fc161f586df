package neosc.lib.hours_test

import data.neosc.fixtures_test as fixtures
import data.neosc.lib.hours

# Both sides of each boundary second. Mexico City is UTC-6 all year since 2022.
instants := {
	"wednesday 07:59:59": ["2026-03-04T13:59:59Z", false],
	"wednesday 07:59:59.999999999": ["2026-03-04T13:59:59.999999999Z", false],
	"wednesday 08:00:00": ["2026-03-04T14:00:00Z", true],
	"wednesday 12:00:00": ["2026-03-04T18:00:00Z", true],
	"wednesday 19:59:59": ["2026-03-05T01:59:59Z", true],
	"wednesday 19:59:59.999999999": ["2026-03-05T01:59:59.999999999Z", true],
	"wednesday 20:00:00": ["2026-03-05T02:00:00Z", false],
	"wednesday midnight": ["2026-03-05T06:00:00Z", false],
	"monday 00:00:00": ["2026-03-02T06:00:00Z", false],
	"monday 08:00:00": ["2026-03-02T14:00:00Z", true],
	"tuesday noon": ["2026-03-03T18:00:00Z", true],
	"thursday noon": ["2026-03-05T18:00:00Z", true],
	"friday 19:59:59, saturday in UTC": ["2026-03-07T01:59:59Z", true],
	"friday 20:00:00": ["2026-03-07T02:00:00Z", false],
	"friday 23:59:59": ["2026-03-07T05:59:59Z", false],
	"saturday noon": ["2026-03-07T18:00:00Z", false],
	"sunday noon": ["2026-03-08T18:00:00Z", false],
	"sunday 19:00:00, monday in UTC": ["2026-03-09T01:00:00Z", false],
	"summer has no daylight saving": ["2026-07-01T13:30:00Z", false],
}

test_open[note] if {
	some note, [instant, expected] in instants
	opened(instant, data.neosc.hours) == expected
}

opened(instant, _) if hours.open with time.now_ns as time.parse_rfc3339_ns(instant)

else := false

# The same clock in a zone that has daylight saving: 08:00:00 in New York is
# 13:00 UTC in winter and 12:00 UTC in summer.
test_zone_follows_daylight_saving[note] if {
	some note, [instant, expected] in {
		"winter before": ["2026-01-07T12:59:59Z", false],
		"winter at": ["2026-01-07T13:00:00Z", true],
		"summer before": ["2026-07-01T11:59:59Z", false],
		"summer at": ["2026-07-01T12:00:00Z", true],
	}
	opened_with(instant, "timezone", "America/New_York") == expected
}

opened_with(instant, key, value) if {
	hours.open with time.now_ns as time.parse_rfc3339_ns(instant)
		with data.neosc.hours as object.union(object.remove(data.neosc.hours, [key]), {key: value})
}

else := false

test_broken_data_is_closed[note] if {
	some note, [key, value] in {
		"unknown zone": ["timezone", "America/Atlantis"],
		"days absent": ["days", {}],
		"day switched off": ["days", {"Wednesday": false}],
		"day that is no boolean": ["days", {"Wednesday": "yes"}],
		"until before from": ["until", [7, 0, 0]],
		"until as text": ["until", "20:00:00"],
		"until null": ["until", null],
	}
	opened_with("2026-03-04T18:00:00Z", key, value) == false
}

test_hours_are_data if {
	opened_with("2026-03-05T03:00:00Z", "until", [22, 0, 0])
	opened_with("2026-03-08T18:00:00Z", "days", {"Sunday": true})
}

closed(settings, roles, exempt) if {
	hours.closed with time.now_ns as time.parse_rfc3339_ns("2026-03-08T18:00:00Z")
		with data.neosc.hours.exempt_roles as exempt
		with input as fixtures.with_settings(
			fixtures.signed_in(fixtures.request("portal", "GET", "/"), fixtures.session(roles, {})),
			settings,
		)
}

else := false

test_closed[note] if {
	some note, [settings, roles, exempt, expected] in {
		"not asked for": [{}, ["user"], [], false],
		"asked for": [{"business_hours": true}, ["user"], [], true],
		"switched off": [{"business_hours": false}, ["user"], [], false],
		"a misspelt value asks": [{"business_hours": "off"}, ["user"], [], true],
		"null asks": [{"business_hours": null}, ["user"], [], true],
		"administrators are not exempt by default": [{"business_hours": true}, ["admin"], data.neosc.hours.exempt_roles, true],
		"an exempt role": [{"business_hours": true}, ["admin"], ["admin"], false],
		"another's exemption": [{"business_hours": true}, ["user"], ["admin"], true],
	}
	closed(settings, roles, exempt) == expected
}

switched(position) if {
	hours.closed with time.now_ns as time.parse_rfc3339_ns("2026-03-08T18:00:00Z")
		with data.neosc.switches.business_hours as position
		with input as fixtures.with_settings(
			fixtures.signed_in(fixtures.request("portal", "GET", "/"), fixtures.session(["user"], {})),
			{"business_hours": true},
		)
}

else := false

test_switch[note] if {
	some note, [position, expected] in {
		"on": [true, true],
		"off": [false, false],
		"anything else is on": ["off", true],
		"null is on": [null, true],
	}
	switched(position) == expected
}

test_hours_hold_without_the_switch if {
	hours.closed with time.now_ns as time.parse_rfc3339_ns("2026-03-08T18:00:00Z")
		with data.neosc.switches as {}
		with input as fixtures.with_settings(
			fixtures.signed_in(fixtures.request("portal", "GET", "/"), fixtures.session(["user"], {})),
			{"business_hours": true},
		)
}

test_default_of_the_switch if data.neosc.switches.business_hours == true
