// Package envoy renders the routes file as the configuration of an unmodified
// Envoy 1.40: one listener that normalises what it is sent, refuses what is
// ambiguous, takes clients' identity headers off, asks the gate about every
// request over ext_authz and enforces its answer.
//
// Bootstrap gives the resources as one static bootstrap, RenderYAML writes
// them, Validate lets the real Envoy judge them. What each setting is for
// stands beside it; the defaults of Envoy let spoofed headers and unnormalised
// paths through to both the gate and the upstreams.
package envoy
