package machine

import "github.com/open-policy-agent/opa/v1/ir"

// A call in a rule's body is mostly a condition: the planner puts the result
// into a local and asks whether that is false. Here the two are one.

// condition compiles a call and the test of its result; it is false if ss begins
// with anything else.
func (c *compiler) condition(ss []ir.Stmt) bool {
	if len(ss) < 2 {
		return false
	}
	call, ok := ss[0].(*ir.CallStmt)
	test, ok2 := ss[1].(*ir.NotEqualStmt)
	if !ok || !ok2 || test.B.Value != ir.Bool(false) || !c.last[test] {
		return false
	}
	if o, ok := test.A.Value.(ir.Local); !ok || o != call.Result || c.operand(&test.A).place != inLocal {
		return false
	}
	if g := c.byName[call.Func]; g != nil {
		if !g.plain || len(call.Args) != 2 {
			return false
		}
		c.ruleCall(opRuleHolds, g, c.operand(&call.Args[0]), c.operand(&call.Args[1]), 0)
		return true
	}
	switch len(call.Args) {
	case 1:
		if k, ok := kinds[call.Func]; ok {
			c.isKind(&call.Args[0], k)
			return true
		}
	case 2:
		if is, ok := orderingOf(call.Func); ok {
			return c.pair(op{kind: opOrder, more: uint8(is)}, c.operand(&call.Args[0]), c.operand(&call.Args[1]))
		}
	}
	return false
}
