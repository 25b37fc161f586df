package shadow

import (
	"sync/atomic"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
)

// Bounds of what waits to be decided: room is slots, of which more would leave the
// processors' caches before they are used again, which costs more than all else;
// at 100,000 requests a second it is full between two turns.
const (
	room        = 512
	mostHeaders = 64
	mostText    = 16 << 10
)

// The states of a slot.
const (
	free uint32 = iota
	taken
	full
)

// slot is a request that waits, with what the live policy said of it.
type slot struct {
	state      atomic.Uint32
	request    authz.Request
	live       *authz.Decision // known by its address alone: its texts may be gone
	said       uint64          // fingerprint of it
	generation uint64          // that took it; 0 if it failed
	plan       *plan           // by which it was copied
}

// tap is where requests wait: filled round and round, without a lock, so that
// decisions taken at once do not wait for each other; what finds its slot full is
// dropped and counted.
type tap struct {
	next  atomic.Uint64
	plan  atomic.Pointer[plan]
	slots [room]slot
	prints
}

// take puts a request into the tap. It is on the request's path.
func (s *run) take(r *authz.Request, o *authz.Outcome) {
	p := s.tap.plan.Load()
	if p.agrees(o.Decision, r.Time) {
		s.known.Add(1)
		return
	}
	said, generation, judged := s.tap.outcome(o)
	if !judged {
		return
	}
	if len(r.Headers) > mostHeaders || p.size(r) > mostText {
		s.skipped.Add(1)
		return
	}
	at := &s.tap.slots[(s.tap.next.Add(1)-1)%room]
	if !at.state.CompareAndSwap(free, taken) {
		s.dropped.Add(1)
		return
	}
	at.live, at.said, at.generation, at.plan = o.Decision, said, generation, p
	p.keep(&at.request, r)
	at.state.Store(full)
}

// outcome is what policy came to; judged is false where policy was not asked.
func (p *prints) outcome(o *authz.Outcome) (said, generation uint64, judged bool) {
	switch {
	case o.Decision != nil:
		return p.of(o.Decision), o.Decision.Generation, true
	case o.Verdict == authz.Failed && o.Err != nil && len(o.Reasons) == 1 && o.Reasons[0] == authz.ReasonPolicyError:
		_, ofEngine := o.Err.(*engine.Error)
		return failed, 0, ofEngine
	}
	return 0, 0, false
}
