package machine

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/ir"
)

// Hint says what a statement looks at: to have it go on, or not, change what is
// at one of the paths, most likely to one of the constants.
type Hint struct {
	Paths   [][]string
	Texts   []string
	Numbers []float64
}

// Hint returns that of a step, of a program that was compiled with
// Options.Outcomes.
func (p *Program) Hint(step int) Hint { return p.stepHints[step] }

// hint notes what the i-th statement of a block's code looks at.
func (c *compiler) hint(b *ir.Block, i int, ss ...ir.Stmt) {
	if c.limits.Outcomes == nil {
		return
	}
	var h Hint
	c.looks(ss, &h)
	if c.hints[b] == nil {
		c.hints[b] = map[int]Hint{}
	}
	c.hints[b][i] = h
}

// looks gathers what statements, and those within them, look at.
func (c *compiler) looks(ss []ir.Stmt, h *Hint) {
	for _, s := range ss {
		reads(s, func(o *ir.Operand) {
			if _, local := o.Value.(ir.Local); local {
				h.add(c.held[o])
			} else if v := c.constant(*o); v != nil {
				h.add(constant(v))
			}
		}, func(l *ir.Local) { h.add(c.held[l]) })
		for _, b := range within(s) {
			c.looks(b.Stmts, h)
		}
	}
}

func (h *Hint) add(o origins) {
	for _, n := range o.paths {
		h.Paths = append(h.Paths, n.segments())
	}
	for _, v := range o.consts {
		switch {
		case v.kind == String:
			h.Texts = append(h.Texts, v.s)
		case v.kind == Number:
			if n, ok := v.AST().(ast.Number).Float64(); ok {
				h.Numbers = append(h.Numbers, n)
			}
		}
	}
}
