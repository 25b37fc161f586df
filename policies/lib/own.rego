# METADATA
# title: The gate's own host
# description: |
#   What a policy of one's own says of routes gate and gate-api, without which nobody can
#   sign in: the sign-in pages are for everybody, the landing page and the account for
#   whoever is signed in, the rest for administrators. Paths are data, in neosc.routes.
#
#       denials contains reason if some reason in own.denials
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.own

import data.neosc.lib.identity
import data.neosc.lib.paths
import data.neosc.lib.reserved
import data.neosc.lib.roles

# METADATA
# title: Route
# description: The request is for the gate itself.
# scope: rule
default route := false

route if input.route.name in {"gate", "gate-api"}

# METADATA
# title: Denials
# description: What speaks against such a request; nothing against others.
# scope: document
denials contains "unauthenticated" if {
	route
	not paths.public
	not identity.user
}

denials contains "role_required" if {
	route
	not paths.public
	identity.user
	not open
}

open if {
	roles.method_open
	not reserved.against
}

open if {
	data.neosc.methods[data.neosc.routes[input.route.name].any_session][input.attributes.request.http.method]
	not reserved.closed
}

open if paths.session_open
