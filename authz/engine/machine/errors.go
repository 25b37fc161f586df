package machine

import (
	"errors"
	"fmt"
)

// Unsupported is what Compile says of a plan that the machine does not run: the
// caller evaluates it with OPA instead.
type Unsupported struct {
	// What is not supported: a statement ("statement *ir.FooStmt"), a built-in
	// ("built-in foo.bar") or a property of the plan.
	What string
	// Func is the function of the plan that has it, "" if none has.
	Func string
}

// Error implements error.
func (e *Unsupported) Error() string {
	if e.Func == "" {
		return "the machine does not run this plan: " + e.What
	}
	return fmt.Sprintf("the machine does not run this plan: %s in %s", e.What, e.Func)
}

// The kinds of failed evaluations; use errors.Is. The text of the error names
// the rule or the bound.
var (
	// ErrSteps: the evaluation took more steps than Options.Steps.
	ErrSteps = errors.New("too many steps")
	// ErrMemory: it needed more memory than Options.Memory.
	ErrMemory = errors.New("too much memory")
	// ErrDepth: a value is nested deeper than MaxDepth.
	ErrDepth = errors.New("nested too deep")
	// ErrCancelled: the context ended first. The context's own error is wrapped too.
	ErrCancelled = errors.New("cancelled")
	// ErrConflict: a rule had two values.
	ErrConflict = errors.New("conflict")
	// ErrAmbiguous: a number was looked up among the text keys of the base
	// document, or a text among its indices, which OPA answers in two ways: let
	// OPA evaluate this input.
	ErrAmbiguous = errors.New("data is looked up by a key of another type")
	// ErrUndefined: the entry point had no value.
	ErrUndefined = errors.New("undefined")
	// ErrBuiltin: a built-in function ended the evaluation.
	ErrBuiltin = errors.New("built-in failed")
)
