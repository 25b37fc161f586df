# The query as the upstream will see it: one parameter set, one removed. Values
# are not percent-encoded here.
package envoy.authz

default decision := {"allowed": false}

decision := {
	"allowed": true,
	"query_parameters_to_set": {"tenant": "north & south", "page": input.parsed_query.page[0]},
	"query_parameters_to_remove": ["debug"],
} if {
	to_number(input.parsed_query.page[0]) < 100
}
