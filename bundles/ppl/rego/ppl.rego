# METADATA
# title: Pomerium's policy language
# description: |
#   What imported routes are made of. A result says whether a criterion holds and whether
#   it would need a person who is not signed in ("login"), since in Pomerium such a
#   reason, where it survives the operators, sends people to sign in first, even where a
#   route is public or a deny did not match.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.ppl

import data.neosc.lib.address
import data.neosc.lib.expiry

# METADATA
# title: Signed in
# description: Somebody in particular is.
# scope: rule
default signed_in := false

signed_in if {
	is_string(input.session.user.id)
	input.session.user.id != ""
}

# METADATA
# title: Plain
# description: The result of a criterion about the request.
# scope: document
plain(holds) := {"is": holds, "login": false}

# METADATA
# title: Personal
# description: The result of a criterion about the person.
# scope: document
personal(holds) := {"is": holds, "login": false} if signed_in

personal(_) := {"is": false, "login": true} if not signed_in

# METADATA
# title: Operators
# description: and, or, not (all are false) and nor (any is false).
# scope: document
all_of(results) := {"is": true, "login": login(results)} if count(failed(results)) == 0

all_of(results) := {"is": false, "login": login(failed(results))} if count(failed(results)) > 0

any_of(results) := {"is": true, "login": login(held(results))} if count(held(results)) > 0

any_of(results) := {"is": false, "login": login(results)} if count(held(results)) == 0

not_of(results) := all_of([inverted(result) | some result in results])

nor_of(results) := any_of([inverted(result) | some result in results])

inverted(result) := {"is": false, "login": result.login} if result.is

inverted(result) := {"is": true, "login": result.login} if not result.is

failed(results) := [result | some result in results; not result.is]

held(results) := [result | some result in results; result.is]

login(results) if {
	some result in results
	result.login
} else := false

# METADATA
# title: Email
# description: The verified address, for what opens; an unverified one could be anybody's.
# scope: rule
email := input.session.user.email if input.session.user.email_verified == true

# METADATA
# title: Email as said
# description: The address, verified or not, for what closes; never undefined.
# scope: document
default email_said := ""

email_said := input.session.user.email

# METADATA
# title: Domain as said
# description: What follows the last @ of that address, all of it without any.
# scope: rule
domain_said := parts[count(parts) - 1] if parts := split(email_said, "@")

# METADATA
# title: Named
# description: The person's id or verified address is among these.
# scope: document
named(names) if input.session.user.id in names

named(names) if email in names

# METADATA
# title: Domain
# description: What follows the last @ of an address.
# scope: document
domain(address) := parts[count(parts) - 1] if {
	parts := split(address, "@")
	count(parts) > 1
}

# METADATA
# title: Perhaps within
# description: The client's address lies in one of the ranges, or is not known; for what closes.
# scope: document
perhaps_within(ranges) if address.client_within(ranges)

perhaps_within(_) if not address.client

# METADATA
# title: Path
# description: The path without its query.
# scope: rule
path := split(input.attributes.request.http.path, "?")[0]

# METADATA
# title: Claim
# description: All values of a claim as text. Names of nested claims are joined with dots.
# scope: document
claim(name) := [text(value) |
	walk(input.session.claims, [at, value])
	not is_object(value)
	not is_array(value)
	concat(".", [key | some key in at; is_string(key)]) == name
]

text(value) := value if is_string(value)

text(value) := json.marshal(value) if not is_string(value)

# METADATA
# title: Any text
# description: A claim is text that can stand in a header, whatever it says.
# scope: document
any_text(name) if printable(input.session.claims[name])

printable(value) := value if {
	is_string(value)
	regex.match(`^[!-~]{1,256}$`, value)
}

# METADATA
# title: Running
# description: A claim names an instant after now.
# scope: document
running(name) if expiry.running(input.session.claims[name])

# METADATA
# title: Dated
# description: Now is after the one instant and before the other, in nanoseconds.
# scope: document
dated(period) if {
	count(period) > 0
	count([side | some side, instant in period; not now_is(side, instant)]) == 0
}

now_is("after", instant) if time.now_ns() > instant

now_is("before", instant) if time.now_ns() < instant

# METADATA
# title: Matches
# description: A text meets all of a matcher's conditions.
# scope: document
matches(value, matcher) if {
	count(matcher) > 0
	count([operator | some operator, wanted in matcher; not text_is(value, operator, wanted)]) == 0
}

text_is(value, "is", wanted) if value == wanted

text_is(value, "not", wanted) if value != wanted

text_is(value, "contains", wanted) if contains(value, wanted)

text_is(value, "starts_with", wanted) if startswith(value, wanted)

text_is(value, "ends_with", wanted) if endswith(value, wanted)

text_is(value, "in", wanted) if value in wanted

text_is(value, "not_in", wanted) if not value in wanted

# METADATA
# title: Lists
# description: A list of texts meets all of a matcher's conditions.
# scope: document
lists(values, matcher) if {
	count(matcher) > 0
	count([operator | some operator, wanted in matcher; not list_is(values, operator, wanted)]) == 0
}

list_is(values, "has", wanted) if wanted in values

list_is(values, "is", wanted) if {value | some value in values} == {wanted}

list_is(values, "exclude", wanted) if not wanted in values
