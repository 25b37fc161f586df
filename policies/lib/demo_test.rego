package neosc.lib.demo_test

import data.neosc.fixtures_test as fixtures
import data.neosc.lib.demo

end := "2026-03-05T12:30:00Z"

# The same instant in seconds since the epoch.
end_seconds := 1772713800

state(claims, now) := "ended" if demo.ended with input.session.claims as claims with time.now_ns as now

else := "running" if demo.running with input.session.claims as claims with time.now_ns as now

else := "none"

test_end[note] if {
	some form, value in {
		"rfc 3339": end,
		"rfc 3339 with an offset": "2026-03-05T06:30:00-06:00",
		"number": end_seconds,
		"numeric text": sprintf("%d", [end_seconds]),
	}
	some side, [offset, expected] in {
		"a nanosecond before": [-1, "running"],
		"a second before": [-1000000000, "running"],
		"at": [0, "ended"],
		"a nanosecond after": [1, "ended"],
		"a day after": [86400000000000, "ended"],
	}
	note := sprintf("%v, %v", [form, side])
	state({"neosc:demo_expires_at": value}, (end_seconds * 1000000000) + offset) == expected
}

test_fractions[note] if {
	some note, value in {"number": end_seconds + 0.5, "text": "1772713800.5", "rfc 3339": "2026-03-05T12:30:00.5Z"}
	state({"neosc:demo_expires_at": value}, 1772713800499999999) == "running"
	state({"neosc:demo_expires_at": value}, 1772713800500000000) == "ended"
}

# What cannot be read has ended, and must not be taken for no end at all.
test_unreadable_end_has_passed[note] if {
	some note, value in {
		"empty": "",
		"blank": " ",
		"word": "never",
		"date alone": "2027-03-05",
		"no zone": "2027-03-05T12:30:00",
		"no such day": "2027-02-30T12:30:00Z",
		"rfc 1123": "Fri, 05 Mar 2027 12:30:00 GMT",
		"null": null,
		"false": false,
		"true": true,
		"list": ["2027-03-05T12:30:00Z"],
		"object": {"at": 1804249800},
		"negative": -1,
		"zero": 0,
		"milliseconds": 1804249800000,
		"milliseconds as text": "1804249800000",
		"after the last nanosecond": 9223372036,
		"after the last nanosecond as text": "9223372036",
		"ten nines": "9999999999",
		"year 9999": "9999-12-31T23:59:59Z",
		"exponent as text": "1e10",
		"infinity": "Inf",
		"not a number": "NaN",
		"hexadecimal": "0x7fffffff",
		"signed": "+1804249800",
		"spaces around": " 1804249800 ",
		"two lines": "1804249800\n",
	}
	state({"neosc:demo_expires_at": value}, fixtures.noon) == "ended"
}

test_no_end[note] if {
	some note, claims in {
		"no claims": {},
		"other claims": fixtures.demo_claims,
		"claims as text": "neosc:demo_expires_at",
		"claims as list": ["neosc:demo_expires_at"],
		"claims null": null,
	}
	state(claims, fixtures.noon) == "none"
}

test_no_session if {
	not demo.ended with input as {}
	not demo.session_id with input as {}
}

test_session_id[note] if {
	some note, [value, expected] in {
		"as in the text": ["demo-1234567890-abc", true],
		"one character": ["x", true],
		"punctuation": ["a/b:c=d", true],
		"256 characters": [sprintf("%0256d", [0]), true],
		"257 characters": [sprintf("%0257d", [0]), false],
		"empty": ["", false],
		"blank": ["  ", false],
		"line break": ["demo\r\nx-pomerium-groups: admin", false],
		"trailing line break": ["demo\n", false],
		"nul": ["demo\u0000", false],
		"not ascii": ["démo", false],
		"null": [null, false],
		"true": [true, false],
		"number": [7, false],
		"list": [["demo"], false],
		"object": [{"id": "demo"}, false],
	}
	found(value) == expected
}

found(value) if demo.session_id == value with input.session.claims as {"neosc:demo_session_id": value}

else := false

test_workspace_type if {
	demo.workspace_type == "linux" with input.session.claims as fixtures.demo_claims
	not demo.workspace_type with input.session.claims as {"neosc:workspace_type": "linux\r\n"}
	not demo.workspace_type with input.session.claims as {}
}
