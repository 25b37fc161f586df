// Package authz is the domain of decisions: a Request that the edge asks
// about, the Decision that policy takes, the reasons it gives, and the Decider
// that goes from the one to the other (session, policy, limits, answer).
// Adapters live below: the gRPC side in extauthz, Rego in engine, the limiters
// in limit, the routes file in route, logs and metrics in observe.
package authz
