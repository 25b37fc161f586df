// Package machine runs the plans that OPA compiles policies to, some forty times
// as fast as OPA's own evaluator and with the same results.
//
// # From a plan to a program
//
// OPA's compiler turns Rego into a plan (package v1/ir): functions, one for each
// rule name, of blocks of some thirty kinds of statements over numbered locals.
// A statement goes on, is undefined (the block ends) or breaks out of blocks
// around it. Compile makes operations of them (op.go): 32 bytes each, of all
// functions in one piece of memory, run by one loop. One that is undefined says
// where to go on instead; that is all that is left of blocks, not and breaks
// (assemble.go). What is rare or large, such as a call of a built-in, is a Go
// closure over its operands, which an operation names (stmt_*.go, one file for
// each kind; stmt.go lists them). The result is a Program, which never changes.
//
// Before that, flow.go follows through all functions what each local may hold at
// each statement, along every way through the blocks: the value at a path of the
// input, a value known now, or any. origin.go says what is told apart. So:
//
//   - `input.a.b.c` is no look-up but a numbered slot (slots.go), which the
//     caller fills straight from the request. A path that is only looked into
//     needs no value: it is present or it is not. A path that is used in a way
//     that is not followed is needed as a whole, at worst the input itself.
//   - What is looked up in the base data by fixed keys is a constant.
//
// A plan copies much and asks much twice. early.go lets a rule's function return
// once its value is settled, resolve.go reads operands where they first were,
// live.go drops what nobody looks at; literal.go and condition.go make one of
// what is left in a row, fuse.go finds what is an operation by itself. Together
// that is 1.2 to 2.4 times. That code is one piece of memory and not a closure
// for each statement takes a quarter off a decision whose memory is in the
// caches, a third off one whose memory is not.
//
// Since a program sees nothing but its slots, data and the clock, equal slots
// give equal results: the key of a cache. echo.go tells which texts an evaluation
// only passes on, so that it need not be made again for others.
//
// # An evaluation
//
// A Frame is the room of one evaluation. It comes from a pool and brings an
// arena (arena.go), so that values (value.go) make no garbage; they, and with
// them the result, hold until the frame is reset or released:
//
//	f := p.Frame()
//	defer f.Release()
//	for slot, path := range p.Slots() { … f.SetText(slot, …) … }
//	v, horizon, err := p.Run(ctx, f, now)
//
// Rules without arguments are evaluated once. Built-ins (builtin_*.go) are native
// for operands of the usual kinds; all else, and whatever is an error, is left to
// OPA's own implementation (builtin_opa.go), for which values are copied. A
// built-in's error makes its expression undefined, as in OPA.
//
// # Bounds
//
// Each turn of a loop, call and touched element is a step (budget.go); made
// values count as memory; guard.go holds back built-ins that make much of little.
// An evaluation that passes its bounds, or whose context ends, is over with one
// of the errors of errors.go, as is one whose rules conflict. Nothing recurses
// but over values, and those are at most MaxDepth deep.
//
// # The clock
//
// time.now_ns gives a value that is marked as running; an hour made of it is
// marked as staying until the hour's end (clock.go). Who compares such a value,
// or otherwise goes a way that depends on it, narrows the evaluation's Horizon to
// the instant until which the outcome stays: an expiry to the instant of expiry,
// 12:30 against 08:00 to the next hour. What cannot be followed ends it now.
//
// # What is left to OPA
//
// Compile returns an *Unsupported for what it does not know. One thing can only
// be seen at run time (ErrAmbiguous): then the input is OPA's to evaluate. Of
// OPA's 2,400 conformance cases that leaves three.
//
// Also there for free: which rules held (rules.go). At a price, and for trials
// alone: where each block of the plan ended, and what its statements look at
// (outcomes.go, hints.go).
package machine
