# METADATA
# title: Demo sessions
# description: |
#   The claims of a just-in-time demo grant: its session, the kind of workspace
#   and its end. The end counts wherever it is present, whatever other roles
#   there are; an end that cannot be read has passed.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.demo

import data.neosc.lib.expiry

# METADATA
# title: Session id
# description: |
#   The demo session's id. Any text will do that can stand in a header as it
#   is: visible ASCII, at most 256 characters. An empty or blank one, a line
#   break, a number or a list is no id.
# scope: rule
session_id := printable(input.session.claims["neosc:demo_session_id"])

# METADATA
# title: Workspace type
# description: The kind of workspace, such as linux, under the same conditions.
# scope: rule
workspace_type := printable(input.session.claims["neosc:workspace_type"])

# METADATA
# title: End
# description: The end of the grant in nanoseconds since the epoch; undefined if absent or unreadable.
# scope: rule
ends_at := expiry.nanoseconds(input.session.claims["neosc:demo_expires_at"])

# METADATA
# title: Ended
# description: The claim is there, and now is not before the end that it names.
# scope: rule
ended if {
	_ = input.session.claims["neosc:demo_expires_at"]
	not running
}

# METADATA
# title: Running
# description: The grant has an end, and now is before it. At that very instant it is over.
# scope: rule
running if time.now_ns() < ends_at

printable(value) := value if {
	is_string(value)
	regex.match(`^[!-~]{1,256}$`, value)
}
