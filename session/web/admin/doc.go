// Package admin is the operators' side of a running gate: JSON over HTTP on a
// Unix socket of mode 0600, and the client that commands use. Who can open the
// socket is the gate's own user or root, so there is no further sign-in; each
// change is logged.
//
// Errors are problem documents (RFC 9457). Requests are decoded strictly: an
// unknown field or parameter is an error, because a mistyped one would
// otherwise be a change that nobody asked for.
package admin
