package neosc.lib.opening_test

import data.neosc.lib.hours
import data.neosc.lib.opening

open(instant, times) if opening.open(time.parse_rfc3339_ns(instant), times)

else := false

weekdays := {"Monday": true, "Tuesday": true, "Wednesday": true, "Thursday": true, "Friday": true}

day := {"timezone": "Europe/Berlin", "days": weekdays, "from": [8, 0, 0], "until": [20, 0, 0]}

night := {"timezone": "Europe/Berlin", "days": {"Friday": true}, "from": [22, 0, 0], "until": [6, 0, 0]}

test_by_day[note] if {
	some note, [instant, expected] in {
		"before": ["2026-03-04T06:59:59Z", false],
		"first second": ["2026-03-04T07:00:00Z", true],
		"last second": ["2026-03-04T18:59:59Z", true],
		"after": ["2026-03-04T19:00:00Z", false],
		"saturday": ["2026-03-07T12:00:00Z", false],
		"summer": ["2026-07-01T06:00:00Z", true],
		"summer, before": ["2026-07-01T05:59:59Z", false],
	}
	open(instant, day) == expected
}

test_over_midnight[note] if {
	some note, [instant, expected] in {
		"friday evening, before": ["2026-03-06T20:59:59Z", false],
		"friday evening": ["2026-03-06T21:00:00Z", true],
		"saturday morning": ["2026-03-07T04:59:59Z", true],
		"saturday morning, after": ["2026-03-07T05:00:00Z", false],
		"saturday evening": ["2026-03-07T22:00:00Z", false],
		"friday morning is thursday's": ["2026-03-06T03:00:00Z", false],
	}
	open(instant, night) == expected
}

test_broken_hours_are_closed[note] if {
	some note, times in {
		"no zone": object.union(day, {"timezone": "Mars/Olympus"}),
		"days in a list": object.union(day, {"days": ["Wednesday"]}),
		"from and until alike": object.union(day, {"until": [8, 0, 0]}),
		"until absent": object.remove(day, ["until"]),
		"empty": {},
	}
	not opening.open(time.parse_rfc3339_ns("2026-03-04T12:00:00Z"), times)
}

# The same as business hours, which have a rule of their own for its speed.
test_as_business_hours[note] if {
	some note in ["2026-03-04T13:59:59Z", "2026-03-04T14:00:00Z", "2026-03-05T01:59:59Z", "2026-03-05T02:00:00Z", "2026-03-08T18:00:00Z"]
	business(note) == open(note, data.neosc.hours)
}

business(instant) if hours.open with time.now_ns as time.parse_rfc3339_ns(instant)

else := false
