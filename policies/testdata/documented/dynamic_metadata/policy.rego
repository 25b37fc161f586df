# Metadata for Envoy's access log and for later filters, nested as JSON may be.
package envoy.authz

decision := {
	"allowed": allowed,
	"dynamic_metadata": {
		"tenant": object.get(input.attributes.contextExtensions, "tenant", "none"),
		"checks": {"port": input.attributes.source.address.socketAddress.portValue, "passed": allowed, "by": ["policy", null]},
	},
}

default allowed := false

allowed if input.attributes.contextExtensions.tenant == "north"
