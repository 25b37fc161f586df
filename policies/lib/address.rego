# METADATA
# title: Client addresses
# description: |
#   Whether an address lies in ranges, which are data.
#
#       denials contains "not_from_here" if not from_here
#
#       from_here if address.client_within(data.office.ranges)
#
#   A range is a CIDR, "203.0.113.0/24" or "2001:db8::/32", or one address. Of those that
#   are neither nothing is within; nor is what has no address. So write rules that open by
#   ranges, or deny with `not`: a deny without it would fail open. And name the call, as
#   above: under `not` itself an argument that is undefined undoes the denial.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.address

# METADATA
# title: Client
# description: The client's address as the edge saw it; undefined on a Unix socket.
# scope: rule
client := input.attributes.source.address.socketAddress.address

# METADATA
# title: Client within
# description: The client's address lies in one of the ranges.
# scope: document
client_within(ranges) if within(client, ranges)

# METADATA
# title: Within
# description: The address lies in one of the ranges.
# scope: document
within(address, ranges) if {
	some range in ranges
	contains(range, "/")
	net.cidr_contains(range, address)
}

within(address, ranges) if {
	some range in ranges
	not contains(range, "/")
	net.cidr_contains(concat("", [range, whole(range)]), address)
}

# The mask of a range that is one address.
whole(address) := "/128" if contains(address, ":")

whole(address) := "/32" if not contains(address, ":")
