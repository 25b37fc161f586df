# METADATA
# title: Administrators by name
# description: |
#   The rule of providers whose roles and groups have no agreed names: whoever
#   has a role that is called something with "admin", or "owner", or is in a
#   group called something with "admin", is an administrator. It is as broad as
#   it sounds, so it holds for those providers alone that the data names.
#   Roles of a single demo grant (demo-user-12345) never count: whoever may ask
#   for a demo must not become an administrator by what its role is called.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.admin

# METADATA
# title: Administrator
# description: The rule makes this session an administrator's.
# scope: document
administrator if {
	data.neosc.admin_rule.providers[input.session.provider] == true
	is_array(input.session.roles)
	some role in input.session.roles
	administrative(role)
}

administrator if {
	data.neosc.admin_rule.providers[input.session.provider] == true
	is_array(input.session.roles)
	is_array(input.session.groups)
	some group in input.session.groups
	contains(lower(group), "admin")
}

# "administrator" contains "admin".
administrative(role) if {
	contains(lower(role), "admin")
	not of_a_grant(role)
}

administrative(role) if lower(role) == "owner"

of_a_grant(role) if {
	some prefix in data.neosc.admin_rule.exempt_prefixes
	startswith(lower(role), prefix)
}
