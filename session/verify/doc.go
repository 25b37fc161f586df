// Package verify is for upstreams written in Go: it checks the signed identity
// header that the edge adds to each request, so that an application needs to
// trust neither the network nor the plain X-Pomerium-* headers beside it. It
// depends on nothing else of this project.
//
// verify.go checks a token and a request, keyset.go fetches the keys.
package verify
