package machine

import "github.com/open-policy-agent/opa/v1/ir"

// fuse compiles the first n statements as one where that is faster, n being 0
// where it is not.
func (c *compiler) fuse([]ir.Stmt) (s stmt, n int) { return nil, 0 }
