# METADATA
# title: Paths
# description: |
#   Exceptions of a route by path and method. An exception only opens what is
#   closed otherwise, so whatever is odd about a path must miss it: the raw
#   path, as the upstream will read it, and the decoded segments must say the
#   same, letter by letter, before anything is looked up.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.paths

import data.neosc.lib.roles

route := data.neosc.routes[input.route.name]

method := input.attributes.request.http.method

# METADATA
# title: Plain path
# description: |
#   The path without its query, defined only where raw and decoded agree: any
#   percent-encoding, a doubled leading slash or a path in absolute form leaves
#   it undefined.
# scope: rule
plain := path if {
	path := split(input.attributes.request.http.path, "?")[0]
	path == concat("/", array.concat([""], input.parsed_path))
}

# METADATA
# title: Regular path
# description: |
#   A plain path of which every segment is made of letters, digits and "-_~.",
#   and does not begin with a dot. No ";", no empty or dot segment, no trailing
#   slash. Segments that an exception leaves open must be such.
# scope: rule
regular if regex.match(`^(/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+$`, plain)

# METADATA
# title: Grants
# description: |
#   What the exceptions give for this path and method: "public", "session" or
#   a list of roles.
# scope: rule
grants contains route.paths[plain][method]

grants contains grant if {
	below := route.below
	count(input.parsed_path) > 1
	grant := below[concat("", ["/", input.parsed_path[0]])][method]
	regular
}

grants contains grant if {
	below := route.below
	count(input.parsed_path) > 2
	grant := below[concat("", ["/", input.parsed_path[0], "/", input.parsed_path[1]])][method]
	regular
}

grants contains grant if {
	shapes := route.shapes
	[first, second, _, last] := input.parsed_path
	grant := shapes[concat("", ["/", first, "/", second, "/{id}/", last])][method]
	regular
}

# METADATA
# title: Public
# description: Nobody need be signed in.
# scope: rule
public if "public" in grants

# METADATA
# title: Open to this session
# description: An exception that holds for the session. Callers have seen to it that there is one.
# scope: rule
session_open if "session" in grants

session_open if {
	some grant in grants
	some role in grant
	role in roles.held
}
