// Package bearer verifies the access tokens of identity providers: JWTs by the
// provider's published keys (RFC 9068, RFC 8725), opaque ones by asking the
// provider (RFC 7662). What was verified is remembered until it expires, its
// key is withdrawn, or it is denied.
//
// verifier.go finds a token that is known, verify.go verifies one that is not;
// token.go and rules.go read and judge a JWT, key.go checks signatures, keys.go
// holds a provider's keys, introspect.go asks, deny.go and cache.go remember.
package bearer
