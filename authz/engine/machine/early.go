package machine

import "github.com/open-policy-agent/opa/v1/ir"

// The planner evaluates every rule of a name into a local of its own, and takes
// that over into the function's value unless this has another already. Where the
// first value cannot be contradicted the function can return at once, as OPA's
// evaluator does ("early exit"). For the shipped policies that is the largest
// gain of all: who may do something by role is not asked about the path.

// early finds the assignments that return from f: those of one and the same
// constant, and those that end the only rule of the name or a branch of its else.
func (c *compiler) early(f *fn) {
	if f.ret < 0 || f.path == "" {
		return
	}
	e := &early{fn: f, result: max(f.ret, f.params[len(f.params)-1]) + 1}
	for i, b := range f.blocks {
		if !e.block(b, i == len(f.blocks)-1) {
			return
		}
	}
	for _, a := range e.all {
		one := e.groups == 1 && e.perBlock[a.block] == 1 && (a.last || a.constant)
		if e.same() || one {
			c.final[a.stmt] = true
		}
	}
}

// early is what is known of the rules of a function.
type early struct {
	fn       *fn
	result   ir.Local
	groups   int // rules, each with its else
	all      []assignment
	perBlock map[*ir.Block]int
}

// assignment of a rule's value.
type assignment struct {
	stmt     *ir.AssignVarOnceStmt
	block    *ir.Block // the rule or branch
	last     bool      // nothing comes after it
	constant bool
}

// same reports whether all rules have the same constant for their value.
func (e *early) same() bool {
	for _, a := range e.all {
		if !a.constant || a.stmt.Source != e.all[0].stmt.Source {
			return false
		}
	}
	return true
}

// block looks at one block of the function, and reports whether it is of a shape
// that is known: a rule, a chain of else, the taking over, a default, the return.
func (e *early) block(b *ir.Block, last bool) bool {
	switch {
	case len(b.Stmts) == 0:
		return false
	case last:
		r, ok := b.Stmts[0].(*ir.ReturnLocalStmt)
		return ok && len(b.Stmts) == 1 && r.Source == e.fn.ret
	case e.takes(b):
		return true
	}
	switch s := b.Stmts[0].(type) {
	case *ir.BlockStmt: // a rule with else
		e.groups++
		for i, branch := range s.Blocks {
			if i == len(s.Blocks)-1 {
				return len(b.Stmts) == 1 && e.takes(branch)
			}
			if !e.rule(branch) {
				return false
			}
		}
		return false
	case *ir.ResetLocalStmt:
		e.groups++
		return s.Target == e.result && e.rule(b)
	case *ir.IsUndefinedStmt: // the default
		end, ok := b.Stmts[len(b.Stmts)-1].(*ir.AssignVarOnceStmt)
		return ok && s.Source == e.fn.ret && end.Target == e.fn.ret && e.clean(b.Stmts[:len(b.Stmts)-1])
	}
	return false
}

func (e *early) takes(b *ir.Block) bool {
	if len(b.Stmts) != 2 {
		return false
	}
	is, ok := b.Stmts[0].(*ir.IsDefinedStmt)
	take, ok2 := b.Stmts[1].(*ir.AssignVarOnceStmt)
	return ok && ok2 && is.Source == e.result && take.Source.Value == e.result && take.Target == e.fn.ret
}

// rule notes the assignments to the result in the block of a rule.
func (e *early) rule(b *ir.Block) bool {
	if len(b.Stmts) < 2 {
		return false
	}
	switch first := b.Stmts[0].(type) {
	case *ir.ResetLocalStmt:
		if first.Target != e.result {
			return false
		}
	case *ir.IsUndefinedStmt:
		if first.Source != e.result {
			return false
		}
	default:
		return false
	}
	ok := true
	e.assignments(b, b.Stmts[1:], true, &ok)
	return ok
}

func (e *early) assignments(rule *ir.Block, ss []ir.Stmt, top bool, ok *bool) {
	for i, s := range ss {
		if a, is := s.(*ir.AssignVarOnceStmt); is && a.Target == e.result {
			if e.perBlock == nil {
				e.perBlock = map[*ir.Block]int{}
			}
			e.perBlock[rule]++
			_, local := a.Source.Value.(ir.Local)
			e.all = append(e.all, assignment{a, rule, top && i == len(ss)-1, !local})
			continue
		}
		if t := assigned(s); t == e.result || t == e.fn.ret {
			*ok = false
		}
		if t := changed(s); t == e.result || t == e.fn.ret {
			*ok = false
		}
		for _, b := range within(s) {
			e.assignments(rule, b.Stmts, false, ok)
		}
	}
}

// clean reports whether the statements leave the function's value alone.
func (e *early) clean(ss []ir.Stmt) bool {
	ok := true
	written([]*ir.Block{{Stmts: ss}}, func(l ir.Local) { ok = ok && l != e.fn.ret && l != e.result })
	return ok
}
