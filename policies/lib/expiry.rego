# METADATA
# title: Expiry
# description: |
#   Instants as claims and data have them, and whether they have passed. What cannot
#   be read as an instant has passed: a grant with an unreadable end must not be
#   one without an end.
#
#       denials contains "contract_over" if expiry.passed(input.session.claims.contract_until)
#
#   An absent claim makes the call undefined, so that it is neither over nor running.
# scope: package
package neosc.lib.expiry

# METADATA
# title: Passed
# description: Now is not before the instant, or nobody can tell.
# scope: document
passed(value) if not running(value)

# METADATA
# title: Running
# description: Now is before the instant. At that very instant it is over.
# scope: document
running(value) if time.now_ns() < nanoseconds(value)

# METADATA
# title: Instant
# description: |
#   Nanoseconds since the epoch of a claim that is a number of seconds, such a
#   number as text, or RFC 3339 text. Ten digits at most: what is meant as
#   milliseconds must not turn into the year 58,000.
# scope: document
nanoseconds(value) := floor(value * 1000000000) if {
	is_number(value)
	value < 9223372036
}

nanoseconds(value) := floor(seconds * 1000000000) if {
	is_string(value)
	regex.match(`^[0-9]{1,10}([.][0-9]{1,9})?$`, value)
	seconds := to_number(value)
	seconds < 9223372036
}

nanoseconds(value) := time.parse_rfc3339_ns(value) if {
	is_string(value)
	contains(value, "T")
}
