// Package ppl turns Pomerium's configuration into ours: routes and policies in its
// YAML (routes, or the older policy; allowed_… keys; its policy language, PPL) become
// a routes file and a policy set in Rego, with data and tests.
//
// What comes out decides as Pomerium does, or stricter, never more loosely: what has no
// equivalent refuses, and each such place is in the report with its line. Also read
// are the limits, weekdays and hours that NeoSC's own texts write into such files
// and Pomerium does not know; they become conditions of the route, beside whatever
// opens it.
//
// yaml.go reads within bounds; routes.go, policy.go and criteria.go make the model
// of it; rego.go, data.go, tests.go and routesfile.go write it out. The same input
// gives the same bytes.
package ppl
