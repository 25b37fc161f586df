package machine

import "github.com/open-policy-agent/opa/v1/ir"

// Rule is one rule of the policy, an else included, as it stands in the text.
type Rule struct {
	// Name is the rule's path, "data.neosc.authz.open".
	Name string
	// File, Row and Col say where its head stands, from 1.
	File     string
	Row, Col int
}

// Rules returns the rules of the program; a Frame's hits are by their index.
// Not to be changed.
func (p *Program) Rules() []Rule { return p.rules }

// Held reports whether the i-th rule of Program.Rules held, for any values, in
// the last evaluation. A rule that was not asked, since another one of its name
// had given the same constant (early.go), did not.
func (f *Frame) Held(i int) bool { return f.hits[i/64]&(1<<(i%64)) != 0 }

// Hits returns what Held says as bits, 64 rules a word; it is overwritten by the
// next evaluation.
func (f *Frame) Hits() []uint64 { return f.hits }

// enterRule looks whether a block is that of a rule: the planner begins those
// with a statement on the local next to the parameters, at the rule's head.
func (c *compiler) enterRule(b *ir.Block) {
	if len(b.Stmts) == 0 || c.fn.path == "" {
		return
	}
	result := max(c.fn.ret, c.fn.params[len(c.fn.params)-1]) + 1
	switch s := b.Stmts[0].(type) {
	case *ir.ResetLocalStmt:
		if s.Target == result {
			c.head = s.GetLocation()
		}
	case *ir.IsUndefinedStmt:
		if s.Source == result || s.Source == c.fn.ret {
			c.head = s.GetLocation()
		}
	case *ir.IsDefinedStmt: // the end, which takes over what a rule gave
		if s.Source == result {
			c.head = nil
		}
	}
}

// rule returns the index of the rule whose value a statement at its head takes,
// -1 if it is no such statement.
func (c *compiler) rule(s ir.Stmt) int {
	if c.head == nil || c.fn.path == "" {
		return -1
	}
	at := s.GetLocation()
	if at.File != c.head.File || at.Row != c.head.Row || at.Col != c.head.Col {
		return -1
	}
	switch s.(type) {
	case *ir.AssignVarOnceStmt, *ir.SetAddStmt, *ir.ObjectInsertStmt, *ir.ObjectInsertOnceStmt:
		return c.ruleAt(at)
	}
	return -1
}

func (c *compiler) ruleAt(at *ir.Location) int {
	r := Rule{Name: c.ruleName(), Row: at.Row, Col: at.Col}
	if c.pol.Static != nil && at.File >= 0 && at.File < len(c.pol.Static.Files) {
		r.File = c.pol.Static.Files[at.File].Value
	}
	for i := len(c.rules) - 1; i >= 0; i-- {
		if c.rules[i] == r {
			return i
		}
	}
	c.rules = append(c.rules, r)
	return len(c.rules) - 1
}
