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

func (c *compiler) block(b *ir.Block) ([]stmt, error) {
	out, err := c.statements(b)
	return c.noted(b, out), err
}

func (c *compiler) statements(b *ir.Block) ([]stmt, error) {
	c.enterRule(b)
	ss := make([]ir.Stmt, 0, len(b.Stmts))
	for _, s := range b.Stmts {
		if !c.idle(s) && !nothing(s) {
			ss = append(ss, s)
		}
	}
	out := make([]stmt, 0, len(ss))
	for i := 0; i < len(ss); i++ {
		if c.void[ss[i]] {
			c.hint(b, len(out), ss[i])
			return append(out, func(*Frame, []*Value) code { return undef }), nil
		}
		if s, n := c.several(ss[i:]); n > 0 {
			c.hint(b, len(out), ss[i:i+n]...)
			out = append(out, s)
			i += n - 1
			continue
		}
		s, err := c.stmt(ss[i])
		if err != nil {
			return nil, err
		}
		if s != nil {
			c.hint(b, len(out), ss[i])
			out = append(out, s)
		}
		if rule := c.rule(ss[i]); rule >= 0 {
			out = append(out, moving([]move{{kind: moveHit, to: rule}}))
		}
	}
	return out, nil
}

// several compiles the first n statements as one where that is faster; n is 0
// where it is not.
func (c *compiler) several(ss []ir.Stmt) (stmt, int) {
	if s, n := c.construct(ss); n > 0 {
		return s, n
	}
	if s := c.condition(ss); s != nil {
		return s, 2
	}
	if c.limits.Outcomes != nil {
		return c.fuse(ss[:1])
	}
	return c.fuse(ss)
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
		return c.returnStmt(s), nil
	case *ir.ResultSetAddStmt:
		return c.resultStmt(s), nil
	case *ir.DotStmt:
		return c.dot(s), nil
	case *ir.LenStmt:
		return c.len(s), nil
	case *ir.EqualStmt:
		return c.equal(s), nil
	case *ir.NotEqualStmt:
		return c.notEqual(s), nil
	case *ir.IsArrayStmt:
		return c.isKind(&s.Source, Array), nil
	case *ir.IsObjectStmt:
		return c.isKind(&s.Source, Object), nil
	case *ir.IsSetStmt:
		return c.isKind(&s.Source, Set), nil
	case *ir.IsDefinedStmt:
		return isDefined(c.source(&s.Source)), nil
	case *ir.IsUndefinedStmt:
		return isUndefined(c.source(&s.Source)), nil
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
		return reset(c.register(s.Target)), nil
	case *ir.AssignIntStmt:
		return put(c.register(s.Target), intConstant(s.Value)), nil
	case *ir.MakeNumberIntStmt:
		return put(c.register(s.Target), intConstant(s.Value)), nil
	case *ir.MakeNumberRefStmt:
		return put(c.register(s.Target), c.literal(s.Index)), nil
	case *ir.MakeNullStmt:
		return put(c.register(s.Target), nullValue), nil
	case *ir.MakeArrayStmt:
		return makeStmt(c.register(s.Target), Array), nil
	case *ir.MakeObjectStmt:
		return makeStmt(c.register(s.Target), Object), nil
	case *ir.MakeSetStmt:
		return makeStmt(c.register(s.Target), Set), nil
	case *ir.ArrayAppendStmt:
		return c.arrayAppend(s), nil
	case *ir.SetAddStmt:
		return c.setAdd(s), nil
	case *ir.ObjectInsertStmt:
		return c.objectInsert(s), nil
	case *ir.ObjectInsertOnceStmt:
		return c.objectInsertOnce(s), nil
	case *ir.ObjectMergeStmt:
		return c.objectMerge(s), nil
	}
	return nil, c.unsupported("statement %T", s)
}
