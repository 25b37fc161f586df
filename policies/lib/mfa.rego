# METADATA
# title: Second factors
# description: |
#   Of whom a second factor is asked, whether the session has one behind it, and
#   whether it was shown a short enough while ago. The session says how somebody
#   signed in by `amr` (RFC 8176) and when by `authenticated_at`; both begin anew
#   when a second factor is shown again.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.mfa

import data.neosc.lib.paths

# METADATA
# title: Missing
# description: A second factor is asked of this session here, and it has none behind it.
# scope: rule
missing if {
	asked
	not shown
	not enrolling
}

# METADATA
# title: Stale
# description: |
#   The route's settings say within how many seconds the second factor must have
#   been shown, and it was not. A setting that is no number is never satisfied.
# scope: rule
stale if {
	input.route.policy.second_factor_within
	shown
	not recent
	not enrolling
}

# METADATA
# title: Shown
# description: The session has a second factor behind it.
# scope: rule
shown if {
	some method in input.session.amr
	data.neosc.mfa.methods[method]
}

recent if {
	within := input.route.policy.second_factor_within
	since := time.parse_rfc3339_ns(input.session.authenticated_at)
	time.now_ns() < since + (within * 1000000000)
}

# METADATA
# title: Asked
# description: |
#   By the route's settings of everybody; by the switch of people, but for the
#   accounts here that are excused; by the gate's configuration (accounts.mfa)
#   of its own accounts, by way of a claim. As with other switches anything but
#   false is on.
# scope: rule
asked if {
	data.neosc.switches.mfa_required != false
	person
	not excused
}

asked if {
	input.route.policy.second_factor
}

asked if {
	input.route.policy.second_factor_within
}

asked if {
	input.session.claims["neosc:mfa"] == "required"
	person
}

asked if {
	input.session.claims["neosc:mfa"] == "admins"
	person
	some role in input.session.roles
	data.neosc.mfa.admin_roles[role]
}

# Service tokens are programs', which an operator has let in.
person if input.session.kind != "service"

# Only of the gate's own accounts: a provider's claim excuses nobody.
excused if {
	input.session.provider == "local"
	input.session.claims.mfa_enabled == false
}

# METADATA
# title: Enrolling
# description: The page on which a second factor is set up and shown, and the way out.
# scope: rule
enrolling if {
	pages := data.neosc.routes[input.route.name].enrolment
	count(input.parsed_path) > 1
	pages[concat("", ["/", input.parsed_path[0], "/", input.parsed_path[1]])]
	paths.regular
}
