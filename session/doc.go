// Package session is the domain of people who are signed in: what a session
// and an identity are, how long they live, and what a store of sessions
// promises. Adapters live below it (one store each, the cookie, accounts, the
// gate's own pages); this package imports none of ours.
package session
