// Package machine runs the plans that OPA compiles policies to, many times as
// fast as OPA's own evaluator and with the same results.
package machine
