// Package claims reads what an identity provider says of a person into a
// session.Identity. It is pure: sign-in and bearer tokens map by the same
// function, so that a person has the same id, roles and email by either way.
package claims
