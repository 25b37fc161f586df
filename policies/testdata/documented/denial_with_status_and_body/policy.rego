# A denial with a status, headers and a body of its own; on a denial the headers
# go to the client.
package envoy.authz

default decision := {
	"allowed": false,
	"http_status": 404,
	"body": "No such page.\n",
	"headers": {"content-type": "text/plain", "cache-control": "no-store"},
}

decision := {"allowed": true} if input.attributes.request.http.path == "/welcome"

decision := {
	"allowed": false,
	"http_status": 301,
	"headers": {"location": "/welcome"},
} if {
	input.attributes.request.http.path == "/"
}
