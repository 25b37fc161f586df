# METADATA
# title: NeoSC access policy
# description: |
#   Decides every request that the edge asks about. What is not opened by the
#   data is refused, and every refusal names its reasons. The entry point is
#   data.neosc.authz.decision.
# scope: package
# schemas:
#   - input: schema.input
package neosc.authz

import data.neosc.lib.demo
import data.neosc.lib.hours
import data.neosc.lib.identity
import data.neosc.lib.limits
import data.neosc.lib.mfa
import data.neosc.lib.paths
import data.neosc.lib.reserved
import data.neosc.lib.roles

# METADATA
# title: Decision
# description: |
#   allowed and reasons always; for a refused request explain; for an allowed
#   one headers, rate_limits and, where the session has an end that policy knows
#   of, stream_until.
# entrypoint: true
# scope: document
decision := object.union(permit, {"stream_until": stream_until}) if {
	stream_until
	permitted
} else := permit if {
	permitted
} else := {"allowed": false, "reasons": denials, "explain": roles.explain, "http_status": 401} if {
	provable
} else := {"allowed": false, "reasons": denials, "explain": roles.explain}

# METADATA
# title: Provable
# description: A second factor is all that is missing, and showing it would open this.
# scope: rule
provable if denials == {"mfa_required"}

provable if denials == {"step_up_required"}

# METADATA
# title: Permit
# description: The decision that lets a request through.
# scope: rule
permit := {
	"allowed": true,
	"reasons": ["matched_policy"],
	"headers": identity.headers,
	"rate_limits": limits.charges,
}

# METADATA
# title: Permitted
# description: |
#   Somebody is signed in for whom the route is open, with nothing of the
#   session or the hour against it; or nobody need be signed in.
# scope: document
permitted if {
	identity.user
	open
	not demo_missing
	not demo_over
	not hours.closed
	not mfa.missing
	not mfa.stale
}

permitted if {
	paths.public
	not hours.closed
}

# METADATA
# title: End of streams
# description: A stream that a demo session opens ends with the demo.
# scope: rule
stream_until := demo.ends_at if {
	_ = input.session.claims["neosc:demo_expires_at"]
	demo.running
	route.demo_expiry
}

# METADATA
# title: Route
# description: The data of the route that the edge matched; undefined for a name that the data lacks.
# scope: rule
route := data.neosc.routes[input.route.name]

# METADATA
# title: Open
# description: A role, the route or an exception for the path opens it to this session.
# scope: document
open if {
	roles.method_open
	not reserved.against
}

open if {
	data.neosc.methods[route.any_session][input.attributes.request.http.method]
	not reserved.closed
}

open if paths.session_open

# METADATA
# title: Demo missing
# description: The route needs a demo session, and this one is none.
# scope: rule
demo_missing if {
	data.neosc.routes[input.route.name].demo_session
	not demo.session_id
}

# METADATA
# title: Demo over
# description: The demo has ended, and the route heeds it.
# scope: rule
demo_over if {
	_ = input.session.claims["neosc:demo_expires_at"]
	demo.ended
	route.demo_expiry
}

# METADATA
# title: Denials
# description: |
#   All that speaks against a request that is not permitted, each with its own
#   reason. An unknown route and a missing session stand alone: a stranger is
#   told nothing more.
# scope: document
denials contains "unknown_route" if not route

denials contains "unauthenticated" if {
	route
	not identity.user
	not paths.public
}

denials contains access_denial if {
	route
	identity.user
	not open
}

# Said only to those for whom the route is open otherwise: to the others a demo
# session alone is of no help.
denials contains "demo_required" if {
	identity.user
	open
	demo_missing
}

denials contains "demo_expired" if {
	identity.user
	demo_over
}

# Said only to those for whom the route is open otherwise.
denials contains "mfa_required" if {
	identity.user
	open
	mfa.missing
}

denials contains "step_up_required" if {
	identity.user
	open
	mfa.stale
}

denials contains "outside_business_hours" if {
	hours.closed
	identity.user
	route
}

denials contains "outside_business_hours" if {
	hours.closed
	paths.public
}

# METADATA
# title: Why it is not open
# description: |
#   A method that no route takes; a role that opens the route, but not for this
#   method; no role that opens it, or what is reserved at this path.
# scope: document
access_denial := "method_not_allowed" if not known_method

access_denial := "read_only" if {
	known_method
	count(roles.classes) > 0
	not roles.method_open
}

access_denial := "role_required" if {
	known_method
	role_missing
}

role_missing if count(roles.classes) == 0

role_missing if {
	roles.method_open
	reserved.against
}

known_method if data.neosc.methods.all[input.attributes.request.http.method]
