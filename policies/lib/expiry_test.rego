package neosc.lib.expiry_test

import data.neosc.lib.expiry

# 2026-03-05T12:30:00Z
end := 1772713800

test_running_until_the_end[note] if {
	some note, [value, before, at] in {
		"rfc 3339": ["2026-03-05T12:30:00Z", true, false],
		"seconds": [end, true, false],
		"seconds as text": ["1772713800", true, false],
		"unreadable": ["soon", false, false],
		"null": [null, false, false],
	}
	running(value, (end * 1000000000) - 1) == before
	running(value, end * 1000000000) == at
	passed(value, (end * 1000000000) - 1) != before
	passed(value, end * 1000000000) != at
}

running(value, now) if expiry.running(value) with time.now_ns as now

else := false

passed(value, now) if expiry.passed(value) with time.now_ns as now

else := false

# The example of the description.
over(claims) if expiry.passed(input.session.claims.contract_until) with input.session.claims as claims with time.now_ns as end * 1000000000

test_an_absent_claim_is_neither if {
	not over({})
	over({"contract_until": "2026-03-05T12:29:59Z"})
	not over({"contract_until": "2026-03-05T12:30:01Z"})
}
