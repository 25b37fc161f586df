// Package kit is what the end-to-end tests, the siege and the bench have in
// common: it builds gate, runs the whole demo (real Envoy, gate, upstreams) on a
// free port, and signs people in as a browser would.
package kit
