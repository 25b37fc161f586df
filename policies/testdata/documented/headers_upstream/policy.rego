# Headers for the upstream, one of them with several values, and one removed.
package envoy.authz

default allowed := false

allowed if input.session.user.id

headers["x-user"] := input.session.user.id

headers["x-roles"] := input.session.roles

decision["allowed"] := allowed

decision["headers"] := headers if allowed

decision["request_headers_to_remove"] := ["x-tenant", "authorization"] if allowed
