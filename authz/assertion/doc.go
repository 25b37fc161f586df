// Package assertion makes the signed identity header: a JWT (RFC 7519, ES256)
// that tells an upstream who asks, for this host and for five minutes, and that
// the upstream can check against the published key set (RFC 7517) instead of
// trusting the network. Keys come from a file that all replicas share; an old
// and a new one overlap, so that rotation is noticed by nobody.
//
// keys.go says which key signs when, keyfile.go is the file, signer.go signs,
// cache.go remembers what was signed.
package assertion
