package engine

import (
	"errors"
	"fmt"
)

// Kind says what went wrong with a decision; it is a metric label.
type Kind string

// Kinds of failed decisions.
const (
	// Undefined: the entry point had no value for this input.
	Undefined Kind = "undefined"
	// Malformed: it had a value that is no decision.
	Malformed Kind = "malformed"
	// Timeout: evaluation took too long or the caller gave up.
	Timeout Kind = "timeout"
	// Evaluation: Rego failed, e.g. by two values for one rule.
	Evaluation Kind = "evaluation"
	// BadRequest: the request could not be put before policy.
	BadRequest Kind = "bad_request"
	// Inactive: no program is active yet.
	Inactive Kind = "inactive"
)

// Error is a failed decision. Its text names what is wrong and where, and never
// holds a value from the request or from a decision: it goes to logs.
type Error struct {
	Kind Kind
	err  error
}

// Error implements error.
func (e *Error) Error() string { return "policy: " + string(e.Kind) + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

func failf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, err: fmt.Errorf(format, args...)}
}

func kindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Evaluation
}

// KindOf is the kind of an error of Decide.
func KindOf(err error) Kind { return kindOf(err) }
