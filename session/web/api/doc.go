// Package api is the gate's JSON API for programs: single-page apps, mobile apps
// and scripts that sign people in, ask who they are, and administer accounts,
// sessions and organizations. openapi.yaml describes it; a test keeps both the
// same.
//
// It stands behind the edge, where policy has said already who may call what,
// and decides again by itself: everybody gets at what is their own, and only
// administrators at what is others'. A mistake in one of the two opens nothing.
//
// Requests are read strictly: what is unknown, doubled or of another type is
// refused, because a mistyped field would else be a change that nobody asked
// for. Errors are problem documents (RFC 9457).
package api
