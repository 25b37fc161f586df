# METADATA
# title: Identity headers
# description: |
#   What the upstream is told about who asks. Upstreams trust these headers, so
#   none carries what has not been verified, and one that cannot be made is left
#   out while the others stand.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.identity

import data.neosc.lib.demo
import data.neosc.lib.roles

# METADATA
# title: User
# description: The id of whoever is signed in; undefined where nobody is, or nobody in particular.
# scope: rule
user := input.session.user.id if {
	is_string(input.session.user.id)
	input.session.user.id != ""
}

# METADATA
# title: Email
# description: |
#   The verified email address. An unverified one could be anybody's, such as
#   the chairman's, and is never passed on.
# scope: rule
email := input.session.user.email if {
	input.session.user.email_verified == true
	is_string(input.session.user.email)
	input.session.user.email != ""
}

# METADATA
# title: Groups
# description: Roles, then groups, each sorted, joined with commas; undefined when there are none.
# scope: rule
groups := names if {
	names := concat(",", array.concat(sort(roles.held), sort(session_groups)))
	names != ""
}

default session_groups := []

session_groups := input.session.groups if is_array(input.session.groups)

# METADATA
# title: Headers
# description: |
#   Names to values. Those with a prefix go to routes that pass identity, the
#   others to routes that need a demo session.
# scope: document
headers[concat("", [input.route.identity_headers.prefix, "email"])] := email

headers[concat("", [input.route.identity_headers.prefix, "user"])] := user

headers[concat("", [input.route.identity_headers.prefix, "groups"])] := groups

headers["x-session-id"] := demo.session_id if workspace

headers["x-user-email"] := email if workspace

headers["x-workspace-type"] := demo.workspace_type if workspace

workspace if data.neosc.routes[input.route.name].demo_session
