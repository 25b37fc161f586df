// Package pki is a small certificate authority in a folder: enough for the
// certificates with which Envoy, the gate, its stores and API clients prove to
// each other who they are, where nobody runs a larger one.
package pki
