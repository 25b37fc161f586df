package shadow

// SlowDown has the candidate taken for one that OPA's evaluator has to run, of
// which policies that anybody writes are none.
func (x *Shadow) SlowDown() { x.active.Load().most = slowTurn }

// Known is how many were known to agree.
func (x *Shadow) Known() uint64 { return x.active.Load().known.Load() }
