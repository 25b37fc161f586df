# METADATA
# title: Roles
# description: |
#   Which roles the session holds and what they open on the route. Roles come
#   as a flat array, made at sign-in; any other shape holds no role, so that an
#   unparsed claim opens nothing.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.roles

import data.neosc.lib.admin

# METADATA
# title: Roles held
# description: |
#   The session's roles, and that of administrators where their names say so;
#   empty unless they are an array.
# scope: document
default held := []

held := array.concat(input.session.roles, [data.neosc.admin_rule.role]) if {
	admin.administrator
	not data.neosc.admin_rule.role in input.session.roles
} else := input.session.roles if is_array(input.session.roles)

# METADATA
# title: One of
# description: |
#   Some of these roles is held.
#
#       denials contains "role_required" if not entitled
#
#       entitled if roles.one_of(data.reports.roles)
#
#   Under `not` itself roles that data lacks would undo the denial.
# scope: document
one_of(names) if {
	some role in names
	role in held
}

# METADATA
# title: Classes of methods
# description: The classes that the held roles open on the route.
# scope: rule
classes contains class if {
	some role in held
	class := data.neosc.routes[input.route.name].roles[role]
}

# METADATA
# title: Method opened
# description: Some held role opens the route for the request's method.
# scope: rule
method_open if {
	is_array(input.session.roles)
	some role in input.session.roles
	class := data.neosc.routes[input.route.name].roles[role]
	data.neosc.methods[class][input.attributes.request.http.method]
}

method_open if {
	class := data.neosc.routes[input.route.name].roles[data.neosc.admin_rule.role]
	data.neosc.methods[class][input.attributes.request.http.method]
	admin.administrator
}

# METADATA
# title: Explanation
# description: Somebody with one of the explain_roles may see why in detail.
# scope: document
default explain := false

explain if {
	is_array(input.session.roles)
	some role in input.session.roles
	data.neosc.explain_roles[role]
}

explain if {
	data.neosc.explain_roles[data.neosc.admin_rule.role]
	admin.administrator
}
