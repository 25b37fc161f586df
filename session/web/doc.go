// Package web is the gate's own host: sign-in, sign-out, the landing page and
// the assets of all pages. It is reached through Envoy alone, over a Unix
// socket of mode 0660 (or mutual TLS), which is why it believes the client
// address, and the request id, that Envoy puts into headers.
//
// It trusts no header for where it is: redirects, return targets and the
// check of a form's origin use the configured origins, never Host or
// X-Forwarded-*.
package web
