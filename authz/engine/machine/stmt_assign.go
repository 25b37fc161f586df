package machine

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ir"
)

func intConstant(n int64) *Value {
	return &Value{kind: Number, isInt: true, n: n, frozen: true}
}

// assignOnce ends the evaluation if the target holds something else already.
func (c *compiler) assignOnce(s *ir.AssignVarOnceStmt) stmt {
	source, to := c.operand(&s.Source), c.register(s.Target)
	conflict := c.conflict()
	return func(f *Frame, l []*Value) code {
		v := source.get(f, l)
		if l[to] == nil {
			l[to] = v
			return goOn
		}
		if v == nil || !f.same(l[to], v) {
			f.fail(conflict)
			return halted
		}
		if !f.touch(v) {
			return halted
		}
		return goOn
	}
}

func (c *compiler) conflict() error {
	name := c.ruleName()
	if c.fn.plain {
		return fmt.Errorf("%w: rule %s produced conflicting values", ErrConflict, name)
	}
	return fmt.Errorf("%w: function %s produced conflicting values for the same inputs", ErrConflict, name)
}

// ruleName is the function's name without its generation: "g0.data.a.b".
func (c *compiler) ruleName() string {
	_, name, _ := strings.Cut(c.fn.name, ".")
	return name
}
