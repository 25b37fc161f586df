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
# title: Asked for
# description: The route's settings ask for limits. Anything but false asks.
# scope: rule
asked if input.route.policy.rate_limit

# METADATA
# title: Charges
# description: One charge, on the user or, where nobody is signed in, on the client's address.
# scope: document
default charges := []

charges := [{
	"name": "user",
	"key": identity.user,
	"requests_per_second": data.neosc.limits.user.requests_per_second,
	"burst": data.neosc.limits.user.burst,
	"cost": 1,
}] if {
	asked
}

charges := [{
	"name": "address",
	"key": address,
	"requests_per_second": data.neosc.limits.address.requests_per_second,
	"burst": data.neosc.limits.address.burst,
	"cost": 1,
}] if {
	asked
	not identity.user
}

# METADATA
# title: Address
# description: The client as the edge saw it. Without one, all who lack it share a bucket.
# scope: document
default address := "unknown"

address := input.attributes.source.address.socketAddress.address
