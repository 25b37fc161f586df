// Package dev holds what `gate dev` runs beside the gate itself: three small
// upstreams that stand for frontend, backend and kasm-proxy, the supervisor of
// the Envoy child, the users of a first run, and the order in which all of it
// goes down again. Nothing of it serves production.
package dev
