# METADATA
# title: Reserved paths
# description: |
#   Paths of a route at which only some roles may change anything, or do anything,
#   whatever else the route lets others do. A reservation closes, so whatever is odd about a path
#   must fall under it: the path is read as leniently as any upstream might, and
#   where even that cannot be told it counts as reserved.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.reserved

import data.neosc.lib.roles

# METADATA
# title: Against this request
# description: It would change something that is reserved for roles of which the session holds none.
# scope: document
against if {
	not data.neosc.methods.read[input.attributes.request.http.method]
	some prefix, holders in data.neosc.routes[input.route.name].reserved
	startswith(concat("", ["/", lenient, "/"]), concat("", [prefix, "/"]))
	not roles.one_of(holders)
}

against if {
	not data.neosc.methods.read[input.attributes.request.http.method]
	some holders in data.neosc.routes[input.route.name].reserved
	not certain
	not roles.one_of(holders)
}

# METADATA
# title: Closed
# description: The path is for roles alone of which the session holds none, to read as to change.
# scope: document
closed if {
	some prefix, holders in data.neosc.routes[input.route.name].only
	startswith(concat("", ["/", lenient, "/"]), concat("", [prefix, "/"]))
	not roles.one_of(holders)
}

closed if {
	some holders in data.neosc.routes[input.route.name].only
	not certain
	not roles.one_of(holders)
}

# METADATA
# title: Lenient reading
# description: |
#   The decoded segments as upstreams read them that fold case, drop empty and
#   dot segments and cut parameters off.
# scope: rule
lenient := concat("/", [segment |
	some raw in input.parsed_path
	segment := lower(split(raw, ";")[0])
	not segment in {"", "."}
])

# METADATA
# title: Certain
# description: |
#   There is one lenient reading: nothing is left to decode, no segment leads up
#   and none holds a separator of its own.
# scope: document
certain if {
	is_array(input.parsed_path)
	odd := [segment |
		some segment in input.parsed_path
		regex.match(`[%/\\\x00-\x1f]|^\.\.`, segment)
	]
	count(odd) == 0
}
