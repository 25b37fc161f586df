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
// into the key, each with its type, or that it is absent.
//
// People of one role would still have decisions of their own each, where a header
// says who they are. So a text that does nothing but to become the value of a header,
// or the key of a limit, is a hole (holes.go): for requests that differ in such texts
// alone there is a decision with holes in their place (blanks.go), into which go the
// texts of whoever asks. That nobody is told what was said to another has two grounds,
// each enough by itself. The machine knows from the program which texts are only
// passed on (machine.Echo): whatever it is not sure to be so counts as looked at. And
// what is kept is no decision on somebody, but one on marks in place of texts, which
// has been held against what was decided on two requests by themselves.
package engine
