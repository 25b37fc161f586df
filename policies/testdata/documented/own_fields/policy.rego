# The documented shape with what the gate adds to it: reasons, charges, the end
# of streams and leave to explain.
package envoy.authz

decision := {
	"allowed": count(reasons) == 0,
	"reasons": (reasons | {"checked"}),
	"rate_limits": [{"name": "tenant", "key": "north", "requests_per_second": 0.5, "burst": 3, "cost": 2}],
	"stream_until": time.now_ns() + 60000000000,
	"explain": true,
}

reasons contains "wrong_method" if input.attributes.request.http.method != "GET"

reasons contains "wrong_scheme" if input.attributes.request.http.scheme != "https"
