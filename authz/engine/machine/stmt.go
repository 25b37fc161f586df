package machine

import (
	"github.com/open-policy-agent/opa/v1/ir"
)

// code says how a statement ended: goOn, or how many blocks to leave besides
// its own (0 is what an undefined statement does), or one of the others.
type code int32

const (
	goOn     code = -1
	undef    code = 0
	returned code = 1 << 20 // from the function, with f.ret
	halted   code = 1 << 21 // the evaluation, with f.err
)

// stmt is a compiled statement; l are the function's locals.
type stmt func(f *Frame, l []*Value) code

func run(ss []stmt, f *Frame, l []*Value) code {
	for _, s := range ss {
		if r := s(f, l); r != goOn {
			return r
		}
	}
	return goOn
}

// leave is what the statement around a block returns when the block ended so.
func leave(r code) code {
	switch {
	case r == goOn || r == undef:
		return goOn
	case r >= returned:
		return r
	}
	return r - 1
}

// operand is a constant or a local.
type operand struct {
	value *Value
	local int
}

func (o operand) get(l []*Value) *Value {
	if o.value != nil {
		return o.value
	}
	return l[o.local]
}

func (c *compiler) operand(o ir.Operand) operand {
	if l, ok := o.Value.(ir.Local); ok {
		return operand{local: int(l)}
	}
	return operand{value: c.constant(o)}
}

func (c *compiler) block(b *ir.Block) ([]stmt, error) {
	out := make([]stmt, 0, len(b.Stmts))
	c.enterRule(b)
	for i := 0; i < len(b.Stmts); i++ {
		if s, n := c.fuse(b.Stmts[i:]); n > 0 {
			if s != nil {
				out = append(out, s)
			}
			i += n - 1
			continue
		}
		s, err := c.stmt(b.Stmts[i])
		if err != nil {
			return nil, err
		}
		if s != nil {
			out = append(out, s)
		}
		if rule := c.rule(b.Stmts[i]); rule >= 0 {
			out = append(out, moving([]move{{kind: moveHit, to: rule}}))
		}
	}
	return out, nil
}

func (c *compiler) blocks(bs []*ir.Block) ([][]stmt, error) {
	out := make([][]stmt, len(bs))
	for i, b := range bs {
		var err error
		if out[i], err = c.block(b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *compiler) stmt(s ir.Stmt) (stmt, error) {
	switch s := s.(type) {
	case *ir.NopStmt:
		return nil, nil
	case *ir.BlockStmt:
		return c.blockStmt(s)
	case *ir.BreakStmt:
		return breakStmt(s), nil
	case *ir.NotStmt:
		return c.notStmt(s)
	case *ir.ScanStmt:
		return c.scan(s)
	case *ir.WithStmt:
		return c.with(s)
	case *ir.CallStmt:
		return c.call(s)
	case *ir.CallDynamicStmt:
		return c.callDynamic(s), nil
	case *ir.ReturnLocalStmt:
		return returnStmt(s), nil
	case *ir.ResultSetAddStmt:
		return resultStmt(s), nil
	case *ir.DotStmt:
		return c.dot(s), nil
	case *ir.LenStmt:
		return c.len(s), nil
	case *ir.EqualStmt:
		return c.equal(s), nil
	case *ir.NotEqualStmt:
		return c.notEqual(s), nil
	case *ir.IsArrayStmt:
		return c.isKind(s.Source, Array), nil
	case *ir.IsObjectStmt:
		return c.isKind(s.Source, Object), nil
	case *ir.IsSetStmt:
		return c.isKind(s.Source, Set), nil
	case *ir.IsDefinedStmt:
		return isDefined(int(s.Source)), nil
	case *ir.IsUndefinedStmt:
		return isUndefined(int(s.Source)), nil
	}
	return c.making(s)
}

// making are the statements that assign and make values.
func (c *compiler) making(s ir.Stmt) (stmt, error) {
	switch s := s.(type) {
	case *ir.AssignVarStmt:
		return c.assign(s), nil
	case *ir.AssignVarOnceStmt:
		return c.assignOnce(s), nil
	case *ir.ResetLocalStmt:
		return reset(int(s.Target)), nil
	case *ir.AssignIntStmt:
		return put(int(s.Target), intConstant(s.Value)), nil
	case *ir.MakeNumberIntStmt:
		return put(int(s.Target), intConstant(s.Value)), nil
	case *ir.MakeNumberRefStmt:
		return put(int(s.Target), c.literal(s.Index)), nil
	case *ir.MakeNullStmt:
		return put(int(s.Target), nullValue), nil
	case *ir.MakeArrayStmt:
		return makeStmt(int(s.Target), Array), nil
	case *ir.MakeObjectStmt:
		return makeStmt(int(s.Target), Object), nil
	case *ir.MakeSetStmt:
		return makeStmt(int(s.Target), Set), nil
	case *ir.ArrayAppendStmt:
		return c.arrayAppend(s), nil
	case *ir.SetAddStmt:
		return c.setAdd(s), nil
	case *ir.ObjectInsertStmt:
		return c.objectInsert(s), nil
	case *ir.ObjectInsertOnceStmt:
		return c.objectInsertOnce(s), nil
	case *ir.ObjectMergeStmt:
		return objectMerge(s), nil
	}
	return nil, c.unsupported("statement %T", s)
}
