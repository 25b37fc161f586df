# An object that says no more than yes or no.
package envoy.authz

default decision := {"allowed": false}

decision := {"allowed": true} if "staff" in input.session.roles
