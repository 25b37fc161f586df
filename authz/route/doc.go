// Package route reads the routes file: the one place that says which hosts
// there are, which route a path belongs to, where it leads and what policy is
// told of it. Envoy's resources, the policy's route settings and the list of
// origins that sign-in may return to are all made from the same parsed File, so
// that they cannot disagree.
//
// A File is immutable; to change routes, parse a new one and swap it in.
package route
