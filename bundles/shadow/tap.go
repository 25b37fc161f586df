package shadow

import (
	"strings"
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
	said       uint64 // fingerprint of the live decision
	generation uint64 // that took it; 0 if it failed
}

// tap is where requests wait: filled round and round, without a lock, so that
// decisions taken at once do not wait for each other; what finds its slot full is
// dropped and counted.
type tap struct {
	next  atomic.Uint64
	slots [room]slot
	prints
}

// take puts a request into the tap. It is on the request's path.
func (s *run) take(r *authz.Request, o *authz.Outcome) {
	said, generation, judged := s.tap.outcome(o)
	if !judged {
		return
	}
	if len(r.Headers) > mostHeaders || size(r) > mostText {
		s.skipped.Add(1)
		return
	}
	at := &s.tap.slots[(s.tap.next.Add(1)-1)%room]
	if !at.state.CompareAndSwap(free, taken) {
		s.dropped.Add(1)
		return
	}
	at.said, at.generation = said, generation
	keep(&at.request, r)
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

// size is how much text a request has.
func size(r *authz.Request) int {
	n := len(r.ID) + len(r.Method) + len(r.Scheme) + len(r.Host) + len(r.Path) + len(r.Protocol) + len(r.RouteName) +
		len(r.Source.Principal) + len(r.Destination.Principal) + len(r.SNI)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	for k, v := range r.Extensions {
		n += len(k) + len(v)
	}
	return n
}

// texts is one piece of memory for all the text of a request.
type texts struct{ all strings.Builder }

func (t *texts) add(s string) string {
	from := t.all.Len()
	t.all.WriteString(s)
	return t.all.String()[from:]
}

// keep makes c a copy of r that shares nothing with it but what is immutable:
// its route, session and client certificate.
func keep(c, r *authz.Request) {
	var t texts
	t.all.Grow(size(r))
	c.Reset()
	c.Time, c.Unreadable = r.Time, r.Unreadable
	c.ID, c.Method, c.Scheme, c.Host = t.add(r.ID), t.add(r.Method), t.add(r.Scheme), t.add(r.Host)
	c.Path, c.Protocol, c.RouteName, c.SNI = t.add(r.Path), t.add(r.Protocol), t.add(r.RouteName), t.add(r.SNI)
	for i := range r.Headers {
		c.Headers = append(c.Headers, authz.Header{Name: t.add(r.Headers[i].Name), Value: t.add(r.Headers[i].Value)})
	}
	if len(r.Extensions) > 0 && c.Extensions == nil {
		c.Extensions = make(map[string]string, len(r.Extensions))
	}
	for k, v := range r.Extensions {
		c.Extensions[t.add(k)] = t.add(v)
	}
	c.Route, c.Session, c.Certificate = r.Route, r.Session, r.Certificate
	c.Source.Addr, c.Destination.Addr = r.Source.Addr, r.Destination.Addr
	c.Source.Principal, c.Destination.Principal = t.add(r.Source.Principal), t.add(r.Destination.Principal)
}
