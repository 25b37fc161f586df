package shadow

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
)

// plan is what is kept of a request: as much as the two policies may read. To
// copy it whole, a kilobyte of cookies that neither reads, would be half of what
// a candidate costs. A plan is good for one pair of programs.
type plan struct {
	headers            []string
	others, extensions bool
	agreed             *agreements // nil: each request is decided
}

// planOf is the plan for a candidate beside a live policy; what is not known of
// the live one, which is nil then, is kept.
func planOf(candidate, live *engine.Judge) *plan {
	if live == nil {
		return &plan{others: true, extensions: true}
	}
	p := &plan{}
	for _, j := range []*engine.Judge{candidate, live} {
		headers, others, extensions := j.Needs()
		p.headers = append(p.headers, headers...)
		p.others, p.extensions = p.others || others, p.extensions || extensions
	}
	slices.Sort(p.headers)
	p.headers = slices.Compact(p.headers)
	if live.Covers(candidate) {
		p.agreed = &agreements{}
	}
	return p
}

// has reports whether what was kept by p is as much as by another plan.
func (p *plan) has(o *plan) bool {
	return p == o || (p.others || !o.others && !slices.ContainsFunc(o.headers, func(h string) bool { return !p.wants(h) })) && (p.extensions || !o.extensions)
}

// wants reports whether a header is kept.
func (p *plan) wants(name string) bool {
	if p.others {
		return true
	}
	for _, h := range p.headers {
		if h == name {
			return true
		}
	}
	return false
}

// size is how much text of a request is kept.
func (p *plan) size(r *authz.Request) int {
	n := len(r.ID) + len(r.Method) + len(r.Scheme) + len(r.Host) + len(r.Path) + len(r.Protocol) + len(r.RouteName) +
		len(r.Source.Principal) + len(r.Destination.Principal) + len(r.SNI)
	for i := range r.Headers {
		if h := &r.Headers[i]; p.wants(h.Name) {
			n += len(h.Name) + len(h.Value)
		}
	}
	if p.extensions {
		for k, v := range r.Extensions {
			n += len(k) + len(v)
		}
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

// keep makes c a copy of r, as far as it is wanted, that shares nothing with it
// but what is immutable: its route, session and client certificate.
func (p *plan) keep(c, r *authz.Request) {
	var t texts
	t.all.Grow(p.size(r))
	c.Reset()
	c.Time, c.Unreadable = r.Time, r.Unreadable
	c.ID, c.Method, c.Scheme, c.Host = t.add(r.ID), t.add(r.Method), t.add(r.Scheme), t.add(r.Host)
	c.Path, c.Protocol, c.RouteName, c.SNI = t.add(r.Path), t.add(r.Protocol), t.add(r.RouteName), t.add(r.SNI)
	for i := range r.Headers {
		if h := &r.Headers[i]; p.wants(h.Name) {
			c.Headers = append(c.Headers, authz.Header{Name: t.add(h.Name), Value: t.add(h.Value)})
		}
	}
	if p.extensions {
		if len(r.Extensions) > 0 && c.Extensions == nil {
			c.Extensions = make(map[string]string, len(r.Extensions))
		}
		for k, v := range r.Extensions {
			c.Extensions[t.add(k)] = t.add(v)
		}
	}
	c.Route, c.Session, c.Certificate = r.Route, r.Session, r.Certificate
	c.Source.Addr, c.Destination.Addr = r.Source.Addr, r.Destination.Addr
	c.Source.Principal, c.Destination.Principal = t.add(r.Source.Principal), t.add(r.Destination.Principal)
}

// agreements are decisions of the live policy that the candidate takes alike.
// The live policy remembers decisions: one that comes again, by its address, is
// that on a request in which everything it reads is the same. If that is all that
// the candidate reads too, it decides the same until its own horizon.
type agreements struct {
	table [4096]atomic.Pointer[agreement]
	seen  [4096]uintptr // of the goroutine that decides
}

// agreement holds on to the decision, so that no other gets its address.
type agreement struct {
	with        *authz.Decision
	from, until int64 // nanoseconds since 1970
}

// recheck is after how long an agreement is looked at again: what OPA's evaluator
// is asked about from time to time must be what is decided now.
const recheck = time.Second

func place(d *authz.Decision) uint64 {
	return uint64(uintptr(unsafe.Pointer(d))) * 0x9e3779b97f4a7c15 >> 52
}

// agrees reports whether it is known that the candidate agrees with a decision.
func (p *plan) agrees(d *authz.Decision, now time.Time) bool {
	if p.agreed == nil || d == nil {
		return false
	}
	x := p.agreed.table[place(d)].Load()
	if x == nil || x.with != d {
		return false
	}
	t := now.UnixNano()
	return x.from <= t && t < x.until
}

// agree notes that the candidate's decision, at an instant, was the live one, if
// that has come before: most that come once only are not remembered ones.
func (a *agreements) agree(live *authz.Decision, at time.Time, candidate *authz.Decision) {
	from := at.UnixNano()
	until := min(candidate.Trace.Until, at.Add(recheck).UnixNano())
	if until <= from {
		return
	}
	i := place(live)
	if address := uintptr(unsafe.Pointer(live)); a.seen[i] != address {
		a.seen[i] = address
		return
	}
	a.table[i].Store(&agreement{live, from, until})
}
