// Package engine judges requests with Rego. Compile turns a Source (modules,
// data, entry point) into an immutable Program, refusing whatever could fail
// open or leave the machine; an Engine holds the active Program, swaps it whole
// and counts.
//
// The way of one decision: input.go puts the authz.Request into OPA's values
// without a JSON round trip, program.go evaluates the entry point at
// Request.Time, decision.go reads the answer and believes none of it unchecked.
// types.go is the input document as policy authors see it; schema.go makes the
// JSON schema from it, against which every policy is type-checked. analyse.go
// refuses at compile time policies that read what the edge does not forward.
//
// A program runs on package machine once it has shown that it decides as OPA's
// evaluator does. trial.go compares the two, on requests that generate.go makes
// of the policy's own words and steer.go steers until every block of the plan
// has been taken and has been left undefined, as far as that can be; pace.go
// keeps it from getting in the way of requests. verdict.go spares the next start
// the comparison, compare.go goes on with a sample of what is decided.
//
// What was decided is given again to equal requests (cache.go) until its horizon,
// the instant at which the clock, as rules read it, would change it. Equal are
// requests whose slots are equal: cachekey.go writes all that the program reads
// into the key, each with its type, or that it is absent. That goes for what is
// only passed on too, such as a user's id in a header: whoever it is of, a
// decision that was kept says to nobody what was said to another.
package engine
