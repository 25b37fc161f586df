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
	input.session.user.email != ""
}

# METADATA
# title: Groups
# description: Roles, then groups, each sorted, joined with commas.
# scope: rule
groups := concat(",", array.concat(sort(input.session.roles), sort(input.session.groups))) if {
	is_array(input.session.roles)
	is_array(input.session.groups)
	not data.neosc.admin_rule.providers[input.session.provider]
} else := concat(",", array.concat(sort(roles.held), sort(session_groups)))

default session_groups := []

session_groups := input.session.groups if is_array(input.session.groups)

# METADATA
# title: Headers
# description: Names to values.
# scope: document
headers := object.union(identity_headers, workspace_headers) if {
	data.neosc.routes[input.route.name].demo_session
} else := identity_headers

# METADATA
# title: Headers with a prefix
# description: For routes that pass identity; none where nobody is signed in.
# scope: document
default identity_headers := {}

identity_headers := {
	concat("", [prefix, "email"]): email,
	concat("", [prefix, "user"]): user,
	concat("", [prefix, "groups"]): groups,
} if {
	prefix := input.route.identity_headers.prefix
} else := {
	concat("", [prefix, "user"]): user,
	concat("", [prefix, "groups"]): groups,
} if {
	prefix := input.route.identity_headers.prefix
}

# METADATA
# title: Headers of the workspace
# description: For routes that need a demo session, whether they pass identity or not.
# scope: document
workspace_headers["x-session-id"] := demo.session_id

workspace_headers["x-user-email"] := email

workspace_headers["x-workspace-type"] := demo.workspace_type
