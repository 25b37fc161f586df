package machine

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ir"
)

// visitor goes over the operands, locals and nested blocks of statements.
type visitor struct {
	operand func(*ir.Operand)
	local   func(ir.Local)
	err     error
}

func eachLocal(b *ir.Block, f func(ir.Local)) {
	v := &visitor{local: f}
	v.operand = func(o *ir.Operand) {
		if l, ok := o.Value.(ir.Local); ok {
			f(l)
		}
	}
	v.block(b)
}

// normalise makes operands that were decoded from JSON, where they are
// pointers, what those of the planner are, and refuses statements that are not
// known.
func normalise(pol *ir.Policy) error {
	v := &visitor{local: func(ir.Local) {}}
	v.operand = func(o *ir.Operand) {
		switch x := o.Value.(type) {
		case *ir.Local:
			o.Value = *x
		case *ir.StringIndex:
			o.Value = *x
		case *ir.Bool:
			o.Value = *x
		case ir.Local, ir.StringIndex, ir.Bool:
		default:
			v.err = &Unsupported{What: fmt.Sprintf("operand %T", o.Value)}
		}
	}
	if pol.Funcs != nil {
		for _, f := range pol.Funcs.Funcs {
			v.blocks(f.Blocks)
		}
	}
	if pol.Plans != nil {
		for _, p := range pol.Plans.Plans {
			v.blocks(p.Blocks)
		}
	}
	return v.err
}

func (v *visitor) blocks(bs []*ir.Block) {
	for _, b := range bs {
		v.block(b)
	}
}

func (v *visitor) block(b *ir.Block) {
	for _, s := range b.Stmts {
		v.stmt(s)
	}
}

func (v *visitor) locals(ls ...ir.Local) {
	for _, l := range ls {
		v.local(l)
	}
}

func (v *visitor) operands(os ...*ir.Operand) {
	for _, o := range os {
		v.operand(o)
	}
}

func (v *visitor) list(os []ir.Operand) {
	for i := range os {
		v.operand(&os[i])
	}
}

func (v *visitor) stmt(s ir.Stmt) {
	switch s := s.(type) {
	case *ir.BlockStmt:
		v.blocks(s.Blocks)
	case *ir.NotStmt:
		v.block(s.Block)
	case *ir.ScanStmt:
		v.locals(s.Source, s.Key, s.Value)
		v.block(s.Block)
	case *ir.WithStmt:
		v.locals(s.Local)
		v.operands(&s.Value)
		v.block(s.Block)
	case *ir.CallStmt:
		v.list(s.Args)
		v.locals(s.Result)
	case *ir.CallDynamicStmt:
		v.locals(s.Args...)
		v.list(s.Path)
		v.locals(s.Result)
	case *ir.DotStmt:
		v.operands(&s.Source, &s.Key)
		v.locals(s.Target)
	case *ir.AssignVarStmt:
		v.operands(&s.Source)
		v.locals(s.Target)
	case *ir.AssignVarOnceStmt:
		v.operands(&s.Source)
		v.locals(s.Target)
	case *ir.EqualStmt:
		v.operands(&s.A, &s.B)
	case *ir.NotEqualStmt:
		v.operands(&s.A, &s.B)
	case *ir.LenStmt:
		v.operands(&s.Source)
		v.locals(s.Target)
	default:
		v.simple(s)
	}
}

func (v *visitor) simple(s ir.Stmt) {
	switch s := s.(type) {
	case *ir.NopStmt, *ir.BreakStmt:
	case *ir.ReturnLocalStmt:
		v.locals(s.Source)
	case *ir.ResetLocalStmt:
		v.locals(s.Target)
	case *ir.AssignIntStmt:
		v.locals(s.Target)
	case *ir.MakeNullStmt:
		v.locals(s.Target)
	case *ir.MakeNumberIntStmt:
		v.locals(s.Target)
	case *ir.MakeNumberRefStmt:
		v.locals(s.Target)
	case *ir.MakeArrayStmt:
		v.locals(s.Target)
	case *ir.MakeObjectStmt:
		v.locals(s.Target)
	case *ir.MakeSetStmt:
		v.locals(s.Target)
	case *ir.IsArrayStmt:
		v.operands(&s.Source)
	case *ir.IsObjectStmt:
		v.operands(&s.Source)
	case *ir.IsSetStmt:
		v.operands(&s.Source)
	case *ir.IsDefinedStmt:
		v.locals(s.Source)
	case *ir.IsUndefinedStmt:
		v.locals(s.Source)
	case *ir.ArrayAppendStmt:
		v.operands(&s.Value)
		v.locals(s.Array)
	case *ir.ObjectInsertStmt:
		v.operands(&s.Key, &s.Value)
		v.locals(s.Object)
	case *ir.ObjectInsertOnceStmt:
		v.operands(&s.Key, &s.Value)
		v.locals(s.Object)
	case *ir.ObjectMergeStmt:
		v.locals(s.A, s.B, s.Target)
	case *ir.SetAddStmt:
		v.operands(&s.Value)
		v.locals(s.Set)
	case *ir.ResultSetAddStmt:
		v.locals(s.Value)
	default:
		v.err = &Unsupported{What: fmt.Sprintf("statement %T", s)}
	}
}
