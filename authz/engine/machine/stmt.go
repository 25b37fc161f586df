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

// stmt is a compiled statement that is no operation of its own; l are the
// function's registers. Only those that run a body return more than goOn, undef
// and halted.
type stmt func(f *Frame, l []*Value) code

// leave is what a statement returns when the block in it ended so.
func leave(r code) code {
	switch {
	case r == goOn || r == undef:
		return goOn
	case r >= returned:
		return r
	}
	return r - 1
}

// blocks compiles blocks that run one after another; one that is undefined is no
// reason to stop.
func (c *compiler) blocks(bs []*ir.Block) error {
	for _, b := range bs {
		end := c.asm.label()
		if err := c.block(b, end, nil); err != nil {
			return err
		}
		c.asm.here(end)
	}
	return nil
}

// block compiles a block; where it is left, it goes on at exit.
func (c *compiler) block(b *ir.Block, exit int32, begins *body) error {
	a := &c.asm
	at := int32(-1)
	if c.limits.Outcomes != nil {
		at = int32(len(a.blocks))
		a.blocks = append(a.blocks, blockSteps{})
	}
	a.around = append(a.around, around{exit, begins, at})
	err := c.statements(b)
	if at >= 0 {
		c.noted(b, at)
	}
	a.around = a.around[:len(a.around)-1]
	return err
}

func (c *compiler) statements(b *ir.Block) error {
	c.enterRule(b)
	ss := make([]ir.Stmt, 0, len(b.Stmts))
	for _, s := range b.Stmts {
		if !c.idle(s) && !nothing(s) {
			ss = append(ss, s)
		}
	}
	for i := 0; i < len(ss); i++ {
		if c.void[ss[i]] {
			c.leave(0)
			c.done(b, ss[i])
			return nil
		}
		if n := c.several(ss[i:]); n > 0 {
			c.done(b, ss[i:i+n]...)
			i += n - 1
			continue
		}
		none, err := c.stmt(ss[i])
		if err != nil {
			return err
		}
		if rule := c.rule(ss[i]); rule >= 0 {
			c.plain(op{kind: opHit, a: int32(rule)})
		}
		if !none {
			c.done(b, ss[i])
		}
	}
	return nil
}

// done says that the next statement of a block is compiled.
func (c *compiler) done(b *ir.Block, ss ...ir.Stmt) {
	if at := c.asm.around[len(c.asm.around)-1].at; at >= 0 {
		c.hint(b, c.asm.blocks[at].statements, ss...)
		c.asm.blocks[at].statements++
	}
}

// leave adds a step out of blocks.
func (c *compiler) leave(k int) { c.asm.add(op{kind: opJump, fail: c.asm.exit(k)}) }

// plain adds an operation that may be undefined.
func (c *compiler) plain(o op) {
	if o.kind.ends() {
		c.asm.ops = append(c.asm.ops, c.asm.noted(len(c.asm.around)-1, c.asm.base())...)
	} else {
		o.fail = c.asm.exit(0)
	}
	c.asm.add(o)
}

// closure adds a statement that is no operation.
func (c *compiler) closure(s stmt) { c.plain(op{kind: opStmt, a: c.statement(s)}) }

// several compiles the first n statements as one where that is faster; n is 0
// where it is not.
func (c *compiler) several(ss []ir.Stmt) int {
	if n := c.construct(ss); n > 0 {
		return n
	}
	if c.condition(ss) {
		return 2
	}
	if c.limits.Outcomes != nil {
		return c.fuse(ss[:1])
	}
	return c.fuse(ss)
}

// stmt compiles a statement; there may be none to it.
func (c *compiler) stmt(s ir.Stmt) (none bool, err error) {
	switch s := s.(type) {
	case *ir.NopStmt:
		return true, nil
	case *ir.BlockStmt:
		return false, c.blocks(s.Blocks)
	case *ir.BreakStmt:
		c.leave(int(s.Index))
	case *ir.NotStmt:
		return false, c.notStmt(s)
	case *ir.ScanStmt:
		return false, c.scan(s)
	case *ir.WithStmt:
		return false, c.with(s)
	case *ir.CallStmt:
		return false, c.call(s)
	case *ir.CallDynamicStmt:
		c.closure(c.callDynamic(s))
	case *ir.ReturnLocalStmt:
		c.returnStmt(s)
	case *ir.ResultSetAddStmt:
		c.closure(c.resultStmt(s))
	case *ir.DotStmt:
		c.dot(s)
	case *ir.LenStmt:
		c.closure(c.len(s))
	case *ir.EqualStmt:
		c.equal(s)
	case *ir.NotEqualStmt:
		c.closure(c.notEqual(s))
	case *ir.IsArrayStmt:
		c.isKind(&s.Source, Array)
	case *ir.IsObjectStmt:
		c.isKind(&s.Source, Object)
	case *ir.IsSetStmt:
		c.isKind(&s.Source, Set)
	case *ir.IsDefinedStmt:
		c.closure(isDefined(c.source(&s.Source)))
	case *ir.IsUndefinedStmt:
		c.closure(isUndefined(c.source(&s.Source)))
	default:
		making, err := c.making(s)
		if err != nil {
			return false, err
		}
		c.closure(making)
	}
	return false, nil
}

// making are the statements that assign and make values.
func (c *compiler) making(s ir.Stmt) (stmt, error) {
	switch s := s.(type) {
	case *ir.AssignVarOnceStmt:
		return c.assignOnce(s), nil
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
