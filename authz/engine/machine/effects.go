package machine

import "github.com/open-policy-agent/opa/v1/ir"

// reads names the operands and locals that a statement itself looks at, not what
// the blocks within it do.
func reads(s ir.Stmt, operand func(*ir.Operand), local func(*ir.Local)) {
	switch s := s.(type) {
	case *ir.DotStmt:
		operand(&s.Source)
		operand(&s.Key)
	case *ir.CallStmt:
		for i := range s.Args {
			operand(&s.Args[i])
		}
	case *ir.CallDynamicStmt:
		for i := range s.Args {
			local(&s.Args[i])
		}
		for i := range s.Path {
			operand(&s.Path[i])
		}
	case *ir.AssignVarStmt:
		operand(&s.Source)
	case *ir.AssignVarOnceStmt:
		operand(&s.Source)
	case *ir.EqualStmt:
		operand(&s.A)
		operand(&s.B)
	case *ir.NotEqualStmt:
		operand(&s.A)
		operand(&s.B)
	case *ir.WithStmt:
		operand(&s.Value)
	case *ir.ScanStmt:
		local(&s.Source)
	case *ir.ReturnLocalStmt:
		local(&s.Source)
	case *ir.ResultSetAddStmt:
		local(&s.Value)
	default:
		simpleReads(s, operand, local)
	}
}

func simpleReads(s ir.Stmt, operand func(*ir.Operand), local func(*ir.Local)) {
	switch s := s.(type) {
	case *ir.LenStmt:
		operand(&s.Source)
	case *ir.IsArrayStmt:
		operand(&s.Source)
	case *ir.IsObjectStmt:
		operand(&s.Source)
	case *ir.IsSetStmt:
		operand(&s.Source)
	case *ir.IsDefinedStmt:
		local(&s.Source)
	case *ir.IsUndefinedStmt:
		local(&s.Source)
	case *ir.ArrayAppendStmt:
		operand(&s.Value)
	case *ir.SetAddStmt:
		operand(&s.Value)
	case *ir.ObjectInsertStmt:
		operand(&s.Key)
		operand(&s.Value)
	case *ir.ObjectInsertOnceStmt:
		operand(&s.Key)
		operand(&s.Value)
	case *ir.ObjectMergeStmt:
		local(&s.A)
		local(&s.B)
	}
}

const noLocal ir.Local = -1

// assigned is the local that a statement sets, whatever it held.
func assigned(s ir.Stmt) ir.Local {
	switch s := s.(type) {
	case *ir.DotStmt:
		return s.Target
	case *ir.CallStmt:
		return s.Result
	case *ir.CallDynamicStmt:
		return s.Result
	case *ir.AssignVarStmt:
		return s.Target
	case *ir.AssignVarOnceStmt:
		return s.Target
	case *ir.LenStmt:
		return s.Target
	case *ir.ObjectMergeStmt:
		return s.Target
	}
	return made(s)
}

// made is the target of a statement that does nothing but to set it.
func made(s ir.Stmt) ir.Local {
	switch s := s.(type) {
	case *ir.ResetLocalStmt:
		return s.Target
	case *ir.AssignIntStmt:
		return s.Target
	case *ir.MakeNullStmt:
		return s.Target
	case *ir.MakeNumberIntStmt:
		return s.Target
	case *ir.MakeNumberRefStmt:
		return s.Target
	case *ir.MakeArrayStmt:
		return s.Target
	case *ir.MakeObjectStmt:
		return s.Target
	case *ir.MakeSetStmt:
		return s.Target
	}
	return noLocal
}

// changed is the local whose value a statement changes in place.
func changed(s ir.Stmt) ir.Local {
	switch s := s.(type) {
	case *ir.ArrayAppendStmt:
		return s.Array
	case *ir.SetAddStmt:
		return s.Set
	case *ir.ObjectInsertStmt:
		return s.Object
	case *ir.ObjectInsertOnceStmt:
		return s.Object
	case *ir.WithStmt:
		return s.Local
	}
	return noLocal
}

// within names the blocks of a statement.
func within(s ir.Stmt) []*ir.Block {
	switch s := s.(type) {
	case *ir.BlockStmt:
		return s.Blocks
	case *ir.NotStmt:
		return []*ir.Block{s.Block}
	case *ir.ScanStmt:
		return []*ir.Block{s.Block}
	case *ir.WithStmt:
		return []*ir.Block{s.Block}
	}
	return nil
}

// written names all locals that blocks and those within them set or change.
func written(bs []*ir.Block, f func(ir.Local)) {
	for _, b := range bs {
		for _, s := range b.Stmts {
			if t := assigned(s); t != noLocal {
				f(t)
			}
			if t := changed(s); t != noLocal {
				f(t)
			}
			if scan, ok := s.(*ir.ScanStmt); ok {
				f(scan.Key)
				f(scan.Value)
			}
			written(within(s), f)
		}
	}
}

// replaces reports whether the input is set by anything but a with.
func replaces(bs []*ir.Block) bool {
	for _, b := range bs {
		for _, s := range b.Stmts {
			if assigned(s) == ir.Input || replaces(within(s)) {
				return true
			}
		}
	}
	return false
}
