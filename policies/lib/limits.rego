# METADATA
# title: Rate limits
# description: |
#   What a request costs, on routes whose settings ask for it. Policy only says
#   so; the gate spends it.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.limits

import data.neosc.lib.identity

# METADATA
# title: Charges
# description: |
#   One charge, on routes whose settings ask for limits (anything but false
#   asks): on the user or, where nobody is signed in, on the client's address.
# scope: document
default charges := []

charges := [{
	"name": "user", "key": identity.user, "cost": 1,
	"requests_per_second": data.neosc.switches.user_requests_per_second,
	"burst": data.neosc.switches.user_burst,
}] if {
	input.route.policy.rate_limit
} else := [{
	"name": "address", "key": address, "cost": 1,
	"requests_per_second": data.neosc.switches.address_requests_per_second,
	"burst": data.neosc.switches.address_burst,
}] if {
	input.route.policy.rate_limit
}

# METADATA
# title: Address
# description: The client as the edge saw it. Without one, all who lack it share a bucket.
# scope: document
default address := "unknown"

address := input.attributes.source.address.socketAddress.address
